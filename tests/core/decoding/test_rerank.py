"""One order of hypotheses from the search's score and named second opinions."""

import pytest

from core.decoding.hypothesis import Hypothesis
from core.decoding.rerank import combined, rank, tune


def hypothesis(token: int, score: float, **scores: float) -> Hypothesis:
    return Hypothesis((token,), score, (score,), score, scores=scores)


def order(hypotheses: list[Hypothesis]) -> list[int]:
    return [found.tokens[0] for found in hypotheses]


def test_each_name_counts_by_its_weight():
    found = [hypothesis(1, -1.0, detector=0.0, channel=-3.0), hypothesis(2, -2.0, detector=4.0, channel=-1.0)]
    assert order(rank(found, {})) == [1, 2]
    assert order(rank(found, {"detector": 0.5})) == [2, 1]
    assert order(rank(found, {"detector": 0.2})) == [1, 2]
    assert combined(found[1], {"detector": 0.5, "channel": 0.1}) == pytest.approx(-2.0 + 2.0 - 0.1)


def test_a_name_without_a_score_or_a_weight_counts_nothing():
    found = [hypothesis(1, -1.0), hypothesis(2, -2.0, detector=0.5, unheard=99.0)]
    assert order(rank(found, {"detector": 1.0, "missing": 7.0})) == [1, 2]
    assert combined(found[0], {"detector": 1.0}) == -1.0


def test_equal_hypotheses_keep_the_order_of_the_search():
    found = [hypothesis(n, -1.0, detector=1.0) for n in (3, 1, 2)]
    assert order(rank(found, {"detector": 2.0})) == [3, 1, 2]


def toy_lists() -> list[list[Hypothesis]]:
    """Of each input token 1 is right: only weights near (1, -1) put it first everywhere."""
    return [
        [hypothesis(0, -1.0, good=0.0, bad=0.0), hypothesis(1, -1.5, good=1.0, bad=0.0)],
        [hypothesis(0, -1.0, good=0.0, bad=1.0), hypothesis(1, -1.5, good=0.0, bad=0.0)],
        [hypothesis(1, -1.0, good=0.0, bad=0.0), hypothesis(0, -2.5, good=1.0, bad=0.0)],
        [hypothesis(1, -1.0, good=0.0, bad=0.0), hypothesis(0, 0.0, good=0.0, bad=1.5)],
    ]


def share_right(first: list[Hypothesis]) -> float:
    return sum(found.tokens == (1,) for found in first) / len(first)


def test_tuning_finds_the_weights_that_put_the_right_ones_first():
    weights = [0.0, 0.5, 1.0, 2.0]
    found = toy_lists()
    one_by_one = tune(found, share_right, [{"good": weights}, {"bad": [-w for w in weights]}])
    together = tune(found, share_right, [{"good": weights, "bad": [-w for w in weights]}], sweeps=1)
    for chosen in (one_by_one, together):
        assert chosen == {"good": 1.0, "bad": -1.0}
        assert share_right([rank(hypotheses, chosen)[0] for hypotheses in found]) == 1.0


def test_an_opinion_that_does_not_help_gets_no_weight():
    found = [[hypothesis(1, -1.0, noise=0.0), hypothesis(0, -2.0, noise=5.0)]]
    assert tune(found, share_right, [{"noise": [0.0, 1.0]}]) == {"noise": 0.0}
