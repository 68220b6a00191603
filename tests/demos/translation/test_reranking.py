"""Translating back and reading backwards: what their log-probabilities are, and what they do to the ranking."""

import json

import pytest
import safetensors.torch
import torch

from core.input.tokenizers import BOS, EOS, PAD, encode
from demos.translation.__main__ import main
from demos.translation.data import Noise, Rounds, encode_sources, multi30k_pairs
from demos.translation.model import Translator, bit_set, with_config
from demos.translation.predict import TranslationOptions, TranslationPredictor
from demos.translation.reranking import Pass, backwards, told_logprobs, way_back
from demos.translation.train import TranslationLoss, for_backward, right_to_left
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
        found = told_logprobs(predictor.model, writer, passes(tokenizer), batch_tokens)
        assert found == pytest.approx(expected, abs=1e-3)


def test_a_token_that_the_language_is_never_written_with_is_unlikely_and_no_more(predictor, tokenizer):
    few = with_config(predictor.model, words=(("en", bit_set([*range(4), *encode(tokenizer, ["A dog"])[0]])),)).eval()
    known, unknown = told_logprobs(few, few.writer("en"), [passes(tokenizer)[5], passes(tokenizer)[0]])
    assert float("-inf") < unknown < known < 0


def test_the_way_back_has_its_own_tags_and_ends_once():
    there = [10, 21, 101, 102, EOS]
    assert way_back((201, 202, EOS), there, [11, 20]) == Pass([11, 20, 201, 202, EOS], [BOS, 101, 102, EOS])
    assert way_back((201, 202), there, [11, 20]).read == [11, 20, 201, 202, EOS]  # cut by the length limit


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


# --- from right to left ------------------------------------------------------------------------------------------


def test_only_the_words_turn_round():
    target = torch.tensor([[BOS, 5, 6, 7, EOS], [BOS, 8, 9, EOS, PAD], [BOS, EOS, PAD, PAD, PAD]])
    expected = [[BOS, 7, 6, 5, EOS], [BOS, 9, 8, EOS, PAD], [BOS, EOS, PAD, PAD, PAD]]
    assert right_to_left(target).tolist() == expected
    assert right_to_left(right_to_left(target)).tolist() == target.tolist()
    assert backwards((201, 202, EOS), [10, 20, 5, EOS]) == Pass([10, 20, 5, EOS], [BOS, 202, 201, EOS])
    assert backwards((201, 202), [10, 20, 5, EOS]).told == [BOS, 202, 201, EOS]  # cut by the length limit


@pytest.fixture(scope="module")
def both_ways(predictor, toys, tokenizer) -> TranslationPredictor:
    """The small translator with a decoder that has learnt to write German from right to left."""
    model = for_backward(with_config(predictor.model, backward_size=64), ["de"])
    noise = Noise(bpe_dropout=0.0, copied=0.5, lower=0.0, bare=0.0)
    pairs = [pair for pair in multi30k_pairs(toys, "train") if pair.target == "de"]
    rounds = Rounds([pairs], [200], tokenizer, 250, noise)
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
    mixed = both_ways(text, "en", "de", TranslationOptions(5, 1.0, 0, 5)).hypotheses
    assert mixed[0].text == "Ein Pferd wartet zu Hause."

    def score(each) -> float:
        return (each.logprob + 5 * each.backward_logprob) / len(each.tokens)

    assert list(mixed) == sorted(mixed, key=score, reverse=True)
    assert mixed[0].backward_logprob > 3 * mixed[0].logprob - 3  # as sure as the other, more or less
    alone = both_ways(text, "en", "de", TranslationOptions(5, 1.0, 0, 0)).hypotheses
    assert [each.backward_logprob for each in alone] == [None] * 5
    assert {each.text for each in alone} == {each.text for each in mixed}


def test_only_languages_that_it_writes_are_read_backwards(both_ways):
    assert both_ways("Ein Pferd wartet zu Hause.", "de", "en").hypotheses[0].backward_logprob is None


def test_it_survives_saving(both_ways, tmp_path, tokenizer):
    both_ways.model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    text, options = "A girl sings here.", TranslationOptions(5)
    again = TranslationPredictor.from_pretrained(tmp_path)(text, "en", "de", options).hypotheses[0]
    found = both_ways(text, "en", "de", options).hypotheses[0]
    assert again.text == found.text
    assert again.backward_logprob == pytest.approx(found.backward_logprob, abs=0.2)  # kept in 16 bits
    shared = Translator.from_pretrained(tmp_path)
    assert shared.backward.embedding is shared.decoder.embedding
    assert sum("embedding" in name for name in safetensors.torch.load_file(tmp_path / "model.safetensors")) == 1


def test_it_is_trained_from_the_command_line(toys, checkpoint, tmp_path, capsys):
    command = ["train", "--multi30k", str(toys), "--start", str(checkpoint), "--out", str(tmp_path), "--backward", "en",
               "--round-pairs", "24", "0", "--rounds", "2", "--dev-sentences", "2", "--precision", "no"]  # fmt: skip
    assert main(command) == 0
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    dev = [record["dev"] for record in records if "dev" in record]
    assert list(dev[0]) == ["mean log-probability", "Multi30k de-en"]
    assert dev[0]["mean log-probability"] < 0
    model = Translator.from_pretrained(tmp_path / "best")
    assert model.config.backward == ("en",)
    before = Translator.from_pretrained(checkpoint)
    assert (model.config.words, model.config.known) == (before.config.words, before.config.known)
    assert torch.equal(model.encoder.layers[0].weight_ih_l0, before.encoder.layers[0].weight_ih_l0)
    assert main([*command, "--directions", "en-de"]) == 2
    assert "No sentence pair is of the languages named" in capsys.readouterr().err
