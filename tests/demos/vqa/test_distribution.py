"""Decoder and classes as one distribution, and the language prior that is taken from it."""

from dataclasses import replace

import pytest
import torch

from core.decoding.score import short_logprobs
from core.decoding.search import Beam
from core.input.tokenizers import EOS
from demos.vqa.distribution import AnswerDistribution, PairedDistribution

YES, NO, OTHER = (4,), (5,), (6, 7)


def pair_of(network, questions: list[list[int]]) -> PairedDistribution:
    """Of questions about a photo each, with it and without."""
    network.eval()
    grid = torch.randn(3, 49, 1280, generator=torch.Generator().manual_seed(1))[: len(questions)]
    classes = {answer: number for number, answer in enumerate(network.config.classifier.answers)}
    with torch.no_grad():
        encoded = network.encode_pairs(network.features(grid), torch.tensor(questions))
    seeing, blind = (AnswerDistribution(network.decoder, one.memory, classes, one.log_weights) for one in encoded)
    return PairedDistribution(seeing, blind)


@pytest.fixture
def distribution(network) -> AnswerDistribution:
    """Of two questions, each about a photo of its own."""
    return pair_of(network, [[5, 6, 7], [8, 9, 0]]).with_photo


def decoder_score(distribution: AnswerDistribution, row: int, answer: tuple[int, ...]) -> torch.Tensor:
    memory = distribution.memory[torch.tensor([row])]
    return short_logprobs(distribution.decoder, memory, torch.tensor([[1, *answer, EOS]])).squeeze()


def test_an_answer_has_the_probability_of_its_class_and_what_is_left_for_the_decoder(distribution):
    (frequent, number), rare = next(iter(distribution.classes.items())), (4, 5)
    assert rare not in distribution.classes
    written = distribution.log_weights[1, -1].exp()
    by_decoder = [decoder_score(distribution, 1, answer).exp() for answer in (frequent, rare)]
    scores = distribution.logprobs([[rare, rare], [frequent, rare]])[1].exp()
    own = distribution.log_weights[1, number].exp()
    torch.testing.assert_close(scores, torch.stack([own + written * by_decoder[0], written * by_decoder[1]]))


def test_logprobs_do_not_depend_on_what_is_scored_beside(distribution):
    answers = [[(4,), (9, 9), (4,)], [(5, 6, 7), *list(distribution.classes)[:2]]]
    together = distribution.logprobs(answers)
    for row, found in enumerate(answers):
        alone = torch.stack([distribution.logprobs([[answer], [answer]])[row, 0] for answer in found])
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=0)


def test_without_classes_the_decoder_answers_alone(distribution):
    alone = replace(distribution, classes={}, log_weights=torch.zeros(2, 1))
    answers = [(5,), (6, 7)]
    expected = torch.stack([decoder_score(alone, 0, answer) for answer in answers])
    torch.testing.assert_close(alone.logprobs([answers, answers])[0], expected, atol=1e-5, rtol=0)
    assert all(alone.candidates(Beam(3, max_length=3)))


def test_a_likely_class_is_a_candidate(distribution):
    weights = torch.full_like(distribution.log_weights, -20.0)
    weights[:, 1] = 0.0
    sure = replace(distribution, log_weights=weights)
    pair = PairedDistribution(sure, sure)
    assert pair.best(Beam(2, max_length=3)) == ([list(distribution.classes)[1]] * 2,) * 2


def test_the_best_answer_is_the_likeliest_of_its_side_s_candidates(network):
    pair = pair_of(network, [[5, 6, 7], [8, 9, 0], [6, 6, 6]])
    beam = Beam(4, max_length=3)
    sides = zip(pair.candidates(beam), pair.best(beam), (pair.with_photo, pair.without_photo), strict=True)
    for candidates, best, distribution in sides:
        for row, answers in enumerate(candidates):
            assert len(answers) == len(set(answers))
            scores = distribution.logprobs([answers] * 3)[row]
            assert answers[scores.argmax()] == best[row]


def test_the_language_prior_is_taken_away_and_evidence_added(network):
    """Of both sides; by hand for one question, half of it taken."""
    plain = pair_of(network, [[5, 6, 7]])
    fair = replace(plain, yes_no=(YES, NO), language_prior=0.5, evidence=torch.tensor([2.0]))
    rows = [[YES, NO, OTHER]]
    before, after = (torch.cat(pair.logprobs(rows, rows)) for pair in (plain, fair))
    torch.testing.assert_close(after.exp()[:, :2].sum(1), before.exp()[:, :2].sum(1))
    torch.testing.assert_close(after[:, 2], before[:, 2])
    odds, now = before[:, 0] - before[:, 1], after[:, 0] - after[:, 1]
    torch.testing.assert_close(now, torch.stack([odds[0] - odds[1] / 2 + 2, odds[1] / 2]), atol=1e-4, rtol=0)
    assert all({YES, NO} <= set(row) for side in fair.candidates(Beam(2, max_length=3)) for row in side)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_questions_keeps_each_one_beside_its_own_prior(network, count):
    """Rows of a batch that were told apart by its two halves failed for an odd number of questions."""
    questions = [[5, 6, 7], [8, 9, 0], [6, 6, 6]][:count]
    settings = {"yes_no": (YES, NO), "language_prior": 0.75, "evidence": torch.tensor([1.0, -1.0, 0.5])[:count]}
    pair, rows = replace(pair_of(network, questions), **settings), [[YES, NO, OTHER]] * count
    together = pair.logprobs(rows, rows)
    assert together.with_photo.shape == (count, 3)
    for n in range(count):
        sides = (
            replace(side, memory=side.memory[n : n + 1], log_weights=side.log_weights[n : n + 1])
            for side in (pair.with_photo, pair.without_photo)
        )
        alone = PairedDistribution(*sides, (YES, NO), 0.75, settings["evidence"][n : n + 1]).logprobs(
            rows[:1], rows[:1]
        )
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_of_them[n], atol=1e-5, rtol=0)
