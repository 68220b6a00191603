"""What the app leaves behind: nothing, be it soon after a visit or when it is ended in the middle of its work."""

import signal
import time
from pathlib import Path

import gradio as gr
from gradio_client import Client

from tests.e2e.api import upload
from tests.e2e.conftest import PATIENCE, running_app

SECONDS = 5  # that a process manager waits before it kills
LONG_TEXT = ("linux", "static int ", 0.7, 0, 1.0, 20_000, 1)  # takes ten seconds and more


def test_a_termination_during_a_request_ends_the_app_within_seconds(tmp_path):
    with running_app(tmp_path) as app:
        client = Client(app.url, verbose=False, httpx_kwargs={"timeout": PATIENCE})
        client.predict("linux", "", 0.7, 0, 1.0, 10, 1, api_name="/generation")  # the network is loaded
        job = client.submit(*LONG_TEXT, api_name="/generation")
        time.sleep(2)
        assert not job.done()
        start = time.monotonic()
        app.process.send_signal(signal.SIGTERM)
        assert app.process.wait(PATIENCE) == 0
        assert time.monotonic() - start <= SECONDS
        assert not app.uploads.exists()


def test_an_upload_is_deleted_when_its_time_is_over(tmp_path):
    with running_app(tmp_path, UNROLLED_KEEP_SECONDS="3") as app:
        before = set(app.uploads.rglob("*"))  # the pictures of the examples, which stay
        file = Path(upload(app, gr.media.get_image("cheetah1.jpg"))["path"])  # not one of the examples
        assert file.exists()
        end = time.monotonic() + PATIENCE
        while file.exists() and time.monotonic() < end:
            time.sleep(1)
        assert not file.exists()
        assert all(path.exists() for path in before)
