"""The text generation endpoint as a program calls it: gradio_client, plain HTTP, MCP."""

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from demos.generation.bars import check_bars
from demos.generation.sources import SOURCES
from tests.e2e.conftest import PATIENCE, App


@pytest.fixture(scope="module")
def client(app: App) -> Client:
    return Client(app.url, verbose=False, httpx_kwargs={"timeout": PATIENCE})


def write(client: Client, corpus: str, prompt: str, length: int = 80, seed: int = 1, **options):
    return client.predict(corpus, prompt, length=length, seed=seed, **options, api_name="/generation")


def test_a_beginning_is_continued_with_the_documented_fields(client):
    result = write(client, "tinyshakespeare", "ROMEO:\n")
    assert result["prompt"] == "ROMEO:\n"
    assert len(result["text"]) == len(result["tokens"]) == 80
    assert "".join(token["text"] for token in result["tokens"]) == result["text"]
    assert result["logprob"] == pytest.approx(sum(token["logprob"] for token in result["tokens"]))
    assert write(client, "tinyshakespeare", "ROMEO:\n")["text"] == result["text"]
    assert write(client, "tinyshakespeare", "ROMEO:\n", seed=2)["text"] != result["text"]


def test_the_corpora_write_each_in_their_own_manner(client):
    texts = {source.name: write(client, source.name, "", 600)["text"] for source in SOURCES}
    assert "|" in texts["folk"]
    assert "\\" in texts["latex"]
    assert ";" in texts["linux"]
    assert " the" in texts["reviews"]
    assert len(set(texts.values())) == len(SOURCES)


@pytest.mark.parametrize(
    ("corpus", "options", "reason"),
    [
        ("cookery", {}, "not in the list of choices"),
        ("linux", {"temperature": -1.0}, "minimum|temperature"),
        ("linux", {"temperature": float("nan")}, "."),
        ("linux", {"temperature": "warm"}, "."),
        ("linux", {"length": 0}, "length must be a whole number from 1"),
        ("linux", {"seed": -1}, "minimum|seed"),
        ("linux", {"top_p": 0.0}, "minimum|top_p"),
    ],
    ids=["corpus", "negative", "nan", "word", "no-length", "seed", "top-p"],
)
def test_what_cannot_be_served_gets_a_sentence_and_the_app_goes_on(client, corpus, options, reason):
    with pytest.raises((AppError, ValueError), match=reason):
        write(client, corpus, "static ", **options)
    assert write(client, "linux", "static ")["text"]


@pytest.mark.parametrize(
    ("prompt", "note"),
    [("", None), ("static 漢字 int", "漢"), ("int x;\n" * 15_000, "last 5,000")],
    ids=["empty", "unknown", "long"],
)
def test_odd_prompts_are_served_and_what_was_left_out_is_named(client, prompt, note):
    result = write(client, "linux", prompt)
    assert len(result["text"]) == 80
    assert [note in line for line in result["notes"]] == ([True] if note else [])


def test_tunes_have_whole_bars_unless_told_otherwise(client):
    header = "M:6/8\nK:Cmaj\n"
    for whole in (True, False):
        text = write(client, "folk", header, 300, temperature=1.5, whole_bars=whole)["text"]
        tune = (header + text).split("\n\n")[0].rpartition("|")[0] + "|"
        assert check_bars(tune).complete == whole


def test_reviews_are_written_word_by_word(client):
    result = write(client, "reviews", "I liked Zbigniew's film ", 40)
    assert result["prompt"] == "I liked Zbigniew's film"
    assert not result["notes"]
    assert len(result["tokens"]) == 40
    assert max(len(token["text"]) for token in result["tokens"]) > 4
    assert "<" not in result["text"]


def test_temperature_0_is_greedy(client):
    first, second = (write(client, "speeches", "We ", seed=seed, temperature=0.0)["text"] for seed in (1, 2))
    assert first == second


def test_agents_find_the_endpoint_as_an_mcp_tool(app):
    schema = httpx.get(f"{app.url}gradio_api/mcp/schema", timeout=PATIENCE).json()
    (tool,) = [tool for tool in schema if tool["name"] == "generation"]
    properties = tool["inputSchema"]["properties"]
    assert set(properties) == {"corpus", "prompt", "temperature", "top_k", "top_p", "length", "seed", "whole_bars"}
    assert all(value["description"] for value in properties.values())
