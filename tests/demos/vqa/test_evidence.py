"""What the photo says of a question's words, learnt from captions."""

from pathlib import Path

import pytest
import torch

from core.input.image import load_image
from core.training.captioned_photos import CaptionedPhoto
from demos.vqa.evidence import WordEvidence, definite_words, telling_words
from demos.vqa.predict import VQAPredictor
from demos.vqa.train_evidence import (
    CaptionedFeatures,
    WordRegression,
    encode_captioned,
    mean_log_likelihood,
    word_loss,
)

USUAL = 1.5


def captioned(photos: int = 200) -> CaptionedFeatures:
    """Eight features; word n, from 4 to 6, is said of photos with much of feature n - 4, and word 7 of any."""
    features = torch.randn(photos, 8, generator=torch.Generator().manual_seed(1))
    words = torch.zeros(photos, 10, dtype=torch.bool)
    words[:, 4:7] = features[:, :3] > 0.5
    words[::2, 7] = True
    return CaptionedFeatures(features, words)


def learnt(known: CaptionedFeatures) -> WordRegression:
    torch.manual_seed(1)
    regression = WordRegression(known)
    optimizer = torch.optim.AdamW(regression.parameters(), 0.03)
    for _ in range(100):
        optimizer.zero_grad()
        word_loss(regression, (known.features, known.words), None).value.backward()
        optimizer.step()
    return regression


def test_untrained_it_gives_each_word_its_share_of_the_photos():
    known = captioned()
    shares = torch.sigmoid(WordRegression(known).eval()(known.features)).mean(0)
    torch.testing.assert_close(shares, known.words.float().mean(0), atol=0.01, rtol=0)


def test_scores_tell_photos_of_which_a_word_is_said_from_others_at_one_scale():
    known = captioned()
    regression = learnt(known)
    weight, bias = regression.scores(known.features)
    scores = known.features @ weight.T + bias
    torch.testing.assert_close(scores.mean(0), torch.zeros(10), atol=1e-4, rtol=0)
    torch.testing.assert_close(scores.std(0), torch.ones(10), atol=1e-3, rtol=0)
    for word in (4, 5, 6):
        said = known.words[:, word]
        assert scores[said, word].min() > scores[~said, word].mean()
    assert (
        mean_log_likelihood(regression, known)["logprob"] > mean_log_likelihood(WordRegression(known), known)["logprob"]
    )


def test_the_sum_over_the_words_has_one_scale_and_only_telling_words_count():
    evidence = WordEvidence(2, 8, USUAL)
    evidence.telling[5:] = 1
    with torch.no_grad():
        evidence.scores.weight.zero_()
        evidence.scores.bias.copy_(torch.arange(8.0))
    questions = torch.tensor([[4, 5, 0, 0], [5, 6, 7, 7]])
    found = evidence(torch.zeros(1, 3, 2), questions, torch.tensor([0, 0]))
    usual = USUAL * torch.tensor([[0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25]])
    torch.testing.assert_close(found, torch.tensor([[0, 5.0, 0, 0], [2.5, 3, 3.5, 3.5]]) - usual)


def test_each_question_is_judged_by_its_own_photo():
    torch.manual_seed(1)
    evidence, grids = WordEvidence(4, 8, USUAL), torch.randn(2, 3, 4)
    evidence.telling.fill_(1)
    questions = torch.tensor([[4, 5], [4, 5]])
    together = evidence(grids, questions, torch.tensor([1, 0]))
    for n, row in enumerate((1, 0)):
        alone = evidence(grids[row : row + 1], questions[:1], torch.tensor([0]))
        torch.testing.assert_close(together[n], alone[0])
    assert not torch.equal(together[0], together[1])


def test_words_of_grammar_and_words_seldom_said_do_not_count(tokenizer):
    known = torch.ones(len(tokenizer))
    rare, bus, grammar = tokenizer.convert_tokens_to_ids(["frisbee", "bus", "the"])
    known[rare] = 0
    telling = telling_words(tokenizer, known)
    assert (telling[bus], telling[rare], telling[grammar]) == (1, 0, 0)
    assert telling[:4].sum() == 0


