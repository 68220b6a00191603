"""Who closes the page while a text is written ends the work."""

import time
from collections.abc import Iterator

import gradio as gr
import httpx
import pytest

from core.input.tokenizers import Token
from demos.generation import predict, tab

PATIENCE = 60  # seconds


class EndlessPredictor:
    """Stands in for the network: it writes until somebody stops it."""

    corpora = {"linux": ("C", "characters", "")}  # noqa: RUF012
    chunks, closed = 0, False

    def pieces(self, corpus: str, prompt: str) -> tuple[list[str], tuple[str, ...]]:
        return list(prompt), ()

    def stream(self, corpus: str, prompt: str, options: object) -> Iterator[tuple[Token, ...]]:
        try:
            while True:
                self.chunks += 1
                time.sleep(0.02)
                yield (Token("x", -1.0),)
        finally:
            self.closed = True


@pytest.fixture
def writer(monkeypatch):
    predictor = EndlessPredictor()
    monkeypatch.setattr(predict, "get_predictor", lambda corpus="": predictor)
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    return predictor


@pytest.fixture
def page(writer) -> Iterator[gr.Blocks]:
    with gr.Blocks() as page, gr.Tab("Writing"):
        tab.build()
    page.queue().launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    yield page
    page.close()


def until(condition) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(condition())


def test_closing_the_page_stops_the_work(page, writer):
    (number,) = [number for number, event in page.fns.items() if event.fn is tab.write]
    request = {"data": ["linux", "int ", 0.7, 0, 1.0, 600, 1, True], "fn_index": number, "session_hash": "visitor"}
    address = page.local_api_url
    with httpx.Client(timeout=PATIENCE) as browser:
        browser.post(f"{address}queue/join", json=request).raise_for_status()
        with browser.stream("GET", f"{address}queue/data", params={"session_hash": "visitor"}) as events:
            assert any("process_generating" in line for line in events.iter_lines())
    assert until(lambda: writer.closed)
    chunks = writer.chunks
    time.sleep(0.3)
    assert writer.chunks == chunks
