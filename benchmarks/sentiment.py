"""Speed of the sentiment network beside DistilBERT, in one run on one machine.

    python -m benchmarks.sentiment [--runs 50] [--sentences 10000] [--json]

DistilBERT has the published shape and random weights: only its time is compared (see benchmarks/peers.py). It is given
token ids, as its vocabulary is not here; ours starts from the text. Both serve in bulk what they serve best: batches of
like length.
"""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.peers import build_distilbert, classify
from core.training.batches import batches_by_length
from demos.sentiment.predict import SentimentOptions, SentimentPredictor, encode_texts

TOKENS = 64  # with <bos> and <eos>, as DistilBERT's with [CLS] and [SEP]
PHRASE = "the film is a story of people who are not what they seem and has some good moments but many dull ones too"


def sentence(predictor: SentimentPredictor, rng: random.Random, tokens: int) -> str:
    """Words that make exactly so many tokens for our network."""
    tokenizer = predictor.networks["english"].tokenizer
    words: list[str] = []
    while True:
        word = rng.choice(PHRASE.split())
        (encoded,) = encode_texts(tokenizer, [" ".join([*words, word])], 10**6)
        if len(encoded.ids) <= tokens:
            words.append(word)
        if len(encoded.ids) == tokens:
            return " ".join(words)


def alternate(systems: dict[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """Seconds of each system in each of `runs` rounds, after three for warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(runs + 3):
        for name, call in systems.items():
            start = time.perf_counter()
            call()
            if number >= 3:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def latency(predictor: SentimentPredictor, peer, runs: int) -> dict[str, dict[str, float]]:
    """p50 and p95 in ms of one sentence of 64 tokens, and the ratio of each median to ours."""
    rng = random.Random(1)
    texts = iter([sentence(predictor, rng, TOKENS) for _ in range(2 * (runs + 3))])
    explain = SentimentOptions(explain=True)
    seconds = alternate(
        {
            "Unrolled": lambda: predictor(next(texts)),
            "Unrolled, explained": lambda: predictor(next(texts), explain),
            "DistilBERT": lambda: classify(peer, torch.randint(1000, 30000, (1, TOKENS))),
        },
        runs,
    )
    ours = statistics.median(seconds["Unrolled"])
    return {
        name: {
            "p50 ms": 1000 * statistics.median(values),
            "p95 ms": 1000 * statistics.quantiles(values, n=20)[-1],
            "times ours": statistics.median(values) / ours,
        }
        for name, values in seconds.items()
    }


def throughput(predictor: SentimentPredictor, peer, sentences: int) -> dict[str, float]:
    """Sentences per second in bulk: lengths from 4 to 64 tokens, as in SST. DistilBERT gets a tenth of them."""
    rng = random.Random(2)
    lengths = [min(64, max(4, round(rng.gauss(24, 11)))) for _ in range(sentences)]
    pool = {length: sentence(predictor, rng, length) for length in range(4, 65)}
    texts = [pool[length] for length in lengths]
    start = time.perf_counter()
    answered = sum(1 for _ in predictor.stream(texts))
    ours = time.perf_counter() - start
    some = lengths[: max(64, sentences // 10)]
    start = time.perf_counter()
    for rows in batches_by_length(some, 64, 16384):
        longest = max(some[row] for row in rows)
        mask = torch.arange(longest) < torch.tensor([some[row] for row in rows]).unsqueeze(1)
        classify(peer, torch.randint(1000, 30000, (len(rows), longest)), mask.long())
    theirs = time.perf_counter() - start
    return {"Unrolled": answered / ours, "DistilBERT": len(some) / theirs}


def measure(runs: int, sentences: int) -> dict:
    """All figures as one record."""
    predictor, peer = SentimentPredictor.from_pretrained(), build_distilbert()
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "one sentence": latency(predictor, peer, runs),
        "sentences per second": throughput(predictor, peer, sentences),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=50, help="sentences per system")
    parser.add_argument("--sentences", type=int, default=10_000, help="sentences in bulk")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.runs, options.sentences)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{figures['cores']} cores, {figures['threads']} threads, torch {figures['torch']}, {options.runs} runs\n")
    print(f"{'one sentence of 64 tokens':28} {'p50 ms':>8} {'p95 ms':>8} {'x ours':>8}")
    for name, row in figures["one sentence"].items():
        print(f"{name:28} {row['p50 ms']:8.2f} {row['p95 ms']:8.2f} {row['times ours']:8.2f}")
    rates = figures["sentences per second"]
    ratio = rates["Unrolled"] / rates["DistilBERT"]
    print(
        f"\nin bulk, sentences per second: Unrolled {rates['Unrolled']:.0f}, DistilBERT {rates['DistilBERT']:.0f}",
        end="",
    )
    print(f" ({ratio:.1f} x)")


if __name__ == "__main__":
    main()
