"""One table of everything that was measured, for the README:  python -m benchmarks.report [--load-minutes 5]

Runs the benchmarks one after the other on this machine (half an hour on two cores) and prints Markdown: for each demo
its quality from checkpoints/*/metrics.json, with the best published figure beside it, latency, throughput, and the peer
of the shape that a user would pick instead. Then what the app costs, and how it holds out under load.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
Figures = dict[str, Any]

_FLICKR8K = {"data": "Flickr8k", "split": "test", "photos": 1000, "beam_size": 10, "rerank": True}

# checkpoint, what to look for among its evaluations, figure, how to call it, the best published one (see README)
QUALITY: dict[str, tuple[tuple[str, Figures, str, str, str], ...]] = {
    "captioning": (
        ("captioning", _FLICKR8K, "BLEU-4", "Flickr8k BLEU-4", "24.4"),
        ("captioning", _FLICKR8K, "CIDEr", "CIDEr", "58.9"),
    ),
    "vqa": (
        ("vqa", {"source": "human yes/no", "split": "test"}, "accuracy", "people's yes/no on COCO", "-"),
        ("vqa", {"source": "generated", "split": "test"}, "accuracy", "COCO-QA-like", "-"),
    ),
    "translation": (
        ("translation", {"split": "test2016", "direction": "en-de"}, "BLEU", "Multi30k en-de BLEU", "38.1"),
        ("translation", {"split": "test2016", "direction": "en-fr"}, "BLEU", "en-fr", "52.5"),
    ),
    "sentiment": (
        ("sentiment/english", {"data": "SST", "split": "test"}, "accuracy", "SST-2 accuracy", "91.8"),
        ("sentiment/english", {"data": "IMDB", "split": "test"}, "accuracy", "IMDB", "92.8"),
    ),
    "generation": (
        ("generation", {"data": "tinyshakespeare"}, "nats_per_character", "Tiny Shakespeare nats", "1.40"),
    ),
    "lipreading": (
        ("lipreading/words", {"data": "MIRACL-VC1", "split": "test"}, "words", "MIRACL-VC1 words", "65"),
        ("lipreading/grid", {"data": "GRID s1", "split": "test", "grammar": False}, "wer", "GRID WER", "4.8"),
    ),
}  # fmt: skip


def quality(demo: str, root: Path = ROOT) -> str:
    """The figures of a demo, each with the best published one in brackets."""
    cells = []
    for checkpoint, wanted, figure, name, anchor in QUALITY[demo]:
        file = root / "checkpoints" / checkpoint / "metrics.json"
        entries = json.loads(file.read_text(encoding="utf-8"))["evaluations"] if file.exists() else []
        found = next((e[figure] for e in entries if figure in e and wanted.items() <= e.items()), None)
        cells.append(f"{name} {'not measured' if found is None else f'{found:g}'} ({anchor})")
    return ", ".join(cells)


def captioning(figures: Figures) -> Figures:
    """p50, p95 and the peer's p50 in seconds, inputs per second, who the peer is."""
    rows = figures["seconds per photo"]
    ours, peer = rows["Unrolled, 10 hypotheses, 5 shown"], rows["BLIP-base, greedy"]
    return {"p50": ours["p50"], "p95": ours["p95"], "rate": f"{figures['photos per second']['folder']:.1f} photos",
            "peer": "BLIP-base", "peer_p50": peer["p50"]}  # fmt: skip


def vqa(figures: Figures) -> Figures:
    """As `captioning`."""
    ours, peer = figures["seconds per question"].values()
    return {"p50": ours["p50"], "p95": ours["p95"], "rate": f"{1 / ours['p50']:.1f} questions",
            "peer": "BLIP-base VQA", "peer_p50": peer["p50"]}  # fmt: skip


def translation(figures: Figures) -> Figures:
    """As `captioning`."""
    ours, peer = figures["seconds per sentence"].values()
    rate = figures["sentences per second"]["Unrolled"]
    return {"p50": ours["p50"], "p95": ours["p95"], "rate": f"{rate:.0f} sentences", "peer": "Marian",
            "peer_p50": peer["p50"]}  # fmt: skip


def sentiment(figures: Figures) -> Figures:
    """As `captioning`."""
    ours, peer = figures["one sentence"]["Unrolled"], figures["one sentence"]["DistilBERT"]
    rate = figures["sentences per second"]["Unrolled"]
    return {"p50": ours["p50 ms"] / 1000, "p95": ours["p95 ms"] / 1000, "rate": f"{rate:.0f} sentences",
            "peer": "DistilBERT", "peer_p50": peer["p50 ms"] / 1000}  # fmt: skip


