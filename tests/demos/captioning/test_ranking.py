"""Captions are ranked by what the word detector says of their words, and the weights by what that is good for."""

import pytest
import torch

from core.decoding.search import Hypothesis
from core.input.tokenizers import EOS, train_word_tokenizer
from demos.captioning.ranking import WEIGHTS, DetectorWeights, WordJudge, choose_weights

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
def judge() -> WordJudge:
    return WordJudge(TOKENIZER, len(TOKENIZER))


def test_without_weights_the_order_of_the_search_stays(judge):
    found = [caption(-1.0, A, CAT), caption(-1.1, A, DOG), caption(-1.2, A)]
    assert judge.rank(found, detected(dog=5.0), DetectorWeights()) == found


@pytest.mark.parametrize("weights", [DetectorWeights(sure=0.4), DetectorWeights(seen=0.4)], ids=["sure", "seen"])
def test_a_caption_whose_words_are_on_the_photo_comes_first(judge, weights):
    found = [caption(-1.0, A, CAT), caption(-1.1, A, DOG)]
    assert judge.rank(found, detected(dog=5.0), weights)[0] is found[1]
    assert judge.rank(found, detected(cat=5.0), weights)[0] is found[0]


def test_function_words_and_words_without_a_detector_do_not_count():
    judge = WordJudge(TOKENIZER, ZEBRA)  # the rarest word is not detected
    found = [caption(-1.0, A, DOG), caption(-1.0, A, A, DOG, ZEBRA)]
    weights = DetectorWeights(0.4, 0.4)
    assert judge.rank(found, detected(dog=1.0, a=9.0, zebra=9.0)[:ZEBRA], weights) == found


def test_a_caption_of_function_words_tells_nothing_and_comes_last(judge):
    found = [caption(-1.0, A), caption(-1.0, A, DOG)]
    assert judge.rank(found, detected(dog=-1.0), DetectorWeights(sure=0.4))[0] is found[1]


def test_a_word_that_is_said_again_counts_against_a_caption_but_a_function_word_does_not(judge):
    found = [caption(-1.0, A, DOG, A, DOG), caption(-1.1, A, DOG, A, A)]
    assert judge.rank(found, detected(dog=1.0), DetectorWeights(sure=0.4, seen=0.4)) == found
    assert judge.rank(found, detected(dog=1.0), DetectorWeights(0.4, 0.4, repeated=0.2))[0] is found[1]


def test_the_chosen_weights_are_those_that_put_the_better_captions_first(judge):
    """Each photo has a likelier caption that is wrong; only the detector tells, and only if it counts enough."""
    photos = [([caption(-1.0, A, CAT), caption(-1.6, A, DOG)], detected(dog=0.0, cat=-4.0)) for _ in range(3)]

    def quality(best: list[Hypothesis]) -> float:
        return sum(DOG in hypothesis.tokens for hypothesis in best)

    weights = choose_weights(judge, photos, quality)
    assert quality([judge.rank(*photo, weights)[0] for photo in photos]) == 3
    assert {weights.sure, weights.seen} <= set(WEIGHTS)
    assert choose_weights(judge, photos, lambda best: -quality(best)) == DetectorWeights()
