"""Scores of predicted classes and boxes."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from core.errors import InputError
from core.metrics.text import check_aligned


class ClassScores(NamedTuple):
    """Precision, recall and F1 of a class, from 0 to 1, and the number of items that are of this class."""

    precision: float
    recall: float
    f1: float
    support: int


def accuracy(predicted: Sequence[Hashable], actual: Sequence[Hashable]) -> float:
    """Fraction of items whose predicted class is the actual one."""
    check_aligned(predicted, actual)
    return sum(p == a for p, a in zip(predicted, actual, strict=True)) / len(actual)


def precision_recall_f1(
    predicted: Sequence[Hashable], actual: Sequence[Hashable]
) -> tuple[dict[Hashable, ClassScores], ClassScores]:
    """({class: scores}, macro average over the classes).

    The classes are all that occur, predicted or actual. A ratio whose denominator is 0 counts as 0.
    """
    check_aligned(predicted, actual)
    pairs = list(zip(predicted, actual, strict=True))
    classes = list(dict.fromkeys([*actual, *predicted]))  # distinct, in order of occurrence
    scores = {c: _class_scores(pairs, c) for c in classes}
    precision, recall, f1, support = zip(*scores.values(), strict=True)
    n = len(classes)
    return scores, ClassScores(sum(precision) / n, sum(recall) / n, sum(f1) / n, sum(support))


def expected_calibration_error(confidences: Sequence[float], correct: Sequence[bool], bins: int = 15) -> float:
    """Mean distance between confidence and accuracy, from 0 to 1 (Naeini et al. 2015; Guo et al. 2017).

    confidences: the probability, from 0 to 1, that a classifier gave to each of its answers; correct: which were right.
    The answers fall into bins of equal width by confidence, and each bin counts by its number of answers.
    """
    check_aligned(confidences, correct)
    sums = [[0.0, 0] for _ in range(bins)]  # confidence and right answers of each bin
    for confidence, right in zip(confidences, correct, strict=True):
        total = sums[min(int(confidence * bins), bins - 1)]
        total[0] += confidence
        total[1] += right
    return sum(abs(confidence - right) for confidence, right in sums) / len(correct)


def _class_scores(pairs: list[tuple[Hashable, Hashable]], label: Hashable) -> ClassScores:
    hits = sum(p == a == label for p, a in pairs)
    claimed = sum(p == label for p, _ in pairs)
    support = sum(a == label for _, a in pairs)
    return ClassScores(
        precision=hits / claimed if claimed else 0.0,
        recall=hits / support if support else 0.0,
        f1=2 * hits / (claimed + support),  # the harmonic mean of the two
        support=support,
    )


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom), from 0 to 1.

    Raises InputError for a box whose right or bottom edge lies before its left or top edge.
    """
    for left, top, right, bottom in (a, b):
        if right < left or bottom < top:
            raise InputError(f"A box is (left, top, right, bottom), which {(left, top, right, bottom)} is not.")
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    intersection = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    return intersection / union if union else 0.0


def soft_accuracy(answer: str, humans: Sequence[str]) -> float:
    """VQA accuracy of one answer (Antol et al. 2015): min(number of people who gave it / 3, 1).

    As in the official evaluation it is the mean over all subsets that leave one of the people out; with fewer than
    three answers there is nothing to agree on, and it is 1 or 0.
    """
    if len(humans) < 3:
        return float(answer in humans)
    scores = [min(sum(a == answer for n, a in enumerate(humans) if n != out) / 3, 1.0) for out in range(len(humans))]
    return sum(scores) / len(scores)
