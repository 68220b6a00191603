"""The network: what padding, tags and a saved file may and may not change."""

import pytest
import torch

from core.errors import ModelError
from core.input.tokenizers import PAD, encode, pad
from demos.translation.data import encode_sources
from demos.translation.model import Translator
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


def test_a_network_made_fast_cannot_be_saved(checkpoint, tmp_path):
    with pytest.raises(ModelError, match="made fast"):
        Translator.from_pretrained(checkpoint).for_inference().save_pretrained(tmp_path)
