"""Search: a decoder and its memory -> hypotheses, best first.

    greedy_search   the likeliest token at every step
    beam_search     the likeliest sequences found with a beam; all beams of all inputs are one batch

Each works on any decoder whose `forward(tokens (N, 1), memory, state)` gives logits, state and attention, whose
`initial_state(N, memory)` starts N sequences and whose state has `select(index)`, and on any number of inputs. N is
`len(memory)` times the sequences per input; `memory[index]` are the memories of some inputs. Without a memory (a
language model) name the number of inputs. core.decoding.sampling draws at random instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.decoding.hypothesis import NEVER, Decoder, Hypothesis, device_of
from core.input.tokenizers import BOS, EOS


@dataclass(frozen=True)
class Beam:
    """Options of beam search."""

    size: int = 5
    length_penalty: float = 0.0  # alpha: rank by logprob / length ** alpha; 0: by logprob, 1: by the mean per token
    min_length: int = 1  # tokens before <eos>
    max_length: int = 20  # tokens before <eos>
    n_best: int | None = None  # hypotheses to return, default: the beam size
    early: bool = False  # stop when the best ended hypothesis beats what the live beams score now, not what they could


@dataclass(frozen=True)
class BeamStep:
    """The k beams of one input after one step of a search, for looking at."""

    tokens: tuple[int, ...]  # (k,) the last token of each beam
    parents: tuple[int, ...]  # (k,) the beam of the step before that each continues
    logprobs: tuple[float, ...]  # (k,) total so far; -inf: no such beam
    ended: tuple[tuple[int, float], ...]  # beams of the step before that took <eos>, with their total
    winner: int | None  # the beam that became the best hypothesis; None once that has ended


def greedy_search(decoder: Decoder, memory: Any, max_length: int = 20, inputs: int | None = None) -> list[Hypothesis]:
    """The likeliest token at every step: one hypothesis per input."""
    return [best[0] for best in beam_search(decoder, memory, Beam(size=1, max_length=max_length), inputs)]


@torch.inference_mode()
def beam_search(
    decoder: Decoder, memory: Any, beam: Beam | None = None, inputs: int | None = None
) -> list[list[Hypothesis]]:
    """The n best hypotheses of each input, best first.

    A beam that ends with <eos> lives on no more. An input is done when n have ended and the best of them beats whatever
    its live beams can still reach; log-probabilities only fall, so that best one is safe (Huang et al. 2017). Inputs
    that are done leave the batch, so that a slow one does not hold up the rest.
    """
    beam = beam or Beam()
    found = {search.inputs[row]: _n_best(search, row, beam) for search, row in _run(decoder, memory, beam, inputs)}
    return [found[number] for number in range(len(found))]


@torch.inference_mode()
def beam_trace(decoder: Decoder, memory: Any, beam: Beam) -> tuple[list[Hypothesis], list[BeamStep]]:
    """Beam search for one input: its hypotheses, and its beams step by step."""
    ((found, steps),) = [
        (_n_best(search, row, beam), _history(search, row)) for search, row in _run(decoder, memory, beam, 1)
    ]
    return found, steps


def _run(decoder: Decoder, memory: Any, beam: Beam, inputs: int | None) -> Iterator[tuple["_SearchState", int]]:
    """The state of the search of all inputs, each time that one of them is done, and the row of that one in it."""
    b, k, device = inputs or len(memory), beam.size, device_of(decoder)
    state = decoder.initial_state(b * k, memory)
    tokens = torch.full((b * k, 1), BOS, device=device)
    totals = torch.full((b, k), float("-inf"), device=device)
    totals[:, 0] = 0.0  # all beams start alike: let only the first branch
    search = _SearchState(list(range(b)), [[] for _ in range(b)], [])
    for length in range(beam.max_length + 1):
        output = decoder(tokens, memory, state)
        logprobs = _mask_forbidden(output.logits[:, -1].float().log_softmax(1), beam, length)
        attention = None
        if output.attention is not None:
            attention = output.attention[:, -1].float().view(len(search.inputs), k, -1)
        candidates = (totals[:, :, None] + logprobs.view(len(totals), k, -1)).flatten(1)
        # 2 k candidates: at most k of them end, so k can live on
        totals, flat = candidates.topk(min(2 * k, candidates.shape[1]))
        parents, words = flat // logprobs.shape[1], flat % logprobs.shape[1]
        step = _Step(words, parents, logprobs.view(len(totals), -1).gather(1, flat), attention)
        _collect(search, totals, step, beam)
        live = (words == EOS).int().argsort(dim=1, stable=True)[:, :k]  # the k best that go on
        totals = totals.gather(1, live).masked_fill(words.gather(1, live) == EOS, float("-inf"))
        search.steps.append(step.keep(live))
        done = _done(search, totals, beam, length)
        yield from ((search, row) for row in done)
        rest = torch.tensor([row for row in range(len(search.inputs)) if row not in done], device=device).long()
        if not len(rest):
            return
        origins = (torch.arange(len(totals), device=device)[:, None] * k + search.steps[-1].parents)[rest]
        if done:
            search, totals = search.select(rest), totals[rest]
            memory = None if memory is None else memory[rest]
        state, tokens = output.state.select(origins.flatten()), search.steps[-1].words.view(-1, 1)


# --- what beam search remembers ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Step:
    """The beams after one step, as back-pointers: hypotheses are read back at the end, nothing is copied before."""

    words: Tensor  # (B, k)
    parents: Tensor  # (B, k) the beam of the step before that each continues
    logprobs: Tensor  # (B, k) of the word
    attention: Tensor | None  # (B, beams before, P + 1) while the words were chosen, by parent

    def keep(self, beams: Tensor) -> "_Step":
        """Only the beams (B, k) named."""
        words, parents, logprobs = (x.gather(1, beams) for x in (self.words, self.parents, self.logprobs))
        return _Step(words, parents, logprobs, self.attention)

    def select(self, rows: Tensor) -> "_Step":
        """Only the inputs in these rows."""
        attention = None if self.attention is None else self.attention[rows]
        return _Step(self.words[rows], self.parents[rows], self.logprobs[rows], attention)


@dataclass(frozen=True)
class _Finished:
    """A beam that took <eos>."""

    score: float
    logprob: float
    eos_logprob: float
    length: int  # words before <eos>
    parent: int  # its beam
    attention: Tensor | None  # (P + 1,) at <eos>


@dataclass(frozen=True)
class _SearchState:
    """Where the search of the inputs that are not done yet stands; row n of every tensor is inputs[n]'s."""

    inputs: list[int]
    ended: list[list[_Finished]]
    steps: list[_Step]

    def select(self, rows: Tensor) -> "_SearchState":
        """Only the inputs in these rows."""
        kept = rows.tolist()
        inputs, ended = [self.inputs[n] for n in kept], [self.ended[n] for n in kept]
        return _SearchState(inputs, ended, [step.select(rows) for step in self.steps])