def test_photos_are_described_by_all_words_of_their_captions(network, tokenizer, coco):
    photo = CaptionedPhoto(coco / "images" / "bus.jpg", ["A red bus.", "The street!"])
    found = encode_captioned(network.eval(), tokenizer, [photo])
    assert found.features.shape == (1, 1280)
    words = set(tokenizer.convert_ids_to_tokens(found.words[0].nonzero()[:, 0].tolist()))
    assert {"red", "bus", "street"} <= words
    assert "dogs" not in words


def test_what_is_pointed_at_does_not_count_where_another_word_does(tokenizer):
    evidence = WordEvidence(2, len(tokenizer), USUAL)
    evidence.definite.copy_(definite_words(tokenizer))
    evidence.telling.copy_(telling_words(tokenizer, torch.ones(len(tokenizer))))
    with torch.no_grad():
        evidence.scores.weight.zero_()
        evidence.scores.bias.fill_(2.0)
    questions = [
        tokenizer.convert_tokens_to_ids(words.split()) for words in ("is the bus red", "is a bus red", "is in the bus")
    ]
    found = evidence(torch.zeros(1, 3, 2), torch.tensor(questions), torch.tensor([0, 0, 0]))
    both = 2 / 2**0.5 - USUAL / 2
    torch.testing.assert_close(found, torch.tensor([[0, 0, 0, 2 - USUAL], [0, 0, both, both], [0, 0, 0, 2 - USUAL]]))


@pytest.fixture
def judging(network, tokenizer) -> VQAPredictor:
    """A predictor for whose network every photo is full of dogs and has no bus."""
    grown = network.with_untrained("evidence", evidence=2.0)
    dogs, bus = tokenizer.convert_tokens_to_ids(["dogs", "bus"])
    with torch.no_grad():
        grown.evidence.scores.weight.zero_()
        grown.evidence.scores.bias[[dogs, bus]] = torch.tensor([3.0, -3.0])
    grown.evidence.telling[[dogs, bus]] = 1
    return VQAPredictor(grown, tokenizer)


@torch.inference_mode()
def odds(predictor: VQAPredictor, photo: Path, question: str) -> list[float]:
    """Log-odds of "yes" against "no", with the photo and without it."""
    ids = predictor.parser.question(question).ids
    encoded = predictor.model.encode_pairs(predictor.photo_features(load_image(photo)), torch.tensor([ids]))
    yes_no = [[tuple(predictor.parser.answer(answer).ids) for answer in ("yes", "no")]]
    return [(yes - no).item() for ((yes, no),) in predictor.distribution(encoded).logprobs(yes_no, yes_no)]


def test_yes_gets_likelier_by_what_the_photo_shows_and_not_without_it(network, tokenizer, judging, photo):
    plain = VQAPredictor(network, tokenizer)
    added = {"is there dogs": 3.0, "is the bus red": -9.0, "is there bus dogs": -3.0, "is the man green": 0.0}
    for question, more in added.items():
        before, after = (odds(predictor, photo, question) for predictor in (plain, judging))
        assert after == pytest.approx([before[0] + more, before[1]], abs=1e-3)


def test_the_result_says_what_each_word_added_to_a_yes_no_question(judging, photo):
    with torch.no_grad():
        judging.model.kind_of_question.bias.copy_(torch.eye(6)[judging.model.config.types.index("yes/no")] * 50)
    assert judging(photo, "is the bus by two dogs").evidence == {"bus": -5.7426, "dogs": 2.7426}
    assert judging(photo, "is this bus a bus").evidence == {"bus": pytest.approx(-12 / 2**0.5 - 3, abs=1e-3)}
    with torch.no_grad():
        judging.model.kind_of_question.bias.copy_(torch.eye(6)[judging.model.config.types.index("color")] * 50)
    assert judging(photo, "what color is the bus").evidence == {}
