"""Translating back: what the channel's log-probability is, and what it does to the ranking."""

import pytest
import torch

from core.text import BOS, EOS, encode
from demos.translation.channel import Pass, channel_logprobs, way_back
from demos.translation.data import encode_sources
from demos.translation.model import bit_set, with_config
from demos.translation.predict import TranslationOptions, TranslationPredictor
from tests.demos.translation.conftest import LINES


def passes(tokenizer) -> list[Pass]:
    """German sentences and the English ones that they should become, of different lengths."""
    rows = [*LINES[:5], ("A dog", "Ein Hund"), *LINES[30:34]]
    german = encode_sources(tokenizer, [de for _, de in rows], [("de", "en")] * len(rows))
    return [Pass(*each) for each in zip(german, encode(tokenizer, [en for en, _ in rows]), strict=True)]


def test_it_is_the_sum_over_the_sources_tokens_whatever_the_batches(predictor, tokenizer):
    expected = []
    for hypothesis, source in passes(tokenizer):
        logits = predictor.model(torch.tensor([hypothesis]), torch.tensor([source[:-1]]))
        expected.append(logits.log_softmax(2)[0].gather(1, torch.tensor(source[1:])[:, None]).sum().item())
    writer = predictor.model.writer("en")
    for batch_tokens in (1, 30, 10_000):
        found = channel_logprobs(predictor.model, writer, passes(tokenizer), batch_tokens)
        assert found == pytest.approx(expected, abs=1e-3)


def test_a_token_that_the_language_is_never_written_with_is_unlikely_and_no_more(predictor, tokenizer):
    few = with_config(predictor.model, words=(("en", bit_set([*range(4), *encode(tokenizer, ["A dog"])[0]])),)).eval()
    known, unknown = channel_logprobs(few, few.writer("en"), [passes(tokenizer)[5], passes(tokenizer)[0]])
    assert float("-inf") < unknown < known < 0


def test_the_way_back_has_its_own_tags_and_ends_once():
    there = [10, 21, 101, 102, EOS]
    assert way_back((201, 202, EOS), there, [11, 20]) == Pass([11, 20, 201, 202, EOS], [BOS, 101, 102, EOS])
    assert way_back((201, 202), there, [11, 20]).hypothesis == [11, 20, 201, 202, EOS]  # cut by the length limit


def test_it_decides_the_more_the_higher_its_weight(predictor):
    def ranked(weight: float) -> list:
        return list(predictor("A horse waits at home.", "en", "de", TranslationOptions(5, 0.0, weight)).hypotheses)

    alone, both, back = ranked(0), ranked(0.5), ranked(5)
    assert [h.channel_logprob for h in alone] == [None] * 5
    assert alone == sorted(alone, key=lambda h: -h.logprob)
    assert both == sorted(both, key=lambda h: -h.logprob - 0.5 * h.channel_logprob)
    assert back == sorted(back, key=lambda h: -h.logprob - 5 * h.channel_logprob)
    assert {h.text for h in alone} == {h.text for h in back}
    assert [h.text for h in alone[1:]] != [h.text for h in back[1:]]
    assert back[0].text == "Ein Pferd wartet zu Hause."


def test_sentences_add_up_and_what_is_not_translated_back_counts_nothing(predictor):
    first, second = (predictor(text, "en", "de").hypotheses[0] for text in ("A dog sleeps here.", "A man reads here."))
    both = predictor("A dog sleeps here. A man reads here.\n😀", "en", "de").hypotheses[0]
    assert both.channel_logprob == pytest.approx(first.channel_logprob + second.channel_logprob, abs=1e-3)
    assert predictor("😀", "en", "de").hypotheses[0].channel_logprob is None
    assert predictor("A dog sleeps here.", "en", "de", TranslationOptions(1)).hypotheses[0].channel_logprob is None


def test_a_network_that_knows_one_way_only_ranks_without(predictor, tokenizer):
    one_way = TranslationPredictor(with_config(predictor.model, pairs=(("en", "de"),)), tokenizer)
    assert [h.channel_logprob for h in one_way("A dog sleeps here.", "en", "de").hypotheses] == [None] * 5
