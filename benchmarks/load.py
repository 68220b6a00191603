"""Many impatient visitors at once, mixed demos, against the real app over loopback.

    python -m benchmarks.load [--clients 50] [--minutes 5] [--json]

Prints requests, errors, latency and the app's memory before and after. "The queue is full" is counted apart: it is what
the app is to say when too many wait.
"""

import argparse
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import httpx
from gradio_client import Client, handle_file

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 600  # seconds, for an answer


def requests() -> dict[str, tuple[Any, ...]]:
    """One request of each demo."""
    photo = handle_file(gr.media.get_image("lion.jpg"))
    return {
        "/captioning": (photo,),
        "/vqa": (photo, "What animal is this?"),
        "/translation": ("A dog runs on the beach.", "en", "de"),
        "/sentiment": ("Not bad at all, and better than I had feared.",),
        "/generation": ("linux", "static int ", 0.7, 0, 1.0, 200, 1),
    }


def resident(process: subprocess.Popen) -> float:
    """MB in memory."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024


def visit(url: str, until: float, seed: int, seconds: dict[str, list[float]], errors: Counter) -> None:
    """One visitor: request after request, until the time is over."""
    rng, calls = random.Random(seed), requests()
    client = Client(url, verbose=False, httpx_kwargs={"timeout": PATIENCE})
    while time.monotonic() < until:
        name = rng.choice(list(calls))
        start = time.perf_counter()
        try:
            client.predict(*calls[name], api_name=name)
            seconds[name].append(time.perf_counter() - start)
        except Exception as error:  # whatever comes is what is counted here
            full = "full" in str(error).lower()
            errors["queue is full" if full else f"{type(error).__name__}: {str(error)[:120]}"] += 1
            time.sleep(1)


def run(clients: int, minutes: float) -> dict[str, Any]:
    """Start the app, warm it up, let the visitors in."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    with TemporaryDirectory() as folder:
        environment = os.environ | {"GRADIO_TEMP_DIR": folder}
        command = [sys.executable, "app.py", "--port", str(port)]
        app = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            wait_for(url)
            seconds: dict[str, list[float]] = {name: [] for name in requests()}
            errors: Counter = Counter()
            warm = Client(url, verbose=False, httpx_kwargs={"timeout": PATIENCE})
            for _ in range(3):
                for name, arguments in requests().items():
                    warm.predict(*arguments, api_name=name)
            before, until = resident(app), time.monotonic() + 60 * minutes
            threads = [threading.Thread(target=visit, args=(url, until, n, seconds, errors)) for n in range(clients)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            after = resident(app)
        finally:
            app.terminate()
            app.wait()
        left = sum(1 for file in Path(folder).rglob("*") if file.is_file())
    everything = [value for values in seconds.values() for value in values]
    quantiles = statistics.quantiles(everything, n=20)
    return {
        "clients": clients, "minutes": minutes, "answers": {name: len(values) for name, values in seconds.items()},
        "p50_s": round(quantiles[9], 2), "p95_s": round(quantiles[18], 2), "errors": dict(errors),
        "memory_before_mb": round(before), "memory_after_mb": round(after), "files_left_after_the_end": left,
    }  # fmt: skip


def wait_for(url: str, seconds: int = 120) -> None:
    """Until the page answers. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            httpx.get(url)
            return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise TimeoutError(f"The app did not come up within {seconds} s.")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = run(options.clients, options.minutes)
    print(json.dumps(figures, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
