"""The network: what padding, tags and a saved file may and may not change."""

import json

import pytest
import torch

from core.checkpoint import load_tokenizer
from core.input.tokenizers import PAD, encode, pad
from demos.translation.__main__ import main
from demos.translation.data import SentencePair, encode_sources
from demos.translation.model import Translator, bit_set, with_config
from demos.translation.predict import TranslationPredictor
from demos.translation.train import with_known
from tests.demos.translation.conftest import LINES, small_translator


@pytest.fixture
def batch(tokenizer):
    english, german = zip(*LINES[:6], strict=True)
    return pad(encode_sources(tokenizer, english, [("en", "de")] * 6)), pad(encode(tokenizer, german))


def test_padding_of_the_source_changes_nothing(tokenizer, batch):
    model = small_translator(tokenizer).eval()
    source, target = batch
    assert (source == PAD).any()
    together = model(source, target)
    for row in range(len(source)):
        alone = model(source[row][source[row] != PAD][None], target[row : row + 1])
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-4)


def test_an_untrained_network_knows_nothing_yet(tokenizer, batch):
    logits = small_translator(tokenizer).eval()(*batch)[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[1][:, 1:].flatten(), ignore_index=PAD)
    assert abs(loss.item() - torch.tensor(float(len(tokenizer))).log().item()) < 0.4


def test_every_weight_is_learnt(tokenizer, batch):
    model = small_translator(tokenizer)
    model(*batch).logsumexp(2).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_saved_translator_answers_bit_for_bit_the_same(predictor, checkpoint, batch):
    loaded = Translator.from_pretrained(checkpoint)
    again = Translator.from_pretrained(checkpoint)
    assert loaded.config == predictor.model.config
    assert torch.equal(loaded(*batch), again(*batch))
    torch.testing.assert_close(loaded(*batch), predictor.model(*batch), atol=0.05, rtol=0.05)  # kept in 16 bits


def test_training_from_the_command_line_resumes_and_leaves_a_checkpoint(toys, tmp_path, capsys):
    command = ["train", "--multi30k", str(toys), "--out", str(tmp_path), "--round-pairs", "24", "0", "--vocab-size",
               "150", "--dev-sentences", "2", "--precision", "no"]  # fmt: skip
    assert main([*command, "--rounds", "1"]) == 0
    assert main([*command, "--rounds", "2", "--resume"]) == 0
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    dev = [record for record in records if "dev" in record]
    assert [record["epoch"] for record in dev] == [1, 2]
    assert list(dev[0]["dev"]) == ["mean BLEU", "Multi30k en-de", "Multi30k de-en"]
    assert (tmp_path / "best" / "model.safetensors").exists()
    assert main(["train", "--multi30k", str(toys), "--out", str(tmp_path), "--rounds", "-1"]) == 2
    assert "at least one sentence pair" in capsys.readouterr().err


def test_no_rounds_give_a_trained_network_its_languages_words(toys, checkpoint, tmp_path):
    command = ["train", "--multi30k", str(toys), "--start", str(checkpoint), "--rounds", "0", "--out", str(tmp_path)]
    assert main(command) == 0
    before, after = Translator.from_pretrained(checkpoint), Translator.from_pretrained(tmp_path / "best")
    assert torch.equal(before.decoder.embedding.weight, after.decoder.embedding.weight)
    pieces = load_tokenizer(checkpoint).convert_ids_to_tokens(list(range(after.config.vocab_size)))
    known = {language: {pieces[n] for n in after.writer(language)[1]} for language in ("en", "de")}
    assert "ß" in "".join(pieces)
    assert "ß" not in "".join(known["en"])
    assert set(pieces[:4]) <= known["en"] & known["de"]
    assert after.writer("cs")[1] == list(range(after.config.vocab_size))  # not in these data


def test_a_writer_gives_the_logits_of_its_tokens(checkpoint):
    model = Translator.from_pretrained(checkpoint)
    model = with_config(model, words=(("de", bit_set([0, 1, 2, 3, 10, 20, 30])),)).eval()
    decoder, tokens = model.writer("de")
    assert tokens == [0, 1, 2, 3, 10, 20, 30]
    memory = model.memory(torch.tensor([[5, 6, 7, 8]]))
    whole = model.decoder(torch.tensor([[1, 20, 30]]), memory).logits
    small = decoder(torch.tensor([[1, 5, 6]]), memory).logits
    torch.testing.assert_close(small, whole[..., tokens])


def test_words_known_are_those_that_training_translates(checkpoint):
    model, tokenizer = Translator.from_pretrained(checkpoint), load_tokenizer(checkpoint)
    rows = [("A Qwertz sleeps.", "Ein Asdfgh schläft.")] * 2 + [("A Xyzzyx sings.", "Ein Xyzzyx singt.")] * 3
    rows += [("A Plughq waits.", "Ein Yxcvbn wartet.")]
    pairs = [SentencePair("en", "de", *row) for row in rows]
    assert with_known(model, tokenizer, pairs).config.known == (("en", "qwertz"),)  # others: a name, and seen once
    known = with_known(model, tokenizer, pairs, least=1)
    assert known.config.known == (("en", "plughq qwertz"),)
    assert torch.equal(known.decoder.embedding.weight, model.decoder.embedding.weight)

    def copies(model: Translator) -> bool:
        return "Plughq" in TranslationPredictor(model.eval(), tokenizer)("A Plughq waits here.", "en", "de").text

    assert (copies(model), copies(known)) == (True, False)
