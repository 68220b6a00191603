"""Answers with a class of their own, and the decoder for the rest, as one distribution."""

from pathlib import Path

import pytest
import torch

from core.decoding.search import Beam
from core.input.tokenizers import EOS
from demos.vqa.data import Question
from demos.vqa.frequent import (
    BUCKETS,
    FEATURES,
    Answering,
    FrequentAnswers,
    frequent_answers,
    score_answers,
    words_and_pairs,
)
from demos.vqa.train_frequent import (
    SeenPhoto,
    adapted,
    answer_classes,
    class_accuracy,
    class_loss,
    collate,
)


@pytest.fixture
def answering(network) -> Answering:
    """Of two questions, each about a photo of its own."""
    network.eval()
    photos = torch.randn(2, 49, 1280, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return network.answering(network.think(network.look(photos), torch.tensor([[5, 6, 7], [8, 9, 0]])))


def committee() -> FrequentAnswers:
    """Untrained, of photos with four places of eight features, for three answers."""
    torch.manual_seed(1)
    classifier = FrequentAnswers(8, 4, 3, glances=2).eval()
    classifier.adapt(torch.randn(100, 4, 8))
    return classifier


def decoder_score(answering: Answering, row: int, answer: tuple[int, ...]) -> torch.Tensor:
    memory = answering.memory[torch.tensor([row])]
    return score_answers(answering.decoder, memory, torch.tensor([[1, *answer, EOS]])).squeeze()


def test_frequent_answers_are_those_of_weight():
    weighted = [((5,), 1.0), ((6, 7), 0.25), ((6, 7), 0.25), ((8,), 2.0)]
    assert frequent_answers(weighted, 0.5) == ((8,), (5,), (6, 7))
    assert frequent_answers(weighted, 1) == ((8,), (5,))


def test_words_and_pairs_do_not_depend_on_the_padding():
    short, padded = words_and_pairs(torch.tensor([[5, 6]])), words_and_pairs(torch.tensor([[5, 6, 0, 0]]))
    assert sorted(short[0].tolist()) == sorted(b for b in padded[0].tolist() if b != BUCKETS)
    assert words_and_pairs(torch.tensor([[6, 5]]))[0, 2] != short[0, 2]  # a pair has an order


def test_the_shares_add_up_to_one_and_classes_get_no_more_than_the_trust():
    classifier, questions, rows = committee(), torch.tensor([[5, 6], [7, 0]]), torch.tensor([0, 0])
    grids, seen = torch.randn(1, 4, 8), torch.ones(1)
    with torch.no_grad():
        shares = classifier.shares(questions, rows, grids, seen, trust=0.4).exp()
        torch.testing.assert_close(shares.sum(1), torch.ones(2))
        assert (shares[:, :-1].sum(1) < 0.4).all()
        for glance in classifier.glances:
            glance.classes.bias[-1] = 50.0  # sure that it is none of them
        sure = classifier.shares(questions, rows, grids, seen, trust=0.4).exp()
    assert sure[0, -1].item() == pytest.approx(1.0)


@torch.no_grad()
def test_each_question_is_answered_from_its_own_photo_whatever_is_beside_it():
    classifier, grids, seen = committee(), torch.randn(3, 4, 8), torch.tensor([1.0, 1.0, 0.0])
    questions, rows = torch.tensor([[5, 6], [7, 0], [8, 9], [5, 6]]), torch.tensor([0, 0, 1, 2])
    together = classifier.shares(questions, rows, grids, seen, trust=0.5)
    for n, row in enumerate(rows):
        question = questions[n : n + 1, : int((questions[n] != 0).sum())]
        alone = classifier.shares(question, torch.tensor([0]), grids[row : row + 1], seen[row : row + 1], trust=0.5)
        torch.testing.assert_close(alone[0], together[n], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_without_the_photo_it_does_not_matter_which_one_it_is():
    classifier, question, row = committee(), torch.tensor([[5, 6]]), torch.tensor([0])
    with_photo, without = (
        [classifier.shares(question, row, grid, torch.full((1,), seen), trust=0.5) for grid in torch.randn(2, 1, 4, 8)]
        for seen in (1.0, 0.0)
    )
    torch.testing.assert_close(*without)
    assert (with_photo[0] - with_photo[1]).abs().max() > 1e-3


@torch.no_grad()
def test_the_features_are_uncorrelated_and_of_one_scale_or_less():
    torch.manual_seed(1)
    grids = torch.randn(200, 4, 8) @ torch.randn(8, 8)
    classifier = FrequentAnswers(8, 4, 3, glances=1)
    classifier.adapt(grids)
    features = classifier.features(grids).flatten(0, 1)
    assert features.shape == (800, FEATURES)
    assert features[:, 8:].eq(0).all()
    covariance = features[:, :8].T.cov()
    assert (covariance - covariance.diag().diag()).abs().max() < 1e-3
    assert covariance.diag().max() < 1


def test_detectors_find_out_which_place_shows_an_answer():
    """Each photo shows one of three things at one place, among noise; nobody says where."""
    torch.manual_seed(2)
    things, photos = torch.eye(3, 8) * 6, []
    for n in range(60):
        grid = torch.randn(4, 8)
        grid[torch.randint(4, ())] += things[n % 3]
        photos.append(SeenPhoto(grid, [[5, 6]], [n % 3]))
    classifier = FrequentAnswers(8, 4, 3, glances=1)
    classifier.adapt(torch.stack([photo.places for photo in photos]))
    (photos,) = adapted(classifier, [photos])
    optimizer = torch.optim.AdamW(classifier.parameters(), 5e-3)
    classifier.train()
    for _ in range(60):
        optimizer.zero_grad()
        class_loss(classifier, collate(photos), None).value.backward()
        optimizer.step()
    assert class_accuracy(classifier, [photos])["accuracy"] > 95
    glance = classifier.glances[0]
    with torch.no_grad():
        there = glance(torch.tensor([[5, 6]]), torch.tensor([0]), collate(photos[:1])["places"], torch.ones(1))[1]
    assert there[0].argmax() == 0


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
    written = answering.shares[1, -1].exp()
    by_decoder = [decoder_score(answering, 1, answer).exp() for answer in (frequent, rare)]
    scores = torch.tensor(answering.score([[rare], [frequent, rare]])[1]).exp()
    own = answering.shares[1, number].exp()
    torch.testing.assert_close(scores, torch.stack([own + written * by_decoder[0], written * by_decoder[1]]))


def test_scores_do_not_depend_on_what_is_scored_beside(answering):
    answers = [[(4,), (9, 9)], [(5, 6, 7), *answering.classes, (9,)]]
    together = answering.score(answers)
    assert [len(row) for row in together] == [2, 5]
    alone = [[answering.score([[a], [a]])[row][0] for a in found] for row, found in enumerate(answers)]
    for one, other in zip(alone, together, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_the_best_answers_are_ranked_and_come_once(answering):
    for row, best in enumerate(answering.best(Beam(4, max_length=3), 5)):
        answers, scores = zip(*best, strict=True)
        assert len(best) == len(set(answers)) == 5
        assert list(scores) == sorted(scores, reverse=True)
        assert answering.score([answers, answers])[row] == pytest.approx(scores, abs=1e-5)
    sure = torch.full_like(answering.shares, -20.0)
    sure[:, 1] = 0.0
    certain = Answering(answering.decoder, answering.memory, answering.classes, sure)
    assert [best[0][0] for best in certain.best(Beam(2, max_length=3), 1)] == [list(answering.classes)[1]] * 2


def test_without_classes_the_decoder_answers_alone(answering):
    alone = Answering(answering.decoder, answering.memory, {}, torch.zeros(2, 1))
    answers = [(5,), (6, 7)]
    expected = [decoder_score(alone, 0, answer).item() for answer in answers]
    assert alone.score([answers, answers])[0] == pytest.approx(expected, abs=1e-5)
    assert len(alone.best(Beam(3, max_length=3), 2)[1]) == 2


def test_what_the_wording_says_of_yes_and_no_is_taken_away_and_evidence_added(network):
    """Of both questions, the one with its photo and the one without; by hand for one, half of it taken."""
    network.eval()
    photos = torch.randn(1, 49, 1280, generator=torch.Generator().manual_seed(1)).expand(2, -1, -1)
    with torch.no_grad():
        scene = network.look(photos, torch.tensor([1.0, 0.0]))
        answering = network.answering(network.think(scene, torch.tensor([[5, 6, 7]] * 2)))
    yes, no, other = (4,), (5,), (6, 7)
    before = torch.tensor(answering.score([[yes, no, other]] * 2))
    fair = answering.without_wording((yes, no), 0.5, torch.tensor([2.0, 0.0]))
    after = torch.tensor(fair.score([[yes, no, other]] * 2))
    torch.testing.assert_close(after.exp()[:, :2].sum(1), before.exp()[:, :2].sum(1))
    torch.testing.assert_close(after[:, 2], before[:, 2])
    odds, now = before[:, 0] - before[:, 1], after[:, 0] - after[:, 1]
    torch.testing.assert_close(now, torch.stack([odds[0] - odds[1] / 2 + 2, odds[1] / 2]), atol=1e-4, rtol=0)
    for best, scores in zip(fair.best(Beam(4, max_length=3), 9), after.tolist(), strict=True):
        assert dict(best)[yes] == pytest.approx(scores[0], abs=1e-4)
        assert dict(best)[no] == pytest.approx(scores[1], abs=1e-4)


def test_a_network_that_gets_classes_stays_as_it_was(network):
    network.eval()
    grown = network.rebuilt("frequent", frequent=((4,), (5,), (6, 7), (8,))).eval()
    photos, questions = torch.randn(2, 49, 1280), torch.tensor([[5, 6, 7], [8, 9, 0]])
    with torch.no_grad():
        before, after = (m.think(m.look(photos), questions) for m in (network, grown))
    torch.testing.assert_close(after.memory.summary, before.memory.summary)
    assert before.shares.shape == (2, 4)
    assert after.shares.shape == (2, 5)


def test_classes_leave_yes_no_and_rare_answers_to_the_decoder(tokenizer):
    def asked(answer: str, source: str) -> Question:
        return Question(Path("bus.jpg"), "what is this", (answer,), "object", source)

    questions = [*[asked("a bus", "daquar")] * 2, *[asked("yes", "human yes/no")] * 9, asked("dogs", "daquar"),
                 *[asked("red", "generated")] * 9, *[asked("zebra", "daquar")] * 5]  # fmt: skip
    words = [tokenizer.decode(ids) for ids in answer_classes(questions, tokenizer, least=2)]
    assert words == ["red", "bus"]
