"""The routes that pass the gate, held against those of the installed gradio: a new one must be looked at."""

import re

import gradio as gr
import pytest
from gradio.routes import App

from core.serving.gate import Gate
from demos.routes import RULES

# Gradio's routes that nothing of ours needs. What is in neither list fails the test: decide where it belongs.
REFUSED = {
    "/docs", "/docs/oauth2-redirect", "/redoc", "/login", "/login/", "/logout", "/monitoring", "/monitoring/summary",
    "/monitoring/{key}", "/gradio_api/deep_link", "/gradio_api/user", "/gradio_api/user/", "/gradio_api/login_check",
    "/gradio_api/login_check/", "/gradio_api/token", "/gradio_api/token/", "/gradio_api/dev/reload",
    "/gradio_api/runs", "/gradio_api/runs/", "/gradio_api/run-history/connect", "/gradio_api/run-history/buckets",
    "/gradio_api/run-history/records", "/gradio_api/run-history/records/{endpoint}/{record_id}/assets/{asset_id}",
    "/gradio_api/custom_component/{id}/{environment}/{type}/{file_name}", "/gradio_api/proxy={url_path:path}",
    "/gradio_api/stream/{event_id}", "/gradio_api/stream/{event_id}/close",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist.m3u8",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist-file", "/gradio_api/file/{path:path}",
    "/gradio_api/run/{api_name}", "/gradio_api/run/{api_name}/", "/gradio_api/api/{api_name}",
    "/gradio_api/api/{api_name}/", "/gradio_api/process_recording", "/gradio_api/vibe-edit", "/gradio_api/vibe-edit/",
    "/gradio_api/undo-vibe-edit", "/gradio_api/undo-vibe-edit/", "/gradio_api/vibe-code", "/gradio_api/vibe-code/",
    "/gradio_api/vibe-starter-queries", "/gradio_api/vibe-starter-queries/",
}  # fmt: skip


def routes() -> list[str]:
    """The paths of all routes of a gradio app with MCP."""
    with gr.Blocks() as page:
        gr.Textbox()
    found = []
    for route in App.create_app(page, mcp_server=True).router.routes:
        router = getattr(route, "original_router", None)
        found += [inner.path for inner in router.routes] if router else [route.path]
    return found


def passes(path: str) -> bool:
    """Whether any method passes at an address that the route's path stands for."""
    for variable, value in (("{path:path}", "folder/name"), ("{path_or_url:path}", "/tmp/a"), ("{size}", "192")):
        path = path.replace(variable, value)
    address = re.sub(r"{\w+}", "name", path)
    return any(rule.path.fullmatch(address) for rule in RULES)


def test_every_route_of_gradio_is_known_and_no_refused_one_passes():
    found = set(routes())
    assert len(found) > 50
    unknown = {path for path in found if not passes(path)} - REFUSED
    assert not unknown
    assert not [path for path in REFUSED if passes(path)]


@pytest.mark.parametrize("name", ["/tmp/unrolled-x/a.png", "/tmp/a b/ü.mp4", "C:/a.png"])
def test_files_pass(name):
    assert Gate(None, RULES).rule_for("GET", f"/gradio_api/file={name}")


@pytest.mark.parametrize(
    "address",
    ["http://example.org/a.png", "https://x", "HTTP://x", " http://x", "ftp://x", "file:///etc/passwd", "http:/x"],
)
def test_no_address_passes_as_a_file(address):
    with pytest.raises(Exception, match="nothing at this address"):
        Gate(None, RULES).rule_for("GET", f"/gradio_api/file={address}")
