"""The lipreading endpoint as a program calls it: gradio_client, plain HTTP, MCP."""

from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from core.input.video import save_video
from demos.lipreading.animator import speak
from tests.core.input.test_video import gif, sound
from tests.demos.lipreading.conftest import person
from tests.e2e.conftest import PATIENCE, App


@pytest.fixture(scope="module")
def client(app: App) -> Client:
    return Client(app.url, verbose=False, httpx_kwargs={"timeout": PATIENCE})


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("drawn") / "clip.mp4"
    save_video(file, speak("place blue at f two now", 3005).video.frames, 25)
    return file


def test_a_drawn_sentence_gets_the_documented_fields(client, drawn):
    result = client.predict(handle_file(drawn), "animated", api_name="/lipreading")
    fields = {"text", "logprob", "hypotheses", "words", "frames", "notes", "model", "seconds"}
    assert fields == set(result)
    words = ["place", "blue", "at", "f", "two", "now"]
    assert sum(word in result["text"].split() for word in words) >= 5
    assert [word["text"] for word in result["words"]] == result["text"].split()
    assert result["hypotheses"][0]["logprob"] == pytest.approx(result["logprob"])


def test_a_face_is_found_and_read(client, tmp_path):
    file = tmp_path / "clip.mp4"
    save_video(file, person(30).frames, 25)
    result = client.predict(handle_file(file), api_name="/lipreading")
    assert result["model"] == "words"
    assert len(result["hypotheses"]) == 5
    assert result["frames"][0]["box"][0] > 0


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [("sound.mp4", sound(), "only sound"), ("one.gif", gif(1), "one frame"), ("list.mp4", b"#EXTM3U\nx.ts\n", "list"),
     ("text.mp4", b"no clip" * 50, "not a clip")],
)  # fmt: skip
def test_what_cannot_be_read_gets_a_sentence_and_the_app_goes_on(client, drawn, tmp_path, name, content, reason):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(AppError, match=reason):
        client.predict(handle_file(file), api_name="/lipreading")
    assert client.predict(handle_file(drawn), "animated", api_name="/lipreading")["text"]


def test_no_clip_and_no_such_model_get_a_sentence(client, drawn):
    with pytest.raises(AppError, match="No clip"):
        client.predict(None, api_name="/lipreading")
    with pytest.raises(AppError, match="'words', 'grid', 'animated'"):
        client.predict(handle_file(drawn), "dogs", api_name="/lipreading")


def test_a_server_path_is_refused(app: App, drawn):
    """A request whose file lacks "meta" passes gradio's own check."""
    call = {"data": [{"path": str(drawn)}, "animated", 10, 5, False]}
    url = f"{app.url}gradio_api/call/lipreading"
    event = httpx.post(url, json=call, timeout=PATIENCE).json()
    answer = httpx.get(f"{url}/{event['event_id']}", timeout=PATIENCE).text if "event_id" in event else "error"
    assert "error" in answer


def test_agents_find_the_endpoint_as_an_mcp_tool(app: App):
    tools = httpx.get(f"{app.url}gradio_api/mcp/schema", timeout=PATIENCE).json()
    (tool,) = [tool for tool in tools if tool["name"].endswith("lipreading")]
    assert set(tool["inputSchema"]["properties"]) == {"video", "model", "beam_size", "n_best", "grammar"}
