"""Captions are ranked by what the word detector says of their words."""

import math

import pytest
import torch

from core.decoding.hypothesis import Hypothesis
from core.decoding.rerank import rank, tune
from core.input.tokenizers import EOS, train_word_tokenizer
from demos.captioning.ranking import DetectorScores
from demos.captioning.train import RERANK_WEIGHTS

TOKENIZER = train_word_tokenizer(["a dog", "a cat", "a zebra", "the dog"] * 5, 1)
DOG, CAT, ZEBRA, A = (TOKENIZER.get_vocab()[word] for word in ("dog", "cat", "zebra", "a"))


def caption(score: float, *tokens: int) -> Hypothesis:
    return Hypothesis((*tokens, EOS), score, (), score)


def detected(**odds: float) -> torch.Tensor:
    """(V,) logits; words that are not named are hardly on the photo."""
    logits = torch.full((len(TOKENIZER),), -6.0)
    for word, value in odds.items():
        logits[TOKENIZER.get_vocab()[word]] = value
    return logits


@pytest.fixture
def detector() -> DetectorScores:
    return DetectorScores(TOKENIZER, len(TOKENIZER))


def test_a_caption_is_scored_by_its_words_and_stays_as_it_is(detector):
    found = [caption(-1.0, A, DOG, A, CAT, A, DOG)]
    (scored,) = detector.add(found, detected(dog=2.0, cat=0.0))
    assert scored == found[0]
    chance = 1 / (1 + math.exp(-2))
    assert scored.scores == pytest.approx({"sure": 1.0, "seen": chance + 0.5, "repeated": -1.0})


@pytest.mark.parametrize("name", ["sure", "seen"])
def test_a_caption_whose_words_are_on_the_photo_comes_first(detector, name):
    found = [caption(-1.0, A, CAT), caption(-1.1, A, DOG)]
    assert rank(detector.add(found, detected(dog=5.0)), {}) == found
    assert rank(detector.add(found, detected(dog=5.0)), {name: 0.4})[0] == found[1]
    assert rank(detector.add(found, detected(cat=5.0)), {name: 0.4})[0] == found[0]


def test_function_words_and_words_without_a_detector_do_not_count():
    detector = DetectorScores(TOKENIZER, ZEBRA)  # the rarest word is not detected
    found = [caption(-1.0, A, DOG), caption(-1.0, A, A, DOG, ZEBRA)]
    first, second = detector.add(found, detected(dog=1.0, a=9.0, zebra=9.0)[:ZEBRA])
    assert first.scores == second.scores


def test_a_caption_of_function_words_tells_nothing_and_comes_last(detector):
    found = [caption(-1.0, A), caption(-1.0, A, DOG)]
    assert rank(detector.add(found, detected(dog=-1.0)), {"sure": 0.4})[0] == found[1]


def test_a_word_that_is_said_again_counts_against_a_caption_but_a_function_word_does_not(detector):
    found = [caption(-1.0, A, DOG, A, DOG), caption(-1.1, A, DOG, A, A)]
    scored = detector.add(found, detected(dog=1.0))
    assert rank(scored, {"sure": 0.4, "seen": 0.4}) == found
    assert rank(scored, {"sure": 0.4, "seen": 0.4, "repeated": 0.2})[0] == found[1]


def test_the_chosen_weights_are_those_that_put_the_better_captions_first(detector):
    """Each photo has a likelier caption that is wrong; only the detector tells, and only if it counts enough."""
    found = detector.add([caption(-1.0, A, CAT), caption(-1.6, A, DOG)], detected(dog=0.0, cat=-4.0))

    def quality(best: list[Hypothesis]) -> float:
        return sum(DOG in hypothesis.tokens for hypothesis in best)

    grid = ({"sure": RERANK_WEIGHTS, "seen": RERANK_WEIGHTS}, {"repeated": RERANK_WEIGHTS})
    weights = tune([found] * 3, quality, grid)
    assert quality([rank(found, weights)[0]]) == 1
    assert tune([found] * 3, lambda best: -quality(best), grid) == {"sure": 0.0, "seen": 0.0, "repeated": 0.0}
