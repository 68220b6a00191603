"""THE reranker: which of the hypotheses that a search found comes first.

A search ranks by what the decoder finds likely. A second opinion (a word detector, the way back of a translation) is a
named score on each hypothesis; the checkpoint's config says how much each name counts; `rank` adds up, and `tune`
chooses the weights for a metric itself on a dev set (minimum error rate training, Och 2003).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

from core.decoding.hypothesis import Hypothesis

Weights = Mapping[str, float]


def combined(hypothesis: Hypothesis, weights: Weights) -> float:
    """The search's score plus each named score times its weight; a name without a weight, or a score, counts 0."""
    return hypothesis.score + sum(weight * hypothesis.scores.get(name, 0.0) for name, weight in weights.items())


def rank(hypotheses: Sequence[Hypothesis], weights: Weights) -> list[Hypothesis]:
    """Best first; among equals the search's order stays."""
    return sorted(hypotheses, key=lambda hypothesis: combined(hypothesis, weights), reverse=True)


def tune(
    found: Sequence[Sequence[Hypothesis]],
    quality: Callable[[list[Hypothesis]], float],
    grid: Sequence[Mapping[str, Sequence[float]]],
    sweeps: int = 2,
) -> dict[str, float]:
    """The weights with which the first hypotheses of all inputs have the highest quality.

    found: the hypotheses of each input, with their named scores. quality: of the first hypothesis of every input.
    grid: groups of names with the weights to try; those of a group are tried in all combinations, group after group,
    `sweeps` times. Every weight starts at 0.
    """
    chosen = {name: 0.0 for group in grid for name in group}

    def reached(weights: Weights) -> float:
        return quality([rank(hypotheses, weights)[0] for hypotheses in found])

    for _ in range(sweeps):
        for group in grid:
            tried = ({**chosen, **dict(zip(group, values, strict=True))} for values in product(*group.values()))
            chosen = max(tried, key=reached)
    return chosen
