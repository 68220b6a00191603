"""Figures of held-out text and of folk tunes."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from demos.generation import evaluate
from demos.generation.__main__ import main
from demos.generation.dynamic import SEGMENTS
from demos.generation.evaluate import longest_copy, text_scores, xz_bits


def test_a_network_that_learns_as_it_reads_is_measured_beside(model, corpora, monkeypatch):
    monkeypatch.setattr(evaluate, "LEARNT", 1000)
    scores = text_scores(model, replace(corpora[0], whole=""), "dev", limit=120, dynamic="all")
    assert scores["dynamic_perplexity"] < scores["perplexity"]  # every line is like the one before
    bits = math.log2(scores["dynamic_perplexity"])
    assert scores["dynamic_bits_per_character"] == pytest.approx(bits, abs=1e-3)
    assert scores["dynamic_segment"] in SEGMENTS
    assert "xz_bits_per_character" not in scores  # of a corpus in parts nobody knows the whole


def test_figures_are_printed_and_saved_beside_others(model, corpora, tmp_path, monkeypatch, capsys):
    model.save_pretrained(tmp_path)
    monkeypatch.setattr(evaluate, "read_corpora", lambda data, names: corpora)
    for split in ("dev", "test"):
        assert main(["evaluate", "--checkpoint", str(tmp_path), "--split", split, "--limit", "100", "--save"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["data"], each["split"]) for each in printed] == [
        ("cats", "dev"), ("folk", "dev"), ("cats", "test"), ("folk", "test")
    ]  # fmt: skip
    assert json.loads((tmp_path / "metrics.json").read_text())["evaluations"] == printed


def test_tunes_are_sampled_and_judged(predictor, corpora, monkeypatch):
    tune = "M:4/4\nK:Cmaj\n|: C D E F G A B c |"
    monkeypatch.setattr(evaluate, "write_tunes", lambda *arguments: [tune, "M:4/4\nK:Cmaj\n| C 7 | D 7 | E 8 |"])
    scores = evaluate.tune_scores(predictor, corpora[1], 2, 0.7)
    assert scores["bars_complete"] == scores["parse_and_complete"] == 0.5
    assert scores["longest_copied_run"] == 13


def test_xz_needs_less_for_what_repeats():
    assert xz_bits("abc" * 5000) < 0.5 < xz_bits("".join(map(chr, np.random.default_rng(0).integers(65, 90, 5000))))


@pytest.mark.parametrize(
    ("written", "corpus", "length"),
    [("abcdef", "xxbcdexx", 4), ("abc", "abc", 3), ("abc", "xyz", 0), ("", "abc", 0), ("aab", "ba", 1)],
)
def test_the_longest_copied_run(written, corpus, length):
    assert longest_copy([list(written), list("qq")], list(corpus)) == length