def generation(figures: Figures) -> Figures:
    """As `captioning`; for 100 characters of a single stream."""
    ours, peer = figures["characters_per_second"].values()
    return {"p50": 100 / ours, "p95": None, "rate": f"{ours:,} characters", "peer": "torch's own modules",
            "peer_p50": 100 / peer}  # fmt: skip


def lipreading(figures: Figures) -> Figures:
    """As `captioning`; the peer is compared with our network alone."""
    rows = figures["rows"]
    ours, alone = rows["file to text, words"], rows["our network alone"]["p50"]
    ratio = rows["network of LipNet's shape alone"]["p50"] / alone
    return {"p50": ours["p50"], "p95": ours["p95"], "rate": f"{1 / ours['p50']:.1f} clips", "peer": "LipNet's shape",
            "peer_p50": rows["network of LipNet's shape alone"]["p50"], "ratio": ratio}  # fmt: skip


DEMOS: dict[str, Callable[[Figures], Figures]] = {
    function.__name__: function for function in (captioning, vqa, translation, sentiment, generation, lipreading)
}


def row(demo: str, figures: Figures, megabytes: float | None) -> str:
    """A demo as a line of the table."""
    speed = DEMOS[demo](figures)
    ratio = speed.get("ratio", speed["peer_p50"] / speed["p50"])
    p95 = "-" if speed["p95"] is None else f"{speed['p95']:.3f}"
    memory = "-" if megabytes is None else f"{megabytes:.0f}"
    cells = (demo, quality(demo), f"{speed['p50']:.3f}", p95, speed["rate"], memory, speed["peer"],
             f"{speed['peer_p50']:.3f}", f"{ratio:.1f}")  # fmt: skip
    return f"| {' | '.join(cells)} |"


def table(measured: dict[str, Figures], app: Figures) -> str:
    """All demos, as Markdown."""
    used = app["resident_mb"]
    grown = {name: used[name] - used[before] for before, name in pairwise(used)}
    header = (
        "demo",
        "quality (best published)",
        "p50 s",
        "p95 s",
        "per second",
        "MB",
        "peer",
        "its p50 s",
        "times ours",
    )
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join([*lines, *(row(demo, figures, grown.get(demo)) for demo, figures in measured.items())])


def notes(app: Figures, load: Figures | None) -> str:
    """What the app costs and how it holds out, as Markdown."""
    seconds, imports = app["seconds"], app["import_s"]
    most = max(app["resident_mb"].values())
    lines = [
        f"- First page {seconds['first page']:.1f} s and first caption {seconds['first answer']:.1f} s after the start;"
        f" {most:.0f} MB resident with every tab used once, {app['resident_mb']['page']:.0f} MB before.",
        "- Import: " + ", ".join(f"`{module}` {took:.1f} s" for module, took in imports.items()) + ".",
    ]
    if load:
        full = load["errors"].get("queue is full", 0)
        others = sum(load["errors"].values()) - full
        before, after = load["memory_before_mb"], load["memory_after_mb"]
        left, ended = load["temporary_files_after_the_clean_up"], load["seconds_to_end_during_a_request"]
        lines.append(
            f"- {load['clients']} clients for {load['minutes']:g} minutes: {sum(load['answers'].values()):,} answers, "
            f"p50 {load['p50_s']} s, p95 {load['p95_s']} s, {full} times “the queue is full”, {others} other errors; "
            f"memory {before} MB before and {after} MB after; {left} temporary files "
            f"left; ended within {ended} s of SIGTERM during a request."
        )
    return "\n".join(lines)


def run(name: str, *arguments: str) -> Figures:
    """What a benchmark measured, in a process of its own. Raises CalledProcessError."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    answer = next((line for line in reversed(done.stdout.splitlines()) if line.startswith("{")), None)
    if answer is None:
        raise RuntimeError(f"benchmarks.{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(answer)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demos", nargs="+", choices=DEMOS, default=list(DEMOS))
    parser.add_argument("--runs", type=int, help="of each system, instead of each benchmark's own number")
    parser.add_argument("--load-minutes", type=float, default=5, help="0 leaves the load out")
    options = parser.parse_args()
    few = ("--runs", str(options.runs)) if options.runs else ()
    app = run("app")
    measured = {name: run(name, *few) for name in options.demos}
    load = run("load", "--minutes", str(options.load_minutes)) if options.load_minutes else None
    print(f"{table(measured, app)}\n\n{notes(app, load)}")


if __name__ == "__main__":
    main()
