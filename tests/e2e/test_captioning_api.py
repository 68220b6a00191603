"""The captioning endpoints as a program calls them: gradio_client, plain HTTP, MCP."""

import math
import shutil

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.bad_input import BAD_IMAGES
from tests.e2e.api import call, upload
from tests.e2e.conftest import PATIENCE, App

CHEETAH = gr.media.get_image("cheetah1.jpg")
UPLOADABLE = {name: case for name, case in BAD_IMAGES.items() if name not in ("folder", "missing")}


@pytest.fixture(scope="module")
def client(app: App) -> Client:
    """A client that has captioned one photo, so that the network is loaded."""
    client = Client(app.url, verbose=False, httpx_kwargs={"timeout": PATIENCE})
    client.predict(handle_file(CHEETAH), api_name="/captioning")
    return client


def test_a_photo_gets_the_documented_fields(client):
    result = client.predict(handle_file(CHEETAH), api_name="/captioning")
    assert set(result) == {"text", "logprob", "hypotheses", "seconds"}
    assert len(result["hypotheses"]) == 5
    assert 0 < result["seconds"] < PATIENCE
    best = result["hypotheses"][0]
    assert (result["text"], result["logprob"]) == (best["text"], best["logprob"])
    for hypothesis in result["hypotheses"]:
        assert set(hypothesis) == {"text", "logprob", "tokens"}
        assert hypothesis["text"] == " ".join(t["text"] for t in hypothesis["tokens"] if t["text"] != "<eos>")
        assert math.isclose(hypothesis["logprob"], sum(t["logprob"] for t in hypothesis["tokens"]), abs_tol=1e-3)


def test_the_options_reach_the_search(client):
    result = client.predict(handle_file(CHEETAH), n_best=2, length_penalty=1.0, max_length=4, api_name="/captioning")
    assert len(result["hypotheses"]) == 2
    assert all(len(hypothesis["text"].split()) <= 4 for hypothesis in result["hypotheses"])


def test_without_the_detector_captions_come_by_their_log_probability(client):
    found = client.predict(handle_file(CHEETAH), rerank=False, api_name="/captioning")["hypotheses"]
    assert len(found) == 5
    scores = [h["logprob"] / len(h["tokens"]) for h in found]  # the default length penalty
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 0}, {"beam_size": 1000}, {"n_best": 0}, {"length_penalty": -1}, {"max_length": 10**9},
        {"beam_size": "x"}, {"rerank": 1}, {"rerank": "yes"},
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(client, options):
    with pytest.raises(AppError) as error:
        client.predict(handle_file(CHEETAH), **options, api_name="/captioning")
    assert "Traceback" not in str(error.value)


def test_the_fitting_caption_is_ranked_first_and_unknown_words_are_named(client):
    text = client.predict(handle_file(CHEETAH), api_name="/captioning")["text"]
    lines = f"a red bus drives down a street\n{text}\na zqxy in the snow"
    ranked = client.predict(handle_file(CHEETAH), lines, api_name="/captioning_rank")["captions"]
    assert ranked[0]["text"] == text
    assert [caption["unknown"] for caption in ranked if "zqxy" in caption["text"]] == [["zqxy"]]
    assert [c["logprob"] for c in ranked] == sorted((c["logprob"] for c in ranked), reverse=True)
    with pytest.raises(AppError, match="no word in it"):
        client.predict(handle_file(CHEETAH), "a dog\n?!", api_name="/captioning_rank")


@pytest.mark.parametrize("case", UPLOADABLE.values(), ids=UPLOADABLE)
def test_any_file_gets_captions_or_a_sentence_at_little_memory(app, client, case, tmp_path):
    file = upload(app, case.write(tmp_path))
    app.forget_peak()
    before = app.memory()
    event, data = call(app, "captioning", file, 10, 5, 0, 20, True)
    assert app.memory("VmHWM") - before < 150
    if case.refusal is None:
        assert event == "complete"
        assert data[0]["text"]
    else:
        assert event == "error"
        assert case.refusal in data["error"]


def test_the_next_visitor_is_served_after_a_bad_file(client, tmp_path):
    with pytest.raises(AppError, match="empty"):
        client.predict(handle_file(BAD_IMAGES["empty"].write(tmp_path)), api_name="/captioning")
    assert client.predict(handle_file(CHEETAH), api_name="/captioning")["text"]
    with pytest.raises(AppError, match="No photo was given"):
        client.predict(None, api_name="/captioning")


@pytest.mark.parametrize("meta", [{"_type": "gradio.FileData"}, None], ids=["checked by gradio", "missed by gradio"])
def test_files_of_the_server_that_nobody_uploaded_are_not_read(app, meta):
    photo = app.uploads.parent / "private.jpg"
    shutil.copy(CHEETAH, photo)
    for path in (str(photo), CHEETAH, f"{app.uploads}/../{photo.name}", "/etc/passwd"):
        request = {"path": path} | ({"meta": meta} if meta else {})
        event, data = call(app, "captioning", request, 10, 5, 0, 20, True)
        assert event == "error", path
        assert "upload" in data["error"]  # refused for where it is, not for what is in it


def test_every_endpoint_is_documented(app, client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert {name for name in endpoints if "captioning" in name} == {"/captioning", "/captioning_rank"}
    parameters = endpoints["/captioning"]["parameters"]
    defaults = {parameter["parameter_name"]: parameter["parameter_default"] for parameter in parameters}
    assert defaults.pop("image") is None
    assert defaults == {"beam_size": 10, "n_best": 5, "length_penalty": 1.0, "max_length": 20, "rerank": True}
    assert all(endpoint["description"] for endpoint in endpoints.values())


def test_agents_find_the_endpoints_as_mcp_tools(app):
    schema = httpx.get(f"{app.url}gradio_api/mcp/schema", timeout=PATIENCE).json()
    tools = {tool["name"]: tool["inputSchema"] for tool in schema}
    assert {"captioning", "captioning_rank"} <= set(tools)
    properties = tools["captioning"]["properties"]
    assert set(properties) == {"image", "beam_size", "n_best", "length_penalty", "max_length", "rerank"}
    assert all(value["description"] for value in properties.values())
    assert tools["captioning"]["required"] == ["image"]