def _mask_forbidden(logprobs: Tensor, beam: Beam, length: int) -> Tensor:
    """(N, V) log-probabilities with everything that may not come next at -inf."""
    logprobs[:, NEVER] = float("-inf")
    if length < beam.min_length:
        logprobs[:, EOS] = float("-inf")
    if length == beam.max_length:  # nothing but the end is left
        logprobs[:, :EOS] = logprobs[:, EOS + 1 :] = float("-inf")
    return logprobs


def _score(logprob: float, tokens: int, beam: Beam) -> float:
    return logprob / tokens**beam.length_penalty


def _collect(search: _SearchState, totals: Tensor, step: _Step, beam: Beam) -> None:
    """Note the candidates that end here, from among the best k."""
    length = len(search.steps)
    ends = (step.words[:, : beam.size] == EOS) & totals[:, : beam.size].isfinite()
    for i, j in ends.nonzero().tolist():
        total, parent = float(totals[i, j]), int(step.parents[i, j])
        attention = None if step.attention is None else step.attention[i, parent]
        score = _score(total, length + 1, beam)
        search.ended[i].append(_Finished(score, total, float(step.logprobs[i, j]), length, parent, attention))


def _done(search: _SearchState, totals: Tensor, beam: Beam, length: int) -> list[int]:
    """Rows of the inputs that are done."""
    if length == beam.max_length:
        return list(range(len(search.inputs)))
    done = []
    for row, live in enumerate(totals.max(1).values.tolist()):
        ended = search.ended[row]
        reachable = _score(live, length + 2, beam)
        if not beam.early:
            reachable = max(reachable, _score(live, beam.max_length + 1, beam))
        if len(ended) >= (beam.n_best or beam.size) and max(end.score for end in ended) >= reachable:
            done.append(row)
    return done


def _n_best(search: _SearchState, row: int, beam: Beam) -> list[Hypothesis]:
    ranked = sorted(search.ended[row], key=lambda end: -end.score)[: beam.n_best or beam.size]
    return [_read_back(end, search.steps, row) for end in ranked]


def _read_back(end: _Finished, steps: list[_Step], row: int) -> Hypothesis:
    """Follow the parents from <eos> to <bos>."""
    words, logprobs, attention, beam = [EOS], [end.eos_logprob], [end.attention], end.parent
    for step in reversed(steps[: end.length]):
        words.append(int(step.words[row, beam]))
        logprobs.append(float(step.logprobs[row, beam]))
        beam = int(step.parents[row, beam])
        attention.append(None if step.attention is None else step.attention[row, beam])
    known = [each for each in reversed(attention) if each is not None]  # all of them or none
    return Hypothesis(
        tuple(words[::-1]), end.logprob, tuple(logprobs[::-1]), end.score, torch.stack(known) if known else None
    )


def _history(search: _SearchState, row: int) -> list[BeamStep]:
    """What the steps of one input looked like, the winner's way included."""
    best = max(search.ended[row], key=lambda end: end.score)
    winners: list[int | None] = [None] * len(search.steps)
    beam = best.parent
    for number in range(best.length - 1, -1, -1):
        winners[number] = beam
        beam = int(search.steps[number].parents[row, beam])
    steps, totals = [], [0.0]
    for number, step in enumerate(search.steps):
        words, parents, logprobs = (x[row].tolist() for x in (step.words, step.parents, step.logprobs))
        totals = [totals[parent] + logprob for parent, logprob in zip(parents, logprobs, strict=True)]
        ended = tuple((end.parent, end.logprob) for end in search.ended[row] if end.length == number)
        steps.append(BeamStep(tuple(words), tuple(parents), tuple(totals), ended, winners[number]))
    return steps
