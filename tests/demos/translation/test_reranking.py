"""Translating back and reading backwards: what their log-probabilities are, and what they do to the ranking."""

import pytest
import safetensors.torch
import torch

from core.decoding.hypothesis import Hypothesis
from core.decoding.rerank import rank
from core.input.tokenizers import BOS, EOS, PAD, encode
from demos.translation.data import COPY, Noise, Rounds, encode_sources, multi30k_pairs
from demos.translation.model import COPIES_DECIDE, Translator, with_config
from demos.translation.predict import TranslationOptions, TranslationPredictor
from demos.translation.reranking import (
    Candidates,
    LanguageDecoder,
    Reranker,
    SequencePair,
    backwards,
    sequence_logprobs,
    way_back,
)
from demos.translation.train import TranslationLoss, for_backward, right_to_left, save
from tests.demos.translation.conftest import LINES


def pairs(tokenizer) -> list[SequencePair]:
    """German sentences and the English ones that they should become, of different lengths."""
    rows = [*LINES[:5], ("A dog", "Ein Hund"), *LINES[30:34]]
    german = encode_sources(tokenizer, [de for _, de in rows], [("de", "en")] * len(rows))
    return [SequencePair(*each) for each in zip(german, encode(tokenizer, [en for en, _ in rows]), strict=True)]


def test_it_is_the_sum_over_the_sources_tokens_whatever_the_batches(predictor, tokenizer):
    expected = []
    for hypothesis, source in pairs(tokenizer):
        logits = predictor.model(torch.tensor([hypothesis]), torch.tensor([source[:-1]]))
        expected.append(logits.log_softmax(2)[0].gather(1, torch.tensor(source[1:])[:, None]).sum().item())
    decoder = LanguageDecoder.of(predictor.model.decoder, (), fast=False)
    for batch_tokens in (1, 30, 10_000):
        found = sequence_logprobs(predictor.model, decoder, pairs(tokenizer), batch_tokens)
        assert found == pytest.approx(expected, abs=1e-3)


def test_a_token_that_the_language_is_never_written_with_is_unlikely_and_no_more(predictor, tokenizer):
    words = sorted({*range(4), *encode(tokenizer, ["A dog"])[0]})
    for fast in (False, True):
        decoder = LanguageDecoder.of(predictor.model.decoder, words, fast)
        known, unknown = sequence_logprobs(predictor.model, decoder, [pairs(tokenizer)[5], pairs(tokenizer)[0]])
        assert float("-inf") < unknown < known < 0


def test_the_way_back_has_its_own_tags_and_ends_once():
    there = [10, 21, 101, 102, EOS]
    assert way_back((201, 202, EOS), there, [11, 20]) == SequencePair([11, 20, 201, 202, EOS], [BOS, 101, 102, EOS])
    assert way_back((201, 202), there, [11, 20]).read == [11, 20, 201, 202, EOS]  # cut by the length limit


def ranked(predictor, text: str, weights: dict[str, float], length_penalty: float = 0.0) -> list:
    other = TranslationPredictor(with_config(predictor.model, rerank=tuple(weights.items())), predictor.tokenizer)
    return list(other(text, "en", "de", TranslationOptions(5, length_penalty)).hypotheses)


def test_it_decides_the_more_the_higher_its_weight(predictor):
    text = "A horse waits at home."
    alone, both, back = (ranked(predictor, text, {"channel": weight}) for weight in (0, 0.5, 5))
    off = predictor(text, "en", "de", TranslationOptions(5, 0.0, rerank=False)).hypotheses
    assert [h.text for h in off] == [h.text for h in alone]
    assert [h.scores for h in off] == [{}] * 5
    assert both == sorted(both, key=lambda h: -h.logprob - 0.5 * h.scores["channel"])
    assert back == sorted(back, key=lambda h: -h.logprob - 5 * h.scores["channel"])
    assert {h.text for h in alone} == {h.text for h in back}
    assert [h.text for h in alone[1:]] != [h.text for h in back[1:]]
    assert back[0].text == "Ein Pferd wartet zu Hause."


def test_what_is_to_be_copied_decides_before_all_else(predictor, tokenizer):
    copy = tokenizer.convert_tokens_to_ids(COPY)
    right, wrong, twice = ((copy, 30, EOS), (30, EOS), (copy, copy, EOS))
    found = [Hypothesis(tokens, -float(n), (), -float(n)) for n, tokens in enumerate((wrong, twice, right))]
    reranker = Reranker(predictor.model, tokenizer, {}, {})
    (judged,) = reranker.scored([Candidates([10, 20, copy, EOS], ("en", "de"), 1, found)], 1.0, ["copies"])
    assert [h.scores["copies"] for h in judged] == [-1.0, -1.0, 0.0]
    assert rank(judged, {"copies": COPIES_DECIDE})[0].tokens == right


