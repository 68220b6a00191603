"""Scores of predicted classes and of answers."""

from collections.abc import Hashable, Sequence

from core.metrics.text import check_aligned


def accuracy(predicted: Sequence[Hashable], actual: Sequence[Hashable]) -> float:
    """Fraction of items whose predicted class is the actual one."""
    check_aligned(predicted, actual)
    return sum(p == a for p, a in zip(predicted, actual, strict=True)) / len(actual)


def macro_f1(predicted: Sequence[Hashable], actual: Sequence[Hashable]) -> float:
    """F1 of each class, from 0 to 1, averaged over all classes that occur, predicted or actual, by scikit-learn.

    A ratio whose denominator is 0 counts as 0.
    """
    from sklearn.metrics import f1_score

    check_aligned(predicted, actual)
    return float(f1_score(actual, predicted, average="macro", zero_division=0))


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


def soft_accuracy(answer: str, humans: Sequence[str]) -> float:
    """VQA accuracy of one answer (Antol et al. 2015): min(number of people who gave it / 3, 1).

    As in the official evaluation it is the mean over all subsets that leave one of the people out; with fewer than
    three answers there is nothing to agree on, and it is 1 or 0.
    """
    if len(humans) < 3:
        return float(answer in humans)
    scores = [min(sum(a == answer for n, a in enumerate(humans) if n != out) / 3, 1.0) for out in range(len(humans))]
    return sum(scores) / len(scores)
