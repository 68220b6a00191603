import math
from dataclasses import replace

import pytest
import torch

from core.input.tokenizers import PAD
from demos.sentiment.model import EncoderConfig, ReviewLanguageModel, SentimentClassifier, SentimentConfig, TextEncoder
from demos.sentiment.train import perplexity

SMALL = EncoderConfig(40, embed_dim=12, hidden_size=10)
CELLS = [(cell, both) for cell in ("lstm", "gru", "rnn_tanh") for both in (True, False)]


@pytest.fixture
def texts() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    lengths = torch.tensor([7, 3, 1, 5])
    tokens = torch.randint(4, 40, (4, 7))
    return tokens.masked_fill(torch.arange(7) >= lengths.unsqueeze(1), PAD), lengths


@pytest.mark.parametrize(("cell", "bidirectional"), CELLS)
def test_padding_changes_nothing(texts, cell, bidirectional):
    tokens, lengths = texts
    model = SentimentClassifier(SentimentConfig(replace(SMALL, cell=cell, bidirectional=bidirectional))).eval()
    together = model(tokens, lengths)
    longer = model(torch.nn.functional.pad(tokens, (0, 3), value=9), lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model(tokens[row : row + 1, :length], lengths[row : row + 1])
        for batch in (together, longer):
            torch.testing.assert_close(batch.logits[row], alone.logits[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(batch.attention[row, :length], alone.attention[0], atol=1e-5, rtol=1e-5)
        assert together.attention[row, length:].eq(0).all()


def test_one_half_of_an_encoder_sees_what_came_before_and_the_other_what_comes_after(texts):
    encoder = TextEncoder(SMALL).eval()
    tokens, lengths = texts[0][:1], texts[1][:1]
    outputs = encoder(tokens, lengths)
    changed = tokens.clone()
    changed[0, 3] = 39 if tokens[0, 3] != 39 else 38
    same = (encoder(changed, lengths) == outputs).all(2, keepdim=False)[0]
    forwards = (encoder(changed, lengths)[0, :, :10] == outputs[0, :, :10]).all(1).tolist()
    backwards = (encoder(changed, lengths)[0, :, 10:] == outputs[0, :, 10:]).all(1).tolist()
    assert forwards == [True] * 3 + [False] * 4
    assert backwards == [False] * 4 + [True] * 3
    assert not same.any()


def test_a_two_way_encoder_equals_pytorch_s_bidirectional_layer(texts):
    tokens, lengths = texts
    encoder = TextEncoder(SMALL).eval()
    both = torch.nn.LSTM(12, 10, batch_first=True, bidirectional=True)
    state = {f"{k}{end}": v for side, end in ((encoder.forwards, ""), (encoder.backwards, "_reverse"))
             for k, v in side.layers[0].state_dict().items()}  # fmt: skip
    both.load_state_dict(state)
    packed = torch.nn.utils.rnn.pack_padded_sequence(encoder.embed(tokens), lengths, True, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(both(packed)[0], True)
    mask = (torch.arange(7) < lengths.unsqueeze(1)).unsqueeze(2)
    torch.testing.assert_close(encoder(tokens, lengths) * mask, expected * mask, atol=1e-5, rtol=1e-5)


def test_the_tokens_contributions_add_up_to_the_logits(texts):
    model = SentimentClassifier(SentimentConfig(SMALL, class_names=("a", "b", "c", "d", "e"))).eval()
    output = model(*texts)
    direction = torch.randn(4, 5)
    expected = (direction * (output.logits - model.classes.bias)).sum(1)
    parts = model.contributions(output, direction)
    torch.testing.assert_close(parts.sum(1), expected, atol=1e-5, rtol=1e-5)
    assert parts[1, 3:].eq(0).all()


def test_training_drops_words_features_and_weights_and_judging_does_not(texts):
    model = SentimentClassifier(SentimentConfig(SMALL))
    assert not torch.equal(model(*texts).logits, model(*texts).logits)
    model.eval()
    assert torch.equal(model(*texts).logits, model(*texts).logits)


def test_missing_words_are_missing_everywhere_in_a_batch():
    torch.manual_seed(0)
    encoder = TextEncoder(replace(SMALL, word_dropout=0.5)).train()
    vectors = encoder.embed(torch.tensor([[5, 6, 7, 8, 5, 6, 7, 8]]))[0]
    assert torch.equal(vectors[:4], vectors[4:])
    dropped = vectors.eq(0).all(1)
    assert 0 < dropped.sum() < 8
    torch.testing.assert_close(vectors[~dropped], 2 * encoder.embedding.weight[[5, 6, 7, 8] * 2][~dropped])


# --- language model ----------------------------------------------------------------------------------------------


def test_each_direction_predicts_its_own_neighbour():
    model = ReviewLanguageModel(SMALL).eval()
    tokens = torch.tensor([[5, 6, 7, 8]])
    vectors, targets = model(tokens)
    assert targets.tolist() == [6, 7, 8, 5, 6, 7]
    changed, _ = model(torch.tensor([[5, 6, 7, 9]]))
    same = (vectors == changed).all(1).tolist()
    assert same == [True] * 3 + [False] * 3  # the last token is read by the backward half only
    one_way, targets = ReviewLanguageModel(replace(SMALL, bidirectional=False))(tokens)
    assert (len(one_way), targets.tolist()) == (3, [6, 7, 8])


def test_perplexity_of_a_model_that_knows_nothing_is_the_size_of_its_vocabulary():
    model = ReviewLanguageModel(SMALL).eval()
    torch.nn.init.zeros_(model.reader.embedding.weight)
    figures = perplexity(model, torch.randint(0, 40, (9, 12), dtype=torch.int32))
    assert math.isclose(figures["perplexity"], 40, rel_tol=1e-4)
    assert math.isclose(figures["logprob"], -math.log(40), rel_tol=1e-4)
