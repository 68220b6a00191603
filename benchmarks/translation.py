"""Speed and memory of the translator beside a Marian model (OPUS-MT), all in one run on one machine.

    python -m benchmarks.translation [--runs 10] [--sentences 1000] [--json]

Marian has the published shape and random weights (see benchmarks/peers.py): it reads and writes as many tokens as ours
does of the same sentences, and its tokenizer is left out. Single sentences alternate between the systems, so that a
noisy neighbour slows both alike. Of a file, both translate sentences of like length together; Marian 32 at a time.
"""

import argparse
import json
import multiprocessing
import os
import random
import re
import statistics
import time
from itertools import cycle, islice
from pathlib import Path

import torch

from demos.translation.predict import TranslationOptions, TranslationPredictor

BEAM = TranslationOptions(beam_size=5)
FIFTEEN_WORDS = (
    "A young man in a red shirt is riding a bicycle down a busy city street.",
    "Two little girls with long brown hair are playing in the sand on a sunny beach.",
    "An old woman is sitting on a wooden bench and reading a newspaper in the park.",
    "Several people in yellow helmets are standing around a large machine on a building site today.",
)
_WHO = (
    "A man",
    "Two women in hats",
    "A small brown dog",
    "A group of young people",
    "The old man with a white beard",
    "Three children",
    "A tall girl",
    "Somebody in a blue coat",
)
_WHAT = ("is sleeping", "is playing with a red ball", "runs", "is looking at the camera and smiling", "waits quietly")
_WHERE = ("", " in the park", " on a busy street", " in front of a large brick building", " near the water")
_WHEN = ("", " at night", " while some other people are watching", " on a sunny day", " before the race begins")
MARIAN_BATCH = 32


def sentences(count: int) -> list[str]:
    """Made-up descriptions of 3 to 21 words, no two alike up to 1,000, in random order but always the same."""
    every = [f"{who} {what}{where}{when}." for who in _WHO for what in _WHAT for where in _WHERE for when in _WHEN]
    random.Random(1).shuffle(every)
    return list(islice(cycle(every), count))


def random_sources(lengths: list[int], vocab_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens (B, S) of these lengths and their mask, as Marian reads them."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, vocab_size - 1, (len(lengths), max(lengths)), generator=generator)
    return tokens, (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


def latency(predictor: TranslationPredictor, runs: int) -> dict[str, dict[str, float]]:
    """p50 and p95 seconds of one sentence of 15 words at beam 5, ours and Marian's."""
    from benchmarks.peers import build_marian, translate

    marian, seconds = build_marian(), {"Unrolled": [], "Marian (OPUS-MT)": []}
    for number, text in enumerate(islice(cycle(FIFTEEN_WORDS), runs + 1)):
        start = time.perf_counter()
        result = predictor(text, "en", "de", BEAM)
        middle = time.perf_counter()
        source = random_sources([_length(predictor, text)], marian.config.vocab_size)
        translate(marian, *source, len(result.hypotheses[0].tokens))
        end = time.perf_counter()
        if number:  # the first is the warm-up
            seconds["Unrolled"].append(middle - start)
            seconds["Marian (OPUS-MT)"].append(end - middle)
    return {
        name: {"p50": statistics.median(values), "p95": statistics.quantiles(values, n=20)[-1]}
        for name, values in seconds.items()
    }


def throughput(predictor: TranslationPredictor, count: int) -> dict[str, float]:
    """Sentences per second of a file, at beam 5."""
    from benchmarks.peers import build_marian, translate

    texts = sentences(count)
    start = time.perf_counter()
    results = list(predictor.stream(((text, "en", "de") for text in texts), BEAM))
    ours = time.perf_counter() - start
    marian = build_marian()
    jobs = sorted(
        (_length(predictor, text), len(result.hypotheses[0].tokens))
        for text, result in zip(texts, results, strict=True)
    )
    batches = [jobs[n : n + MARIAN_BATCH] for n in range(0, len(jobs), MARIAN_BATCH)]
    start = time.perf_counter()
    for batch in batches:
        source = random_sources([length for length, _ in batch], marian.config.vocab_size)
        translate(marian, *source, round(statistics.mean(length for _, length in batch)))
    theirs = time.perf_counter() - start
    return {"Unrolled": count / ours, "Marian (OPUS-MT)": count / theirs}


def _length(predictor: TranslationPredictor, text: str) -> int:
    return len(predictor.tokenizer.tokenize(text)) + 1


def memory_of_tab() -> float:
    """Resident MB of a process that serves this tab alone, after a translation with its alignment."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_serve_tab)


def _serve_tab() -> float:
    import gradio as gr

    from demos.translation import tab

    with gr.Blocks() as page:
        tab.build()
    page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
    tab.show_translation(FIFTEEN_WORDS[0], "en", "de", BEAM.beam_size, BEAM.length_penalty, BEAM.rerank)
    status = Path("/proc/self/status").read_text()
    page.close()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


def measure(runs: int, count: int) -> dict:
    """All figures as one record."""
    resident = memory_of_tab()
    predictor = TranslationPredictor.from_pretrained()
    return {
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "seconds per sentence": latency(predictor, runs),
        "sentences per second": throughput(predictor, count),
        "resident MB": resident,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10, help="single sentences per system")
    parser.add_argument("--sentences", type=int, default=1000, help="sentences of the file")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.runs, options.sentences)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{figures['cores']} cores, torch {figures['torch']}, beam 5\n")
    alone, file = figures["seconds per sentence"], figures["sentences per second"]
    print(f"{'':18} {'p50 s':>8} {'p95 s':>8} {'x ours':>8} {f'{options.sentences} sentences':>16} {'ours x':>8}")
    for name, row in alone.items():
        slower, faster = row["p50"] / alone["Unrolled"]["p50"], file["Unrolled"] / file[name]
        print(f"{name:18} {row['p50']:8.3f} {row['p95']:8.3f} {slower:8.1f} {file[name]:12.1f} / s {faster:8.1f}")
    print(f"\nmemory of the tab alone, the network loaded: {figures['resident MB']:.0f} MB resident")


if __name__ == "__main__":
    main()
