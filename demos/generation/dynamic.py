"""Dynamic evaluation: a network that goes on learning from the text that it has just read (Krause et al. 2018).

Code and LaTeX repeat what stood a page before: names, turns of phrase, layout. A compressor such as `xz` gains from
that, a network with fixed weights only as far as its state remembers. Here each segment of text is predicted first and
learnt from after that, so nothing is known before it is read. The weights move by gradients scaled with their usual
size (an RMS over training text) and are drawn back to the trained ones; weights that usually move much are drawn more.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from core.networks.decoder import DecoderState
from demos.generation.model import TextGenerator

LONGEST_STEP = 4.0  # in usual gradients; one surprise shall not throw the network off
RATES = (2e-4, 4e-4, 8e-4, 1.6e-3)  # to choose from: a text that repeats itself is to be learnt faster than a novel
SEGMENTS = (100, 50)  # pieces, to choose from: shorter ones learn sooner, and take longer
SHARES = (1.0, 0.25)  # of the decay, to choose from: a text of one kind need not be forgotten soon


@dataclass(frozen=True)
class DynamicEvaluation:
    """How a network learns while it reads; all but the statistics is chosen for each corpus on its dev text."""

    rate: float = 8e-4
    decay: float = 0.02  # share of the way back to the trained weights after each segment, at the mean RMS
    segment: int = 100  # pieces that are predicted, then learnt from
    statistics: int = 100  # segments of training text from which the usual size of gradients is estimated

    def with_segment(self, length: int) -> "DynamicEvaluation":
        """The same for segments of another length: as far as before in as many pieces, in more steps or in fewer."""
        share = length / self.segment
        return replace(self, segment=length, rate=self.rate * share, decay=self.decay * share)


def dynamic_loss(
    model: TextGenerator, ids: Tensor, training_ids: Tensor, tag: int, options: DynamicEvaluation | None = None
) -> float:
    """Mean negative log-probability of a piece (nats) in a (T,) text that is learnt from as it is read.

    `training_ids` is training text of the same corpus; `model` itself does not change.
    """
    options = options or DynamicEvaluation()
    learner = copy.deepcopy(model).eval()  # dropout off: the text is read once
    weights = [p.requires_grad_(True) for p in learner.parameters()]
    trained = [p.detach().clone() for p in weights]
    scales = _usual_gradients(learner, weights, training_ids, tag, options)
    mean = sum(s.sum() for s in scales) / sum(s.numel() for s in scales)
    pulls = [(options.decay * s / mean).clamp(max=1.0) for s in scales]
    floor = 1e-3 * mean
    total = 0.0
    for loss in _read(learner, weights, ids, tag, options.segment):
        total += loss
        with torch.no_grad():
            for weight, start, scale, pull in zip(weights, trained, scales, pulls, strict=True):
                step = (weight.grad / (scale + floor)).clamp_(-LONGEST_STEP, LONGEST_STEP)
                weight.add_(step, alpha=-options.rate).add_(pull * (start - weight))
    return total / len(ids)


def choose_options(
    model: TextGenerator, dev_ids: Tensor, training_ids: Tensor, tag: int,
    rates: Sequence[float] = RATES, segments: Sequence[int] = SEGMENTS, shares: Sequence[float] = SHARES,
) -> DynamicEvaluation:  # fmt: skip
    """Options by how well they foretell a (T,) dev text of the corpus: a rate, then a segment, then a decay for it."""

    def loss(options: DynamicEvaluation) -> float:
        return dynamic_loss(model, dev_ids, training_ids, tag, options)

    best = min((DynamicEvaluation(rate) for rate in rates), key=loss)
    best = min((best.with_segment(length) for length in segments), key=loss)
    return min((replace(best, decay=best.decay * share) for share in shares), key=loss)


def _usual_gradients(
    model: TextGenerator, weights: list[Tensor], ids: Tensor, tag: int, options: DynamicEvaluation
) -> list[Tensor]:
    """Root mean square of each weight's gradient over segments of training text."""
    squares = [torch.zeros_like(weight) for weight in weights]
    losses = _read(model, weights, ids[: options.statistics * options.segment], tag, options.segment)
    for count, _ in enumerate(losses, start=1):
        for square, weight in zip(squares, weights, strict=True):
            square.lerp_(weight.grad**2, 1 / count)  # a running mean
    return [square.sqrt() for square in squares]


def _read(model: TextGenerator, weights: list[Tensor], ids: Tensor, tag: int, segment: int) -> Iterator[float]:
    """Read a text segment by segment; yields the loss in total of each, with the gradients of its mean in place."""
    tokens = torch.cat([ids.new_tensor([tag]), ids])
    state: DecoderState | None = None
    for at in range(0, len(ids), segment):
        chunk = tokens[at : at + segment + 1]
        output = model(chunk[None, :-1], state)
        state = output.state.detach()
        loss = F.cross_entropy(output.logits[0].float(), chunk[1:])
        for weight in weights:
            weight.grad = None
        loss.backward()
        yield loss.item() * (len(chunk) - 1)
