"""Scores of a ranking: for each of Q queries, C candidates are ordered by score, highest first."""

import numpy as np

from core.errors import InputError


def success_at_k(scores: np.ndarray, relevant: np.ndarray, k: int) -> float:
    """Fraction of queries with at least one relevant candidate among the first k (R@k in retrieval papers).

    `scores` (Q, C) are numbers, `relevant` (Q, C) booleans. Among equal scores relevant candidates come last, so a
    network that cannot tell candidates apart gains nothing by it. Raises InputError when the shapes differ or a query
    has no relevant candidate.
    """
    if k < 1:
        raise InputError(f"Success@k needs k of 1 or more, not {k}.")
    return float(_ranked_relevance(scores, relevant)[:, :k].any(1).mean())


def r_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Mean over queries of the fraction of relevant candidates among the first R, R being how many the query has.

    Arguments, ties and errors as in `success_at_k`.
    """
    ranked = _ranked_relevance(scores, relevant)
    count = ranked.sum(1)
    first_r = np.arange(ranked.shape[1]) < count[:, None]
    return float(((ranked & first_r).sum(1) / count).mean())


def _ranked_relevance(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """(Q, C) booleans: whether the candidate at each rank is relevant."""
    scores, relevant = np.asarray(scores, dtype=float), np.asarray(relevant, dtype=bool)
    if scores.ndim != 2 or scores.shape != relevant.shape or not len(scores):
        raise InputError(f"Scores {scores.shape} and relevance {relevant.shape} must both be (queries, candidates).")
    if not relevant.any(1).all():
        raise InputError(f"Query {int(relevant.any(1).argmin())} has no relevant candidate.")
    order = np.lexsort((relevant, -scores))
    return np.take_along_axis(relevant, order, axis=1)
