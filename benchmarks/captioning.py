"""Speed and memory of the captioner beside what a user would pick instead, all in one run on one machine.

    python -m benchmarks.captioning [--runs 20] [--json]

The peers have the published shape and random weights: only their times are compared (see benchmarks/peers.py). Runs
alternate between the systems, so that a noisy neighbour slows all of them alike.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from urllib.request import urlopen

import gradio.media
import torch

from benchmarks.peers import build_blip, build_vit_gpt2, caption
from demos.captioning.predict import CaptioningOptions, CaptioningPredictor

REPOSITORY = Path(__file__).resolve().parent.parent
PHOTOS = ("cheetah1.jpg", "lion.jpg", "tower.jpg", "bus.png")  # that gradio ships


def photo_files() -> list[Path]:
    """Sample photos that come with gradio."""
    return [Path(gradio.media.get_image(name)) for name in PHOTOS]


def alternate(systems: dict[str, Callable[[Path], object]], runs: int) -> dict[str, list[float]]:
    """Seconds of each system on each of `runs` photos, after one warm-up each."""
    files = photo_files()
    for answer in systems.values():
        answer(files[0])
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for file in islice(cycle(files), runs):
        for name, answer in systems.items():
            start = time.perf_counter()
            answer(file)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def throughput(predictor: CaptioningPredictor, photos: int) -> dict[str, float]:
    """Photos per second, one call each and as a folder is served."""
    files = list(islice(cycle(photo_files()), photos))
    start = time.perf_counter()
    for file in files:
        predictor(file)
    middle = time.perf_counter()
    for _ in predictor.stream(files):
        pass
    end = time.perf_counter()
    return {"one by one": photos / (middle - start), "folder": photos / (end - middle)}


def serve() -> dict[str, float]:
    """Start the app as a user would: seconds to the first page and the first caption, resident MB after."""
    from gradio_client import Client, handle_file

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    start = time.perf_counter()
    app = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    try:
        first_page = _wait_for(url, start)
        client = Client(url, verbose=False)
        ends = []
        for file in photo_files():
            client.predict(handle_file(str(file)), api_name="/captioning")
            ends.append(time.perf_counter())
        return {"first page": first_page, "first caption": ends[0] - start, "resident MB": _resident_mb(app.pid)}
    finally:
        app.terminate()
        app.wait(20)


def _wait_for(url: str, start: float) -> float:
    while time.perf_counter() - start < 120:
        try:
            with urlopen(url, timeout=5) as page:
                page.read()
            return time.perf_counter() - start
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"{url} did not answer within two minutes")


def _resident_mb(pid: int) -> float:
    fields = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) / 1024


def latency(predictor: CaptioningPredictor, runs: int) -> dict[str, dict[str, float]]:
    """p50 and p95 of ours and of the peers, and the ratio of each to ours."""
    blip, vit_gpt2 = build_blip(), build_vit_gpt2()
    options = CaptioningOptions()
    seconds = alternate(
        {
            "Unrolled, 10 hypotheses, 5 shown": lambda file: predictor(file, options),
            "BLIP-base, greedy": lambda file: caption(blip, file),
            "ViT-GPT2, greedy": lambda file: caption(vit_gpt2, file),
            "ViT-GPT2, beam 5": lambda file: caption(vit_gpt2, file, num_beams=5),
        },
        runs,
    )
    ours = statistics.median(next(iter(seconds.values())))
    return {
        name: {
            "p50": statistics.median(values),
            "p95": statistics.quantiles(values, n=20)[-1],
            "times ours": statistics.median(values) / ours,
        }
        for name, values in seconds.items()
    }


def measure(runs: int) -> dict:
    """All figures as one record."""
    predictor = CaptioningPredictor.from_pretrained()
    return {
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "seconds per photo": latency(predictor, runs),
        "photos per second": throughput(predictor, 64),
        "app": serve(),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="photos per system")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.runs)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{figures['cores']} cores, torch {figures['torch']}, median of {options.runs} photos\n")
    print(f"{'photo file to caption':34} {'p50 s':>8} {'p95 s':>8} {'x ours':>8}")
    for name, row in figures["seconds per photo"].items():
        print(f"{name:34} {row['p50']:8.3f} {row['p95']:8.3f} {row['times ours']:8.1f}")
    rates, app = figures["photos per second"], figures["app"]
    ratio = rates["folder"] / rates["one by one"]
    print(f"\nphotos per second: one by one {rates['one by one']:.1f}, folder {rates['folder']:.1f} ({ratio:.1f} x)")
    print(f"app: first page {app['first page']:.1f} s, first caption {app['first caption']:.1f} s from start,", end=" ")
    print(f"{app['resident MB']:.0f} MB resident after four captions")


if __name__ == "__main__":
    main()
