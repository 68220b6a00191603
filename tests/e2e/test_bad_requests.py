"""What visitors and scripts send by mistake or to do harm, over plain HTTP: each gets an answer or a sentence.

Pictures are those of tests/bad_input.py; test_captioning_api.py sends them to the captioner and measures memory, too.
All run against one app, which must serve the next visitor after each.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import gradio as gr
import httpx
import pytest

from tests.bad_clips import BAD_CLIPS, EITHER
from tests.bad_input import BAD_IMAGES
from tests.e2e.api import call, upload
from tests.e2e.conftest import PATIENCE, App

LION = gr.media.get_image("lion.jpg")
MARKED = {"_type": "gradio.FileData"}
# What a request of each endpoint that takes a file has after it.
AFTER_FILE = {
    "captioning": (10, 5, 0.7, 20, True), "captioning_rank": ("a lion",), "vqa": ("What animal is this?", []),
    "lipreading": ("words", 10, 5, False),
}  # fmt: skip
UPLOADABLE = {name: case for name, case in BAD_IMAGES.items() if name not in ("folder", "missing")}


def refused(app: App, endpoint: str, *data: object) -> str:
    """The sentence that refuses a request."""
    event, answer = call(app, endpoint, *data)
    assert event == "error", answer
    sentence = answer["error"]
    assert len(sentence.split()) > 3
    for inside in ("Traceback", "site-packages", "pydantic", "<gradio", "object at"):
        assert inside not in sentence
    assert str(app.uploads) not in sentence
    return sentence


@pytest.fixture(autouse=True)
def the_next_visitor_is_served(app: App) -> Iterator[None]:
    """After each request of this file."""
    yield
    event, answer = call(app, "sentiment", "A wonderful film", "auto", False)
    assert (event, answer[0]["label"]) == ("complete", "positive")


# --- pictures, clips, texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["captioning_rank", "vqa"])
@pytest.mark.parametrize("case", UPLOADABLE.values(), ids=UPLOADABLE)
def test_a_picture_is_served_or_refused(app, endpoint, case, tmp_path):
    request = (upload(app, case.write(tmp_path)), *AFTER_FILE[endpoint])
    if case.refusal is None:
        assert call(app, endpoint, *request)[0] == "complete"
    else:
        assert case.refusal in refused(app, endpoint, *request)


@pytest.mark.parametrize("case", BAD_CLIPS.values(), ids=BAD_CLIPS)
def test_a_clip_is_served_or_refused_and_takes_little_memory(app, case, tmp_path):
    request = (upload(app, case.write(tmp_path)), *AFTER_FILE["lipreading"])
    app.forget_peak()
    before = app.memory()
    if case.refusal is None or (case.refusal == EITHER and call(app, "lipreading", *request)[0] == "complete"):
        assert call(app, "lipreading", *request)[0] == "complete"
    else:
        assert case.refusal in refused(app, "lipreading", *request)
    assert app.memory("VmHWM") - before < 400  # ten seconds of frames may stay in memory while they are read


QUESTIONS = {
    "empty": ("", "empty"), "spaces": ("  \n ", "empty"), "long": ("x" * 10_001, "characters"), "emoji": ("😀", "word"),
    "script": ("что это", "English"), "odd": ("<b>what</b> is ' OR 1=1 -- this", None), "unknown": ("zq?", "known"),
}  # fmt: skip
REVIEWS = {
    "empty": ("", "empty"), "spaces": (" \t\n", "empty"), "emoji": ("😀", "words"),
    "half a MB": ("good " * 110_000, "characters"),
    "script": ("Хорошо", "not supported"), "one word": ("a" * 10_000, None), "html": ("<script>good</script>", None),
    "mixed": ("정말 good 영화", None), "control": ("good\x00film\x1b[31m", None),
}  # fmt: skip
SENTENCES = {
    "empty": ("", "empty"), "spaces": ("   ", "empty"), "emoji": ("😀🎉", None), "one word": ("x" * 10_000, None),
    "html": ("<b>A dog</b><script>alert(1)</script>", None), "mixed": ("Собака bellt und barks", None),
    "too long": ("a " * 60_000, "characters"), "control": ("A\x00dog", None),
}  # fmt: skip
BEGINNINGS = {
    "empty": ("", None), "unknown": ("漢字", None), "long": ("int x;\n" * 15_000, None), "control": ("\x00\x1b", None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), QUESTIONS.values(), ids=QUESTIONS)
def test_a_question_is_answered_or_refused(app, text, reason):
    answered_or_refused(app, reason, "vqa", upload(app, LION), text, [])


@pytest.mark.parametrize(("text", "reason"), REVIEWS.values(), ids=REVIEWS)
def test_a_review_is_judged_or_refused(app, text, reason):
    answered_or_refused(app, reason, "sentiment", text, "auto", False)


@pytest.mark.parametrize(("text", "reason"), SENTENCES.values(), ids=SENTENCES)
def test_a_sentence_is_translated_or_refused(app, text, reason):
    answered_or_refused(app, reason, "translation", text, "en", "de", 2, 1.0, True)


@pytest.mark.parametrize(("text", "reason"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_beginning_is_written_on_or_refused(app, text, reason):
    answered_or_refused(app, reason, "generation", "linux", text, 0.7, 0, 1.0, 30, 1, True)


def answered_or_refused(app: App, reason: str | None, endpoint: str, *data: object) -> None:
    """Reason: a word of the sentence that refuses it; None: it must be answered."""
    if reason is None:
        event, answer = call(app, endpoint, *data)
        assert event == "complete", answer
    else:
        assert reason in refused(app, endpoint, *data)


# --- requests of a program -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", AFTER_FILE)
@pytest.mark.parametrize("marked", [True, False], ids=["checked by gradio", "missed by gradio"])
def test_only_uploads_are_read(app, endpoint, marked):
    private = app.uploads.parent / "private.jpg"
    private.write_bytes(Path(LION).read_bytes())
    paths = (
        str(private),
        f"{app.uploads}/../{private.name}",
        "/etc/passwd",
        "/proc/self/environ",
        "file:///etc/passwd",
    )
    for path in paths:
        sentence = refused(app, endpoint, {"path": path} | ({"meta": MARKED} if marked else {}), *AFTER_FILE[endpoint])
        assert "upload" in sentence or "http" in sentence  # refused for where it is, not for what is in it


@pytest.fixture
def inner_server() -> Iterator[tuple[int, list[str]]]:
    """A server inside the network: its port, and what it was asked for."""
    asked: list[str] = []

    class Photo(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(Path(LION).read_bytes())

    server = HTTPServer(("127.0.0.1", 0), Photo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("endpoint", AFTER_FILE)
def test_no_address_inside_the_network_is_fetched(app, endpoint, inner_server):
    port, asked = inner_server
    hosts = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1", "2130706433", "[::ffff:127.0.0.1]")
    urls = [f"http://{host}:{port}/lion.jpg" for host in hosts]
    urls += ["http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/computeMetadata/v1/"]
    for url in urls:
        for file in ({"path": url, "meta": MARKED}, {"path": url}, {"url": url, "path": "", "meta": MARKED}):
            refused(app, endpoint, file, *AFTER_FILE[endpoint])
    assert asked == []


WRONG_TYPES = {
    "photo as text": ("captioning", "photo.jpg", 10, 5, 0.7, 20, True),
    "photo as list": ("captioning", ["x"], 10, 5, 0.7, 20, True),
    "photo as number": ("vqa", 5, "What is this?", []),
    "path as number": ("captioning", {"path": 5}, 10, 5, 0.7, 20, True),
    "no photo": ("captioning", None, 10, 5, 0.7, 20, True),
    "no question": ("vqa", {"path": ""}, None, []),
    "clip as text": ("lipreading", "clip.mp4", "words", 10, 5, False),
    "no clip": ("lipreading", None, "words", 10, 5, False),
    "beams as text": ("translation", "A dog", "en", "de", "x", 1, True),
    "beams as truth": ("translation", "A dog", "en", "de", True, 1, True),
    "no beams": ("translation", "A dog", "en", "de", -1, 1, True),
    "many beams": ("translation", "A dog", "en", "de", 10**9, 1, True),
    "language as list": ("translation", "A dog", ["en"], "de", 5, 1, True),
    "text as number": ("sentiment", 5, "auto", True),
    "text as list": ("sentiment", ["good"], "auto", True),
    "text as object": ("translation", {"text": "A dog"}, "en", "de", 5, 1, True),
    "no text": ("sentiment", None, "auto", True),
    "truth as text": ("sentiment", "good", "auto", "maybe"),
    "no such language": ("sentiment", "good", "latin", True),
    "no such corpus": ("generation", "cookery", "", 0.7, 0, 1.0, 30, 1, True),
    "prompt as list": ("generation", "linux", [], 0.7, 0, 1.0, 30, 1, True),
    "length as text": ("generation", "linux", "", 0.7, 0, 1.0, "long", 1, True),
    "no length": ("generation", "linux", "", 0.7, 0, 1.0, 0, 1, True),
    "huge seed": ("generation", "linux", "", 0.7, 0, 1.0, 30, 10**30, True),
    "cold": ("generation", "linux", "", -1, 0, 1.0, 30, 1, True),
}


@pytest.mark.parametrize("request_", WRONG_TYPES.values(), ids=WRONG_TYPES)
def test_values_of_the_wrong_type_or_size_are_refused(app, request_):
    endpoint, *data = request_
    refused(app, endpoint, *data)


@pytest.mark.parametrize(("endpoint", "count"), [("sentiment", 3), ("translation", 6), ("generation", 8), ("vqa", 3)])
def test_too_few_and_too_many_values_are_refused(app, endpoint, count):
    for data in ([], ["good"], ["good"] * (count + 1)):
        assert f"{count} values, not {len(data)}" in refused(app, endpoint, *data)


@pytest.mark.parametrize(
    "body",
    [b"{not json", b"[]", b"{}", b'{"data": "good"}', b'{"data": {"text": "good"}}', b'{"data": null}', b"\xff\xfe"],
)
def test_a_body_that_is_no_request_is_refused(app, body):
    url, header = f"{app.url}gradio_api/call/sentiment", {"content-type": "application/json"}
    assert httpx.post(url, content=body, headers=header, timeout=PATIENCE).status_code in (400, 422)


@pytest.mark.parametrize("path", ["/etc/passwd", "app.py", "../app.py", "requirements.txt", "http://127.0.0.1:9/x"])
def test_no_file_of_the_server_is_served(app, path):
    assert httpx.get(f"{app.url}gradio_api/file={path}", timeout=PATIENCE).status_code in (403, 404)
