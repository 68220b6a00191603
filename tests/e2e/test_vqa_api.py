"""The VQA endpoint as a program calls it: gradio_client, plain HTTP, MCP."""

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.e2e.conftest import PATIENCE, App

BUS = gr.media.get_image("bus.png")


@pytest.fixture(scope="module")
def client(app: App) -> Client:
    return Client(app.url, verbose=False, httpx_kwargs={"timeout": PATIENCE})


def test_a_question_gets_the_documented_fields(client):
    result = client.predict(handle_file(BUS), "What colour is the bus", api_name="/vqa")
    fields = {"text", "answers", "blind_text", "question_type", "read_as", "unknown", "wording", "evidence", "seconds"}
    assert fields == set(result)
    assert result["text"] == result["answers"][0]["text"] == "red"
    assert result["question_type"] == "color"
    assert result["answers"][0]["logprob"] > result["answers"][0]["blind_logprob"]


def test_choices_are_ranked(client):
    choices = ["blue", "red", "red", "made of cheese"]
    result = client.predict(handle_file(BUS), "What color is the bus?", choices, api_name="/vqa")
    assert result["text"] == "red"
    assert len(result["answers"]) == 3
    assert sum(answer["probability"] for answer in result["answers"]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("question", "reason"),
    [("", "empty"), ("😀", "no word"), ("что это", "English"), ("x" * 20_000, "characters")],
    ids=["empty", "emoji", "script", "long"],
)
def test_what_cannot_be_answered_gets_a_sentence_and_the_app_goes_on(client, question, reason):
    with pytest.raises(AppError, match=reason):
        client.predict(handle_file(BUS), question, api_name="/vqa")
    result = client.predict(handle_file(BUS), "is there a bus?", api_name="/vqa")
    assert result["question_type"] == "yes/no"
    assert result["evidence"]["bus"] > 0


def test_a_question_without_a_photo_or_about_no_photo_gets_a_sentence(client, tmp_path):
    with pytest.raises(AppError, match="photo"):
        client.predict(None, "What is this?", api_name="/vqa")
    file = tmp_path / "not.jpg"
    file.write_bytes(b"no picture")
    with pytest.raises(AppError, match="not a photo"):
        client.predict(handle_file(str(file)), "What is this?", api_name="/vqa")


def test_agents_find_the_endpoint_as_an_mcp_tool(app: App):
    tools = httpx.get(f"{app.url}gradio_api/mcp/schema", timeout=PATIENCE).json()
    (tool,) = [tool for tool in tools if tool["name"].endswith("vqa")]
    properties = tool["inputSchema"]["properties"]
    assert set(properties) == {"image", "question", "choices"}
    assert all(value["description"] for value in properties.values())
