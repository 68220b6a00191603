"""CTC decoding against brute force: every path of a few frames, added up."""

import itertools
import math
from collections import defaultdict

import pytest
import torch

from core.decoding.ctc import BLANK, SlotGrammar, align, greedy_decode, merge, prefix_beam_search, sequence_logprob

A, B, C = 1, 2, 3


def frames(*rows):
    return torch.tensor(rows).log()


def random_logprobs(seed, length=5, classes=4):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(length, classes, generator=generator)).log_softmax(1)


def by_brute_force(logprobs):
    """Probability of every sequence: all paths that spell it."""
    totals = defaultdict(float)
    for path in itertools.product(range(logprobs.shape[1]), repeat=len(logprobs)):
        totals[merge(path)] += math.exp(sum(logprobs[t, token].item() for t, token in enumerate(path)))
    return totals


def test_repeats_merge_unless_a_blank_is_between_them():
    assert merge([BLANK, A, A, BLANK, A, B, B, BLANK]) == (A, A, B)
    assert merge([]) == merge([BLANK, BLANK]) == ()


def test_the_likeliest_sequence_need_not_be_that_of_the_likeliest_path():
    logprobs = frames([0.6, 0.4], [0.6, 0.4])  # blank twice: 0.36; "A", three paths: 0.64
    greedy = greedy_decode(logprobs)
    assert greedy.tokens == ()
    assert greedy.logprob == pytest.approx(math.log(0.36), abs=1e-5)
    best, second = prefix_beam_search(logprobs)
    assert best.tokens == (A,)
    assert best.logprob == pytest.approx(math.log(0.64), abs=1e-5)
    assert second.tokens == ()


@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_finds_what_brute_force_finds(seed):
    logprobs = random_logprobs(seed)
    totals = by_brute_force(logprobs)
    expected = sorted(totals, key=totals.get, reverse=True)[:8]
    found = prefix_beam_search(logprobs, beam_size=500, n_best=8)
    assert [h.tokens for h in found] == expected
    assert [h.logprob for h in found] == pytest.approx([math.log(totals[t]) for t in expected], abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_a_narrow_beam_still_gives_exact_logprobs_best_first(seed):
    logprobs = random_logprobs(seed)
    totals = by_brute_force(logprobs)
    found = prefix_beam_search(logprobs, beam_size=3)
    assert 1 <= len(found) <= 3
    assert [h.logprob for h in found] == sorted((h.logprob for h in found), reverse=True)
    for hypothesis in found:
        assert hypothesis.logprob == pytest.approx(math.log(totals[hypothesis.tokens]), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_an_insertion_penalty_ranks_short_sequences_higher_and_leaves_logprobs_exact(seed):
    logprobs = random_logprobs(seed)
    totals = by_brute_force(logprobs)
    expected = sorted(totals, key=lambda t: math.log(totals[t]) - 1.5 * len(t), reverse=True)[:8]
    found = prefix_beam_search(logprobs, beam_size=500, n_best=8, insertion_penalty=1.5)
    assert [h.tokens for h in found] == expected
    assert [h.logprob for h in found] == pytest.approx([math.log(totals[t]) for t in expected], abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_within_a_grammar_the_best_complete_sequence_is_found(seed):
    logprobs = random_logprobs(seed)
    totals = by_brute_force(logprobs)
    allowed = [t for t in itertools.product((A, B), (B, C), (A,)) if t in totals]
    found = prefix_beam_search(logprobs, 500, 20, SlotGrammar([(A, B), (B, C), (A,)]))
    assert [h.tokens for h in found] == sorted(allowed, key=totals.get, reverse=True)


def test_a_grammar_that_no_frames_can_satisfy_gives_nothing():
    assert prefix_beam_search(random_logprobs(0, length=2), 50, 5, SlotGrammar([(A,), (A,)])) == []  # needs a blank


@pytest.mark.parametrize("slots", [[], [()], [(A,), (BLANK,)]])
def test_a_grammar_without_tokens_is_refused(slots):
    with pytest.raises(ValueError, match="slot"):
        SlotGrammar(slots)


def test_sequence_logprob_of_impossible_and_empty_sequences():
    logprobs = random_logprobs(1, length=3)
    assert sequence_logprob(logprobs, (A, A, B)) == -math.inf  # four frames would be needed
    assert sequence_logprob(logprobs, ()) == pytest.approx(logprobs[:, BLANK].sum().item(), abs=1e-5)
    total = sum(math.exp(sequence_logprob(logprobs, t)) for t in by_brute_force(logprobs))
    assert total == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tokens", [(A,), (A, B), (B, B), (C, A, B)])
def test_alignment_is_the_likeliest_path_of_the_sequence(seed, tokens):
    logprobs = random_logprobs(seed, length=6)
    paths = (p for p in itertools.product(range(4), repeat=6) if merge(p) == tokens)
    best = max(paths, key=lambda path: sum(logprobs[t, token].item() for t, token in enumerate(path)))
    spans = align(logprobs, tokens)
    assert [span.token for span in spans] == list(tokens)
    path = [BLANK] * 6
    for span in spans:
        path[span.first : span.last + 1] = [span.token] * (span.last - span.first + 1)
        assert span.logprob == pytest.approx(logprobs[span.first : span.last + 1, span.token].mean().item(), abs=1e-5)
    assert tuple(path) == best


def test_alignment_needs_frames_enough():
    with pytest.raises(ValueError, match="2 frames are too few for 2 tokens"):
        align(random_logprobs(0, length=2), (A, A))
    with pytest.raises(ValueError, match="blank"):
        align(random_logprobs(0), (A, BLANK))
    assert align(random_logprobs(0), ()) == []


@pytest.mark.parametrize("logprobs", [torch.zeros(3), torch.zeros(0, 4), torch.zeros(1, 3, 4)])
def test_other_shapes_are_named(logprobs):
    with pytest.raises(ValueError, match="frames, classes"):
        greedy_decode(logprobs)
    with pytest.raises(ValueError, match="frames, classes"):
        prefix_beam_search(logprobs)


@pytest.mark.parametrize("options", [{"beam_size": 0}, {"n_best": 0}])
def test_a_beam_without_beams_is_refused(options):
    with pytest.raises(ValueError, match="at least 1"):
        prefix_beam_search(random_logprobs(0), **options)
