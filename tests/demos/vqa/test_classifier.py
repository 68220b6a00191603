"""Answers with a class of their own."""

from pathlib import Path

import pytest
import torch

from demos.vqa.classifier import ClassifierConfig, ClassifierEnsemble, words_and_pairs
from demos.vqa.data import Question
from demos.vqa.train_classes import AskedPhoto, answer_classes, class_accuracy, class_loss, collate, with_features

BUCKETS = 4096


def ensemble(weight: float = 0.5, members: int = 2) -> ClassifierEnsemble:
    """Untrained, of photos with four places of eight features, for three answers."""
    torch.manual_seed(1)
    config = ClassifierConfig(((5,), (6,), (7,)), members, weight)
    classifier = ClassifierEnsemble(8, 4, config).eval()
    classifier.fit_axes(torch.randn(100, 4, 8))
    return classifier


def test_words_and_pairs_do_not_depend_on_the_padding():
    questions = torch.tensor([[5, 6]]), torch.tensor([[5, 6, 0, 0]])
    short, padded = (words_and_pairs(question, BUCKETS) for question in questions)
    assert sorted(short[0].tolist()) == sorted(b for b in padded[0].tolist() if b != BUCKETS)
    assert words_and_pairs(torch.tensor([[6, 5]]), BUCKETS)[0, 2] != short[0, 2]  # a pair has an order


def test_the_mixture_weights_add_up_to_one_and_classes_get_no_more_than_theirs():
    classifier, questions, rows = ensemble(0.4), torch.tensor([[5, 6], [7, 0]]), torch.tensor([0, 0])
    grids, visible = torch.randn(1, 4, 8), torch.ones(1)
    with torch.no_grad():
        shares = classifier.log_weights(questions, rows, grids, visible).exp()
        torch.testing.assert_close(shares.sum(1), torch.ones(2))
        assert (shares[:, :-1].sum(1) < 0.4).all()
        for member in classifier.glances:
            member.classes.bias[-1] = 50.0  # sure that it is none of them
        sure = classifier.log_weights(questions, rows, grids, visible).exp()
    assert sure[0, -1].item() == pytest.approx(1.0)


@torch.no_grad()
def test_each_question_is_answered_from_its_own_photo_whatever_is_beside_it():
    classifier, grids, visible = ensemble(), torch.randn(3, 4, 8), torch.tensor([1.0, 1.0, 0.0])
    questions, rows = torch.tensor([[5, 6], [7, 0], [8, 9], [5, 6]]), torch.tensor([0, 0, 1, 2])
    together = classifier.log_weights(questions, rows, grids, visible)
    for n, row in enumerate(rows):
        question = questions[n : n + 1, : int((questions[n] != 0).sum())]
        alone = classifier.log_weights(question, torch.tensor([0]), grids[row : row + 1], visible[row : row + 1])
        torch.testing.assert_close(alone[0], together[n], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_without_the_photo_it_does_not_matter_which_one_it_is():
    classifier, question, row = ensemble(), torch.tensor([[5, 6]]), torch.tensor([0])
    with_photo, without = (
        [classifier.log_weights(question, row, grid, torch.full((1,), visible)) for grid in torch.randn(2, 1, 4, 8)]
        for visible in (1.0, 0.0)
    )
    torch.testing.assert_close(*without)
    assert (with_photo[0] - with_photo[1]).abs().max() > 1e-3


@torch.no_grad()
def test_the_features_are_uncorrelated_and_of_one_scale_or_less():
    torch.manual_seed(1)
    grids = torch.randn(200, 4, 8) @ torch.randn(8, 8)
    classifier = ensemble(members=1)
    classifier.fit_axes(grids)
    features = classifier.features(grids).flatten(0, 1)
    assert features.shape == (800, 384)
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
        photos.append(AskedPhoto(grid, [[5, 6]], [n % 3]))
    classifier = ensemble(members=1)
    classifier.fit_axes(torch.stack([photo.places for photo in photos]))
    photos = with_features(classifier, photos)
    optimizer = torch.optim.AdamW(classifier.parameters(), 5e-3)
    classifier.train()
    for _ in range(60):
        optimizer.zero_grad()
        class_loss(classifier, collate(photos), None).value.backward()
        optimizer.step()
    assert class_accuracy(classifier, photos)["accuracy"] > 95
    member = classifier.glances[0]
    with torch.no_grad():
        there = member(torch.tensor([[5, 6]]), torch.tensor([0]), collate(photos[:1])["places"], torch.ones(1))[1]
    assert there[0].argmax() == 0


def test_classes_leave_yes_no_and_rare_answers_to_the_decoder(tokenizer):
    def asked(answer: str, source: str) -> Question:
        return Question(Path("bus.jpg"), "what is this", (answer,), "object", source)

    questions = [*[asked("a bus", "people")] * 2, *[asked("yes", "human yes/no")] * 9, asked("dogs", "people"),
                 *[asked("red", "generated")] * 9, *[asked("zebra", "people")] * 5]  # fmt: skip
    words = [tokenizer.decode(ids) for ids in answer_classes(questions, tokenizer, least=2)]
    assert words == ["red", "bus"]
