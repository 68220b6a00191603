"""The translation endpoint as a program calls it: gradio_client, plain HTTP, MCP."""

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.e2e.conftest import PATIENCE, App


@pytest.fixture(scope="module")
def client(app: App) -> Client:
    return Client(app.url, verbose=False, httpx_kwargs={"timeout": PATIENCE})


def test_a_text_gets_the_documented_fields(client):
    result = client.predict("A dog runs on the beach.", "en", "fr", api_name="/translation")
    assert "chien" in result["text"]
    assert len(result["hypotheses"]) == 5
    logprobs = [hypothesis["logprob"] for hypothesis in result["hypotheses"]]
    assert result["logprob"] == logprobs[0] < 0
    assert {"copies", "channel"} == set(result["hypotheses"][0]["scores"])
    assert result["seconds"] > 0


@pytest.mark.parametrize(("source", "target", "word"), [("de", "en", "dog"), ("en", "cs", "Pes"), ("en", "de", "Hund")])
def test_the_other_directions_answer_too(client, source, target, word):
    text = {"de": "Ein Hund rennt am Strand.", "en": "A dog is running on the beach."}[source]
    assert word in client.predict(text, source, target, 3, api_name="/translation")["text"]


def test_lines_stay_lines_and_a_name_stays_a_name(client):
    text = "A man sleeps.\n\nTwo women are sitting on a bench. Xqwzky is running."
    result = client.predict(text, "en", "de", api_name="/translation")
    lines = result["text"].splitlines()
    assert len([line for line in lines if line]) == 2
    assert "Xqwzky" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("", "en", "de"), "empty"),
        ((" \n ", "en", "de"), "empty"),
        (("A dog", "en", "xx"), "not in the list of choices"),
        (("A dog", "en", "en"), "two different"),
        (("Ein Hund", "de", "fr"), "must be English"),
        (("A dog", "en", "de", 500), "greater than maximum"),
    ],
    ids=["empty", "spaces", "language", "same", "pair", "beam"],
)
def test_what_cannot_be_served_gets_a_sentence_and_the_app_goes_on(client, arguments, reason):
    with pytest.raises(AppError, match=reason):
        client.predict(*arguments, api_name="/translation")
    assert "Hund" in client.predict("A dog.", "en", "de", api_name="/translation")["text"]


@pytest.mark.parametrize(
    "text",
    ["😀🎉", "x" * 10_000, "<b>A dog</b> & <script>alert(1)</script>", "Собака bellt und barks", "A\x00dog\x1b[31m"],
    ids=["emoji", "long-word", "html", "mixed", "control"],
)
def test_odd_text_gets_an_answer(client, text):
    assert client.predict(text, "en", "de", api_name="/translation")["text"]


def test_agents_find_the_endpoint_as_an_mcp_tool(app: App):
    tools = httpx.get(f"{app.url}gradio_api/mcp/schema", timeout=PATIENCE).json()
    (tool,) = [tool for tool in tools if "translation" in tool["name"]]
    properties = tool["inputSchema"]["properties"]
    assert set(properties) == {
        "text",
        "source",
        "target",
        "beam_size",
        "length_penalty",
        "rerank",
    }
    assert all(value["description"] for value in properties.values())
    assert not any("show_" in tool["name"] for tool in tools)