def test_sentences_add_up_and_what_is_not_translated_back_counts_nothing(predictor):
    first, second = (predictor(text, "en", "de").hypotheses[0] for text in ("A dog sleeps here.", "A man reads here."))
    both = predictor("A dog sleeps here. A man reads here.\n😀", "en", "de").hypotheses[0]
    assert both.scores["channel"] == pytest.approx(first.scores["channel"] + second.scores["channel"], abs=1e-3)
    assert predictor("😀", "en", "de").hypotheses[0].scores == {}
    assert predictor("A dog sleeps here.", "en", "de", TranslationOptions(1)).hypotheses[0].scores == {}


def test_a_network_that_knows_one_way_only_ranks_without(predictor, tokenizer):
    one_way = TranslationPredictor(with_config(predictor.model, pairs=(("en", "de"),)), tokenizer)
    assert [set(h.scores) for h in one_way("A dog sleeps here.", "en", "de").hypotheses] == [{"copies"}] * 5


# --- from right to left ------------------------------------------------------------------------------------------


def test_only_the_words_turn_round():
    target = torch.tensor([[BOS, 5, 6, 7, EOS], [BOS, 8, 9, EOS, PAD], [BOS, EOS, PAD, PAD, PAD]])
    expected = [[BOS, 7, 6, 5, EOS], [BOS, 9, 8, EOS, PAD], [BOS, EOS, PAD, PAD, PAD]]
    assert right_to_left(target).tolist() == expected
    assert right_to_left(right_to_left(target)).tolist() == target.tolist()
    assert backwards((201, 202, EOS), [10, 20, 5, EOS]) == SequencePair([10, 20, 5, EOS], [BOS, 202, 201, EOS])
    assert backwards((201, 202), [10, 20, 5, EOS]).written == [BOS, 202, 201, EOS]  # cut by the length limit


@pytest.fixture(scope="module")
def both_ways(predictor, toys, tokenizer) -> TranslationPredictor:
    """The small translator with a decoder that has learnt to write German from right to left."""
    model = for_backward(with_config(predictor.model, backward_size=64), ["de"])
    noise = Noise(copied=0.5, lower=0.0, bare=0.0)
    corpus = [pair for pair in multi30k_pairs(toys, "train") if pair.target == "de"]
    rounds = Rounds([corpus], [200], tokenizer, 250, noise)
    loss, learnt = TranslationLoss(smoothing=0.0, backward=True), [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learnt, 8e-3)
    for number in range(12):
        rounds.set_epoch(number)
        for batch in rounds:
            loss(model, batch, None).value.backward()
            torch.nn.utils.clip_grad_norm_(learnt, 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return TranslationPredictor(model, tokenizer)


def test_a_backward_decoder_leaves_all_else_as_it_was(predictor, both_ways):
    before, after = predictor.model.state_dict(), both_ways.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {"backward"}


def test_it_prefers_the_right_words_and_decides_by_its_weight(predictor, both_ways):
    text = "A horse waits at home."
    mixed = ranked(both_ways, text, {"backward": 5.0}, 1.0)
    assert mixed[0].text == "Ein Pferd wartet zu Hause."
    assert mixed == sorted(mixed, key=lambda h: h.logprob / len(h.tokens) + 5 * h.scores["backward"], reverse=True)
    best = mixed[0]
    assert best.scores["backward"] * len(best.tokens) > 3 * best.logprob - 3  # as sure as the other, more or less
    alone = ranked(both_ways, text, {}, 1.0)
    assert [each.scores for each in alone] == [{}] * 5
    assert {each.text for each in alone} == {each.text for each in mixed}


def test_only_languages_that_it_writes_are_read_backwards(both_ways):
    assert both_ways("Ein Pferd wartet zu Hause.", "de", "en").hypotheses[0].scores.keys() == {"copies", "channel"}


def test_it_survives_saving(both_ways, tmp_path, tokenizer):
    save(tokenizer, {}, tmp_path, both_ways.model)
    text, options = "A girl sings here.", TranslationOptions(5)
    again = TranslationPredictor.from_pretrained(tmp_path)(text, "en", "de", options).hypotheses[0]
    found = both_ways(text, "en", "de", options).hypotheses[0]
    assert again.text == found.text
    assert again.scores["backward"] == pytest.approx(found.scores["backward"], abs=0.03)  # kept in 16 bits
    shared = Translator.from_pretrained(tmp_path)
    assert shared.backward.embedding is shared.decoder.embedding
    assert sum("embedding" in name for name in safetensors.torch.load_file(tmp_path / "model.safetensors")) == 1
