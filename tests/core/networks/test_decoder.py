"""The shared decoder, in the spirit of neuraltalk2's test file."""

import math

import pytest
import torch
from torch import nn

from core.decoding.search import greedy_search
from core.input.tokenizers import BOS, EOS, PAD
from core.networks.attention import SentinelAttention
from core.networks.decoder import DecoderConfig, LSTMDecoder

VOCAB, WIDTH, PLACES = 53, 32, 6


def build(memory_dim: int | None = WIDTH, layers: int = 2, dropout: float = 0.0) -> LSTMDecoder:
    torch.manual_seed(0)
    return LSTMDecoder(DecoderConfig(VOCAB, WIDTH, WIDTH, layers, memory_dim, heads=4, dropout=dropout))


def random_tokens(n: int, t: int) -> torch.Tensor:
    return torch.randint(4, VOCAB, (n, t), generator=torch.Generator().manual_seed(2))


def random_memory(b: int) -> torch.Tensor:
    return torch.randn(b, PLACES, WIDTH, generator=torch.Generator().manual_seed(3))


def loss_of(decoder, tokens, memory=None):
    logits = decoder(tokens, None if memory is None else decoder.project_memory(memory)).logits
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("memory_dim", [WIDTH, None])
def test_the_first_loss_is_that_of_guessing(layers, memory_dim):
    decoder = build(memory_dim, layers)
    memory = random_memory(8) if memory_dim else None
    assert loss_of(decoder, random_tokens(8, 10), memory).item() == pytest.approx(math.log(VOCAB), abs=0.1)


@pytest.mark.parametrize("memory_dim", [WIDTH, None])
def test_shapes_and_attention_that_sums_to_one(memory_dim):
    decoder = build(memory_dim, layers=3)
    memory = decoder.project_memory(random_memory(2)) if memory_dim else None
    output = decoder(random_tokens(6, 5), memory)
    assert output.logits.shape == (6, 5, VOCAB)
    assert output.state.hidden.shape == output.state.cell.shape == (3, 6, WIDTH)
    if memory is None:
        assert output.attention is None
    else:
        assert output.attention.shape == (6, 5, PLACES + 1)
        torch.testing.assert_close(output.attention.sum(2), torch.ones(6, 5))


@pytest.mark.parametrize("memory_dim", [WIDTH, None])
def test_one_step_at_a_time_equals_the_fused_call(memory_dim):
    decoder = build(memory_dim).eval()
    tokens = random_tokens(4, 7)
    memory = decoder.project_memory(random_memory(2)) if memory_dim else None
    whole = decoder(tokens, memory)
    state, steps = None, []
    for t in range(7):
        output = decoder(tokens[:, t : t + 1], memory, state)
        state = output.state
        steps.append(output.logits)
    torch.testing.assert_close(torch.cat(steps, 1), whole.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(state.cell, whole.state.cell, atol=1e-5, rtol=1e-4)


def test_sequences_share_a_memory_as_if_each_had_its_own():
    decoder = build().eval()
    tokens, memory = random_tokens(6, 5), random_memory(2)
    shared = decoder(tokens, decoder.project_memory(memory))
    own = decoder(tokens, decoder.project_memory(memory.repeat_interleave(3, 0)))
    torch.testing.assert_close(shared.logits, own.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shared.attention, own.attention)


def test_masked_places_do_not_exist():
    decoder = build().eval()
    memory, tokens = random_memory(2), random_tokens(2, 4)
    mask = torch.ones(2, PLACES, dtype=torch.bool)
    mask[:, 4:] = False
    masked = decoder(tokens, decoder.project_memory(memory, mask))
    short = decoder(tokens, decoder.project_memory(memory[:, :4]))
    torch.testing.assert_close(masked.logits, short.logits, atol=1e-5, rtol=1e-4)
    assert masked.attention[:, :, 4:PLACES].eq(0).all()


def test_later_tokens_change_nothing_before_them():
    decoder = build().eval()
    memory, tokens = decoder.project_memory(random_memory(1)), random_tokens(1, 6)
    changed = tokens.clone()
    changed[0, 4] = 4 if tokens[0, 4] != 4 else 5
    a, b = decoder(tokens, memory).logits, decoder(changed, memory).logits
    torch.testing.assert_close(a[:, :4], b[:, :4])
    assert not torch.allclose(a[:, 4:], b[:, 4:])


def test_the_memory_is_used_and_without_one_the_sentinel_gets_all():
    decoder = build().eval()
    tokens, memory = random_tokens(2, 4), random_memory(2)
    one = decoder(tokens, decoder.project_memory(memory)).logits
    other = decoder(tokens, decoder.project_memory(-memory)).logits
    assert (one - other).abs().max() > 1e-3
    alone = decoder(tokens).attention
    assert alone.shape == (2, 4, 1)
    assert alone.eq(1).all()


def test_gradients_are_the_numeric_ones():
    torch.manual_seed(0)
    decoder = LSTMDecoder(DecoderConfig(9, 6, 6, 2, 6, heads=2)).double().eval()
    tokens, memory = torch.tensor([[1, 4, 5, 2], [1, 7, 8, 2]]), torch.randn(1, 3, 6, dtype=torch.double)

    def loss(memory, embedding):
        weights = {"embedding.weight": embedding}
        projected = decoder.project_memory(memory)
        logits = torch.func.functional_call(decoder, weights, (tokens, projected)).logits
        return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())

    embedding = decoder.embedding.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (memory.requires_grad_(), embedding))


def test_a_toy_set_overfits_and_greedy_search_recites_it():
    decoder = build()
    captions = [[BOS, 4, 5, 6, 7, EOS], [BOS, 4, 8, 9, EOS, PAD], [BOS, 10, 5, 11, EOS, PAD]]
    tokens, memory = torch.tensor(captions), random_memory(3)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        loss = loss_of(decoder, tokens, memory)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2
    decoder.eval()
    for caption, best in zip(captions, greedy_search(decoder, decoder.project_memory(memory)), strict=True):
        assert best.tokens == tuple(t for t in caption[1:] if t != PAD)


def test_dropout_is_for_training_only():
    decoder = build(dropout=0.5)
    tokens, memory = random_tokens(2, 4), decoder.project_memory(random_memory(2))
    assert not torch.equal(decoder(tokens, memory).logits, decoder(tokens, memory).logits)
    decoder.eval()
    assert torch.equal(decoder(tokens, memory).logits, decoder(tokens, memory).logits)


def test_nothing_is_stored_on_the_module_during_a_request():
    decoder = build().eval()
    before = {name: set(vars(module)) for name, module in decoder.named_modules()}
    greedy_search(decoder, decoder.project_memory(random_memory(2)))
    assert {name: set(vars(module)) for name, module in decoder.named_modules()} == before


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="multiple of 5 heads"):
        SentinelAttention(32, 32, 32, heads=5)
