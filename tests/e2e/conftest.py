"""The real app with the real checkpoint, once per session, for the tests of page and API."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds, for machines that are busy with something else


@dataclass(frozen=True)
class App:
    """A running app."""

    url: str
    process: subprocess.Popen
    uploads: Path  # the folder of its temporary files

    def memory(self, what: str = "VmRSS") -> float:
        """Resident memory in MB: "VmRSS" now, "VmHWM" at its peak."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+) kB", status)[1]) / 1024

    def forget_peak(self) -> None:
        """Let VmHWM begin anew."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@contextmanager
def running_app(folder: Path, **variables: str) -> Iterator[App]:
    """`python app.py` with its temporary files under a folder and more variables; whoever is done with it ends it."""
    log = folder / "log.txt"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "GRADIO_TEMP_DIR": str(folder),
        "HF_HOME": str(folder / "hub"),
        "HF_ENDPOINT": "http://127.0.0.1:9",  # nothing listens there: as on a machine without a network
        **variables,
    }
    with log.open("w") as output:
        command = [sys.executable, "app.py", "--port", str(port)]
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}/"
        _wait_for(url, process, log)
        (uploads,) = folder.glob("unrolled-*")
        yield App(url, process, uploads)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app, ended as a process manager would: it must leave no upload behind."""
    folder = tmp_path_factory.mktemp("app")
    with running_app(folder) as app:
        yield app
        app.process.send_signal(signal.SIGTERM)
        assert app.process.wait(PATIENCE) == 0, (folder / "log.txt").read_text()
        assert not app.uploads.exists()


@pytest.fixture
def app_url(app: App) -> str:
    """Address of the page."""
    return app.url


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"The app ended: {log.read_text()}"
        try:
            if httpx.get(url, timeout=PATIENCE).status_code == 200:
                return
        except httpx.ConnectError:
            time.sleep(0.2)
    pytest.fail(f"The page did not come up: {log.read_text()}")
