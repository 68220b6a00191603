"""The sentiment endpoint as a program calls it: gradio_client, plain HTTP, MCP."""

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.e2e.conftest import PATIENCE, App


@pytest.fixture(scope="module")
def client(app: App) -> Client:
    return Client(app.url, verbose=False, httpx_kwargs={"timeout": PATIENCE})


def test_a_text_gets_the_documented_fields(client):
    result = client.predict("A wonderful film", api_name="/sentiment")
    assert {"label", "probability", "language", "classes", "fine", "tokens", "steps", "seconds"} == set(result)
    assert result["label"] == "positive"
    assert [word["text"] for word in result["tokens"]] == ["A", "wonderful", "film"]
    assert len(result["steps"]) == 3
    quick = client.predict("최악의 영화", "korean", False, api_name="/sentiment")
    assert (quick["label"], quick["language"], quick["steps"]) == ("negative", "korean", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("😀", "no words"),
        ("Хорошо", "not supported"),
        ("good " * 100_000, "characters"),
    ],
    ids=["empty", "spaces", "emoji", "cyrillic", "half a megabyte"],
)
def test_what_cannot_be_judged_gets_a_sentence_and_the_app_goes_on(client, text, reason):
    with pytest.raises(AppError, match=reason):
        client.predict(text, api_name="/sentiment")
    assert client.predict("great", api_name="/sentiment")["label"] == "positive"


def test_agents_find_the_endpoint_as_an_mcp_tool_and_the_page_s_own_events_are_no_endpoints(app: App):
    tools = httpx.get(f"{app.url}gradio_api/mcp/schema", timeout=PATIENCE).json()
    (tool,) = [tool for tool in tools if "sentiment" in tool["name"]]
    properties = tool["inputSchema"]["properties"]
    assert set(properties) == {"text", "language", "explain"}
    assert all(value["description"] for value in properties.values())
    assert tool["inputSchema"]["required"] == ["text"]
    assert not any("show_" in tool["name"] for tool in tools)
