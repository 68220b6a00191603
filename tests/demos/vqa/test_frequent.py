"""Answers with a class of their own, and the decoder for the rest, as one distribution."""

import pytest
import torch

from core.search import Beam
from core.text import EOS
from demos.vqa.data import Collate, Item
from demos.vqa.frequent import Answering, frequent_answers, score_answers


@pytest.fixture
def answering(network) -> Answering:
    """Of two questions, each about a photo of its own."""
    network.eval()
    photos = torch.randn(2, 49, 1280, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return network.answering(network.think(network.look(photos), torch.tensor([[5, 6, 7], [8, 9, 0]])))


def test_the_most_frequent_answers_by_weight():
    answers = [(5,), (6, 7), (6, 7), (8,)]
    assert frequent_answers(answers, [1, 0.25, 0.25, 2], 3) == ((8,), (5,), (6, 7))
    assert frequent_answers(answers, [1, 1, 1, 1], 1) == ((6, 7),)


def test_the_decoder_s_scores_are_log_probabilities(answering):
    """Those of all one-word answers, and of going on, add up to one."""
    decoder, memory = answering.decoder, answering.memory[torch.tensor([0])]
    first = decoder(torch.tensor([[1]]), memory).logits.float().log_softmax(2)[0, 0]
    none = score_answers(decoder, memory, torch.tensor([[1, EOS]]))
    torch.testing.assert_close(none, first[EOS : EOS + 1])
    word = score_answers(decoder, memory, torch.tensor([[1, 7, EOS]]))
    assert word < first[7]


def test_an_answer_has_the_probability_of_its_class_and_what_is_left_for_the_decoder(answering):
    (frequent, number), rare = next(iter(answering.classes.items())), (4, 5)
    assert rare not in answering.classes
    written = answering.class_logprobs[1, -1].exp()
    by_decoder = [score_answers(answering.decoder, answering.memory[torch.tensor([1])], torch.tensor([[1, *a, EOS]]))
                  for a in (frequent, rare)]  # fmt: skip
    scores = answering.score([1, 1], [frequent, rare]).exp()
    own = answering.class_logprobs[1, number].exp()
    torch.testing.assert_close(scores[0], own + written * by_decoder[0].exp().squeeze())
    torch.testing.assert_close(scores[1], written * by_decoder[1].exp().squeeze())


def test_scores_do_not_depend_on_what_is_scored_beside(answering, monkeypatch):
    answers = [(4,), (5, 6, 7), *answering.classes, (9, 9)]
    rows = [0, 1, 0, 1, 0, 1]
    together = answering.score(rows, answers)
    monkeypatch.setattr("demos.vqa.frequent.GROUP", 1)
    torch.testing.assert_close(answering.score(rows, answers), together, atol=1e-5, rtol=1e-5)


def test_the_best_answers_are_ranked_and_come_once(answering):
    for row, best in enumerate(answering.best(Beam(4, max_length=3), 5)):
        answers, scores = zip(*best, strict=True)
        assert len(best) == len(set(answers)) == 5
        assert list(scores) == sorted(scores, reverse=True)
        torch.testing.assert_close(answering.score([row] * 5, answers), torch.tensor(scores), atol=1e-5, rtol=1e-5)
    sure = torch.full_like(answering.class_logprobs, -20.0)
    sure[:, 1] = 0.0
    certain = Answering(answering.decoder, answering.memory, answering.classes, sure)
    assert [best[0][0] for best in certain.best(Beam(2, max_length=3), 1)] == [list(answering.classes)[1]] * 2


def test_without_classes_the_decoder_answers_alone(answering):
    alone = Answering(answering.decoder, answering.memory, {}, torch.zeros(2, 1))
    answers = [(5,), (6, 7)]
    expected = [score_answers(alone.decoder, alone.memory[torch.tensor([0])], torch.tensor([[1, *a, EOS]])).squeeze()
                for a in answers]  # fmt: skip
    torch.testing.assert_close(alone.score([0, 0], answers), torch.stack(expected), atol=1e-5, rtol=1e-5)
    assert len(alone.best(Beam(3, max_length=3), 2)[1]) == 2


def test_classes_of_mirrored_answers(monkeypatch):
    left, right, other = 10, 11, 12

    class Cache:
        def grid(self, row, flip):
            return torch.zeros(1, 1)

    collate = Collate((left, right), {(left,): 0, (right,): 1}, per_photo=2)
    items = [Item([5], [1, left, EOS], 0, False), Item([5], [1, other, EOS], 0, False)]
    for draw, expected in ((0.9, 0), (0.0, 1)):
        monkeypatch.setattr("demos.vqa.data.random.random", lambda draw=draw: draw)
        assert sorted(collate([(Cache(), 0, items)])["classes"].tolist()) == [expected, 2]
