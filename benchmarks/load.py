"""Many impatient visitors at once, mixed demos, against the real app over loopback.

    python -m benchmarks.load [--clients 50] [--minutes 5] [--keep 60] [--json]

Prints answers, errors, latency, the app's memory before and after, whether its temporary files were gone after the
clean-up interval (--keep seconds here, an hour otherwise), and how long it took to end when it was terminated while it
wrote a long text. "The queue is full" is counted apart: it is what the app is to say when too many wait.
"""

import argparse
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import httpx
from gradio_client import Client, handle_file

from core.input.video import save_video
from demos.lipreading.animator import FPS, speak

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 600  # seconds, for an answer
LONG_TEXT = ("linux", "static int ", 0.7, 0, 1.0, 20_000, 1)  # takes many seconds


def requests(folder: Path) -> dict[str, tuple[Any, ...]]:
    """One request of each demo; the clip, a drawn mouth, is written into the folder."""
    photo, clip = handle_file(gr.media.get_image("lion.jpg")), folder / "clip.mp4"
    save_video(clip, speak("place blue at f two now", 5).video.frames, FPS)
    return {
        "/captioning": (photo,),
        "/vqa": (photo, "What animal is this?"),
        "/translation": ("A dog runs on the beach.", "en", "de"),
        "/sentiment": ("Not bad at all, and better than I had feared.",),
        "/generation": ("linux", "static int ", 0.7, 0, 1.0, 200, 1),
        "/lipreading": (handle_file(str(clip)), "animated"),
    }


@contextmanager
def running_app(temporary: Path, keep: int, every: float = 0.5) -> Iterator[tuple[str, subprocess.Popen]]:
    """The app in a process of its own: its address, and the process. `every`: seconds between two looks if it is up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"GRADIO_TEMP_DIR": str(temporary), "UNROLLED_KEEP_SECONDS": str(keep)}
    command = [sys.executable, "app.py", "--port", str(port)]
    app = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for(url, every)
        yield url, app
    finally:
        app.kill()
        app.wait()


def wait_for(url: str, every: float, seconds: int = 120) -> None:
    """Until the page answers. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            httpx.get(url)
            return
        except httpx.HTTPError:
            time.sleep(every)
    raise TimeoutError(f"The app did not come up within {seconds} s.")


def client_of(url: str) -> Client:
    """A client with patience."""
    return Client(url, verbose=False, httpx_kwargs={"timeout": PATIENCE})


def resident(process: subprocess.Popen) -> float:
    """MB in memory."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024


def files_in(folder: Path) -> int:
    """How many files lie under a folder."""
    return sum(1 for file in folder.rglob("*") if file.is_file())


def visit(
    url: str,
    calls: dict[str, tuple[Any, ...]],
    until: float,
    seed: int,
    seconds: dict[str, list[float]],
    errors: Counter,
) -> None:
    """One visitor: request after request, until the time is over."""
    rng = random.Random(seed)
    client = client_of(url)
    while time.monotonic() < until:
        name = rng.choice(list(calls))
        start = time.perf_counter()
        try:
            client.predict(*calls[name], api_name=name)
            seconds[name].append(time.perf_counter() - start)
        except Exception as error:  # whatever comes is what is counted here
            full = "full" in str(error).lower()
            errors["queue is full" if full else f"{name} {type(error).__name__}: {str(error)[:120]}"] += 1
            time.sleep(1)


def seconds_to_end(url: str, app: subprocess.Popen) -> float:
    """Terminate the app in the middle of a long request."""
    job = client_of(url).submit(*LONG_TEXT, api_name="/generation")
    time.sleep(2)
    if job.done():
        raise RuntimeError("The long request was over before the app could be terminated.")
    start = time.perf_counter()
    app.send_signal(signal.SIGTERM)
    app.wait(PATIENCE)
    return time.perf_counter() - start


def run(clients: int, minutes: float, keep: int) -> dict[str, Any]:
    """Start the app, warm it up, let the visitors in, wait for the clean-up, end it."""
    with TemporaryDirectory() as clips, TemporaryDirectory() as temporary:
        calls, folder = requests(Path(clips)), Path(temporary)
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        errors: Counter = Counter()
        with running_app(folder, keep) as (url, app):
            own, warm = files_in(folder), client_of(url)  # the pictures of the examples stay
            for _ in range(3):
                for name, arguments in calls.items():
                    warm.predict(*arguments, api_name=name)
            before, until = resident(app), time.monotonic() + 60 * minutes
            visitors = [
                threading.Thread(target=visit, args=(url, calls, until, n, seconds, errors)) for n in range(clients)
            ]
            for visitor in visitors:
                visitor.start()
            for visitor in visitors:
                visitor.join()
            after, uploaded = resident(app), files_in(folder) - own
            time.sleep(2 * keep + 5)  # a file may be looked at just before it is old enough
            left = files_in(folder) - own
            ended = seconds_to_end(url, app)
    everything = [value for values in seconds.values() for value in values]
    quantiles = statistics.quantiles(everything, n=20)
    return {
        "clients": clients,
        "minutes": minutes,
        "answers": {name: len(values) for name, values in seconds.items()},
        "answers_per_second": round(len(everything) / (60 * minutes), 1),
        "p50_s": round(quantiles[9], 2),
        "p95_s": round(quantiles[18], 2),
        "errors": dict(errors),
        "memory_before_mb": round(before),
        "memory_after_mb": round(after),
        "memory_growth_percent": round(100 * (after / before - 1), 1),
        "temporary_files_after_the_run": uploaded,
        "temporary_files_after_the_clean_up": left,
        "seconds_to_end_during_a_request": round(ended, 1),
    }


def main() -> int:
    """Run and print; returns the exit status: 1 where the app did not hold out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--keep", type=int, default=60, help="seconds that the app keeps temporary files in this run")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = run(options.clients, options.minutes, options.keep)
    print(json.dumps(figures, indent=None if options.json else 2))
    held_out = (
        not set(figures["errors"]) - {"queue is full"}
        and figures["memory_growth_percent"] <= 15
        and figures["temporary_files_after_the_clean_up"] == 0
        and figures["seconds_to_end_during_a_request"] <= 5
    )
    return 0 if held_out else 1


if __name__ == "__main__":
    sys.exit(main())
