"""How the app ends: soon, even while it works, and without leaving anything behind."""

import signal
import time

from gradio_client import Client

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
