"""Connectionist temporal classification (Graves et al. 2006): a distribution per frame -> the sequence behind it.

A recurrent network that reads lips says something at every frame, most often "nothing new": the blank. A path is one
token or blank per frame; merging its repeats and then dropping its blanks gives the sequence that it spells. The
probability of a sequence is the sum over all paths that spell it.

    greedy_decode        the sequence of the likeliest path: fast, not always the likeliest sequence
    prefix_beam_search   the likeliest sequences, the paths of each added up, within a grammar if one is given
    sequence_logprob     the exact log-probability of a given sequence
    align                when each token of a given sequence was spoken

The blank is `core.input.tokenizers.PAD` (0). All functions take log-probabilities (T, C) of ONE input: T frames and
C classes.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from core.input.tokenizers import PAD

BLANK = PAD
_NEVER = float("-inf")


@dataclass(frozen=True)
class CTCHypothesis:
    """One sequence that may be behind the frames."""

    tokens: tuple[int, ...]
    logprob: float  # of the sequence: all paths that spell it
    text: str = ""


@dataclass(frozen=True)
class Span:
    """The frames, first to last (inclusive), at which one token of an aligned sequence was spoken."""

    token: int
    first: int
    last: int
    logprob: float  # mean over these frames


class Grammar(Protocol):
    """Which sequences may come out of a search."""

    def following(self, prefix: tuple[int, ...]) -> Iterable[int]:
        """Tokens that may come after this beginning."""

    def complete(self, prefix: tuple[int, ...]) -> bool:
        """Whether the sequence may end here."""


class SlotGrammar:
    """As many tokens as there are slots, one out of each: the commands of GRID have six."""

    def __init__(self, slots: Sequence[Iterable[int]]):
        self.slots = tuple(tuple(slot) for slot in slots)
        if not self.slots or any(not slot or BLANK in slot for slot in self.slots):
            raise ValueError("Every slot needs a token, and the blank is none.")

    def following(self, prefix: tuple[int, ...]) -> Iterable[int]:
        return self.slots[len(prefix)] if len(prefix) < len(self.slots) else ()

    def complete(self, prefix: tuple[int, ...]) -> bool:
        return len(prefix) == len(self.slots)


def merge(path: Iterable[int]) -> tuple[int, ...]:
    """The sequence that a path spells: repeats merged, then blanks dropped."""
    tokens, before = [], BLANK
    for token in path:
        if token not in (before, BLANK):
            tokens.append(token)
        before = token
    return tuple(tokens)


def greedy_decode(logprobs: Tensor) -> CTCHypothesis:
    """The sequence of the likeliest path, with its own log-probability (all of its paths)."""
    _check(logprobs)
    tokens = merge(logprobs.argmax(1).tolist())
    return CTCHypothesis(tokens, sequence_logprob(logprobs, tokens))


def prefix_beam_search(
    logprobs: Tensor,
    beam_size: int = 10,
    n_best: int = 5,
    grammar: Grammar | None = None,
    insertion_penalty: float = 0.0,
) -> list[CTCHypothesis]:
    """The likeliest sequences that the search found, best first (Hannun et al. 2014, without a language model).

    Two sums are kept for every beginning: over its paths that end with a blank, and over those that end with its last
    token. Only after a blank can the same token be spoken anew; without one it is still the same one. The results get
    their exact log-probabilities, since the beam may have dropped a few of their paths on the way.

    With a grammar, only sequences that it calls complete come out; the list is empty if the beam holds none at the last
    frame (fewer frames than tokens, or a beam that is too small).

    `insertion_penalty` is taken off a sequence's log-probability for each of its tokens, for the ranking only (the word
    insertion penalty of speech recognition): a token that is unlikely at every frame can come in through the sum of
    many paths.
    """
    _check(logprobs)
    if beam_size < 1 or n_best < 1:
        raise ValueError("The beam size and the number of hypotheses must be at least 1.")
    everything = range(1, logprobs.shape[1])
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, _NEVER)}
    for frame in logprobs.tolist():
        found: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [_NEVER, _NEVER])
        for prefix, (blank, spoken) in beams.items():
            total = _add(blank, spoken)
            _into(found[prefix], 0, total + frame[BLANK])
            if prefix:
                _into(found[prefix], 1, spoken + frame[prefix[-1]])
            for token in grammar.following(prefix) if grammar else everything:
                before = blank if prefix and token == prefix[-1] else total
                _into(found[(*prefix, token)], 1, before + frame[token])
        ranked = sorted(found.items(), key=lambda item: _add(*item[1]) - insertion_penalty * len(item[0]), reverse=True)
        beams = {prefix: (sums[0], sums[1]) for prefix, sums in ranked[:beam_size]}
    ends = [p for p, sums in beams.items() if _add(*sums) > _NEVER and (not grammar or grammar.complete(p))]
    hypotheses = [CTCHypothesis(prefix, sequence_logprob(logprobs, prefix)) for prefix in ends]
    return sorted(hypotheses, key=lambda h: h.logprob - insertion_penalty * len(h.tokens), reverse=True)[:n_best]


def sequence_logprob(logprobs: Tensor, tokens: Sequence[int]) -> float:
    """Log-probability of a sequence: the sum over all its paths, by the forward algorithm; -inf without one."""
    _check(logprobs)
    loss = F.ctc_loss(
        logprobs[:, None].float().cpu(),
        torch.tensor([list(tokens)], dtype=torch.long).reshape(1, len(tokens)),
        torch.tensor([len(logprobs)]),
        torch.tensor([len(tokens)]),
        blank=BLANK,
        reduction="none",
    )
    return -loss.item()


def align(logprobs: Tensor, tokens: Sequence[int]) -> list[Span]:
    """When each token was spoken, on the likeliest path that spells the sequence (Viterbi).

    Raises ValueError when there are too few frames for the sequence.
    """
    _check(logprobs)
    if BLANK in tokens:
        raise ValueError("The blank is no token of a sequence.")
    if not tokens:
        return []
    places = [BLANK] + [place for token in tokens for place in (token, BLANK)]  # blank a blank b blank
    emitted = logprobs[:, places].double().cpu()
    can_skip = torch.tensor([i > 1 and p not in (BLANK, places[i - 2]) for i, p in enumerate(places)])
    scores = torch.full((len(places),), _NEVER, dtype=torch.double)
    scores[:2] = emitted[0, :2]
    came_from = []
    for frame in emitted[1:]:
        ways = torch.stack([scores, _shifted(scores, 1), _shifted(scores, 2).masked_fill(~can_skip, _NEVER)])
        best, way = ways.max(0)
        came_from.append(way)
        scores = best + frame
    place = len(places) - 2 + int(scores[-1] > scores[-2])
    if scores[place] == _NEVER:
        raise ValueError(f"{len(logprobs)} frames are too few for {len(tokens)} tokens.")
    path = [place]
    for way in reversed(came_from):
        place -= int(way[place])
        path.append(place)
    path.reverse()
    return [_span(emitted, path, token, 2 * number + 1) for number, token in enumerate(tokens)]


def _span(emitted: Tensor, path: list[int], token: int, place: int) -> Span:
    frames = [t for t, p in enumerate(path) if p == place]
    return Span(token, frames[0], frames[-1], emitted[frames, place].mean().item())


def _shifted(scores: Tensor, by: int) -> Tensor:
    return F.pad(scores, (by, 0), value=_NEVER)[: len(scores)]


def _into(sums: list[float], which: int, logprob: float) -> None:
    sums[which] = _add(sums[which], logprob)


def _add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)). numpy.logaddexp is ten times slower on single numbers."""
    if a < b:
        a, b = b, a
    return a if b == _NEVER else a + math.log1p(math.exp(b - a))


def _check(logprobs: Tensor) -> None:
    if logprobs.dim() != 2 or 0 in logprobs.shape:
        raise ValueError(
            f"Log-probabilities (frames, classes) are needed, not a tensor of shape {tuple(logprobs.shape)}."
        )
