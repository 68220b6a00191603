"""Speed of the VQA network beside BLIP for visual question answering, in one run on one machine.

    python -m benchmarks.vqa [--runs 20] [--json]

The peer has the published shape and random weights: only its time is compared (see benchmarks/peers.py). It reads as
many tokens as the question has words and three more, and says one word. Ours gives five answers, each with the photo
and without it, as the page shows them. Runs alternate between the systems.
"""

import argparse
import json
import os
import statistics
import time
from itertools import cycle, islice
from pathlib import Path

import gradio.media
import torch

from benchmarks.peers import answer, build_blip_vqa
from demos.vqa.predict import VQAPredictor

ASKED = (  # about photos that gradio ships
    ("bus.png", "What color is the bus?"),
    ("lion.jpg", "What animal is this?"),
    ("cheetah1.jpg", "Is there a dog in the picture?"),
    ("tower.jpg", "How many people are there?"),
)


def latency(predictor: VQAPredictor, runs: int) -> dict[str, dict[str, float]]:
    """p50 and p95 seconds from photo file to answer, ours and BLIP's, after one warm-up each."""
    blip = build_blip_vqa()
    seconds: dict[str, list[float]] = {"Unrolled, 5 answers": [], "BLIP-base VQA, greedy": []}
    for number, (name, question) in enumerate(islice(cycle(ASKED), runs + 1)):
        file = Path(gradio.media.get_image(name))
        tokens = torch.randint(1000, 20_000, (1, len(question.split()) + 3))
        start = time.perf_counter()
        predictor(file, question)
        middle = time.perf_counter()
        answer(blip, file, tokens)
        end = time.perf_counter()
        if number:
            for values, passed in zip(seconds.values(), (middle - start, end - middle), strict=True):
                values.append(passed)
    ours = statistics.median(next(iter(seconds.values())))
    return {
        name: {
            "p50": statistics.median(values),
            "p95": statistics.quantiles(values, n=20)[-1],
            "times ours": statistics.median(values) / ours,
        }
        for name, values in seconds.items()
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="questions per system, at least 2")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = {
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "seconds per question": latency(VQAPredictor.from_pretrained(), options.runs),
    }
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{figures['cores']} cores, torch {figures['torch']}, median of {options.runs} questions\n")
    print(f"{'photo file to answer':24} {'p50 s':>8} {'p95 s':>8} {'x ours':>8}")
    for name, row in figures["seconds per question"].items():
        print(f"{name:24} {row['p50']:8.3f} {row['p95']:8.3f} {row['times ours']:8.1f}")


if __name__ == "__main__":
    main()
