"""The log-probability of given tokens: by teacher forcing, by hand, and by shared steps."""

import itertools

import pytest
import torch

from core.decoding.score import short_logprobs, token_logprobs
from core.decoding.stream import StepDecoder
from core.input.tokenizers import BOS, EOS, PAD, pad
from core.networks.decoder import DecoderConfig, LSTMDecoder

VOCAB, WIDTH = 17, 16


@pytest.fixture(scope="module")
def decoder() -> LSTMDecoder:
    torch.manual_seed(0)
    network = LSTMDecoder(DecoderConfig(VOCAB, embed_dim=WIDTH, hidden_size=WIDTH, memory_dim=WIDTH, heads=2)).eval()
    network.embedding.weight.data *= 6  # so that log-probabilities differ
    return network


def memory_of(decoder: LSTMDecoder, inputs: int):
    return decoder.project_memory(torch.randn(inputs, 5, WIDTH, generator=torch.Generator().manual_seed(1)))


def sequences(count: int, longest: int) -> torch.Tensor:
    """(count, T) of all lengths up to `longest` words."""
    generator = torch.Generator().manual_seed(2)
    words = [torch.randint(4, VOCAB, (1 + n % longest,), generator=generator).tolist() for n in range(count)]
    return pad([[BOS, *row, EOS] for row in words])


def by_hand(decoder: LSTMDecoder, memory, row: list[int]) -> list[float]:
    """Token after token of one sequence, one step at a time."""
    state, logprobs = decoder.initial_state(1, memory), []
    for token, following in itertools.pairwise(row):
        output = decoder(torch.tensor([[token]]), memory, state)
        state = output.state
        logprobs.append(output.logits[0, 0].log_softmax(0)[following].item())
    return logprobs


@torch.inference_mode()
def test_teacher_forcing_gives_what_a_loop_by_hand_gives(decoder):
    memory, tokens = memory_of(decoder, 2), sequences(6, 4)  # three sequences for each memory
    found = token_logprobs(decoder, memory, tokens)
    assert found.shape == (6, tokens.size(1) - 1)
    for n, row in enumerate(tokens.tolist()):
        length = row.index(EOS) + 1
        expected = by_hand(decoder, memory[n // 3 : n // 3 + 1], row[:length])
        assert found[n, : length - 1].tolist() == pytest.approx(expected, abs=1e-5)
        assert found[n, length - 1 :].eq(0).all()  # padding


@torch.inference_mode()
def test_what_a_padded_sequence_gets_depends_on_no_padding(decoder):
    memory, tokens = memory_of(decoder, 1), torch.tensor([[BOS, 5, 6, EOS]])
    longer = torch.cat([tokens, torch.full((1, 3), PAD)], 1)
    torch.testing.assert_close(token_logprobs(decoder, memory, longer)[:, :3], token_logprobs(decoder, memory, tokens))


def test_gradients_flow_where_they_are_wanted(decoder):
    token_logprobs(decoder, memory_of(decoder, 1), sequences(2, 2)).sum().backward()
    assert decoder.embedding.weight.grad.abs().sum() > 0
    decoder.zero_grad()


@pytest.mark.parametrize(("inputs", "each"), [(1, 1), (1, 5), (3, 1), (2, 4)])
@pytest.mark.parametrize("longest", [1, 2, 5])
@pytest.mark.parametrize("fast", [False, True], ids=["decoder", "steps"])
@torch.inference_mode()
def test_shared_steps_give_the_sums_of_teacher_forcing(decoder, inputs, each, longest, fast):
    memory, tokens = memory_of(decoder, inputs), sequences(inputs * each, longest)
    found = short_logprobs(StepDecoder(decoder) if fast else decoder, memory, tokens)
    expected = token_logprobs(decoder, memory, tokens).sum(1)
    torch.testing.assert_close(found, expected, atol=2e-2 if fast else 1e-4, rtol=1e-3 if fast else 1e-4)
