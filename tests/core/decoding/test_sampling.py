"""Sampling: what is drawn follows the distribution, within temperature, top-k and top-p, and is fixed by the seed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.decoding.sampling import Sampling, draw, sample, truncate
from core.input.tokenizers import BOS
from core.networks.decoder import DecoderConfig, LSTMDecoder

WIDTH = 16
NEVER = [0, BOS, 3]
LOGITS = np.log([[0.5, 0.25, 0.15, 0.1]], dtype=np.float32)


@pytest.fixture(scope="module")
def decoder() -> LSTMDecoder:
    torch.manual_seed(0)
    network = LSTMDecoder(DecoderConfig(17, WIDTH, WIDTH, memory_dim=WIDTH, heads=2)).eval()
    network.embedding.weight.data *= 6  # peaked enough that samples differ
    return network


@pytest.fixture(scope="module")
def memory(decoder):
    return decoder.project_memory(torch.randn(4, 5, WIDTH, generator=torch.Generator().manual_seed(1)))


class Chain:
    """A decoder without memory that wants to say 4, and then to stop."""

    def initial_state(self, sequences, memory):
        return None

    def __call__(self, tokens, memory, state):
        logits = torch.zeros(len(tokens), 1, 8)
        logits[:, 0, 4] = 4.0
        return SimpleNamespace(logits=logits, state=None, attention=None)


def test_a_seed_fixes_the_samples_and_temperature_zero_is_greedy(decoder, memory):
    first, again, other = (sample(decoder, memory, Sampling(samples=3, seed=s)) for s in (7, 7, 8))
    assert first == again
    assert first != other
    cold = sample(decoder, memory, Sampling(temperature=0.0, max_length=8))
    state, token = decoder.initial_state(4, memory), torch.full((4, 1), BOS)
    logits = decoder(token, memory, state).logits[:, 0]
    logits[:, NEVER] = float("-inf")
    assert [h[0].tokens[0] for h in cold] == logits.argmax(1).tolist()


def test_a_sample_carries_what_teacher_forcing_gives(decoder, memory):
    (hypothesis,) = sample(decoder, memory[:1], Sampling(temperature=2.0, top_k=5, max_length=6, seed=1))[0]
    with torch.inference_mode():
        output = decoder(torch.tensor([[BOS, *hypothesis.tokens[:-1]]]), memory[:1])
    own = output.logits[0].log_softmax(1)[range(len(hypothesis.tokens)), hypothesis.tokens]
    assert hypothesis.token_logprobs == pytest.approx(own.tolist(), abs=1e-5)
    assert hypothesis.logprob == pytest.approx(own.sum().item(), abs=1e-5)
    torch.testing.assert_close(hypothesis.attention, output.attention[0])


def test_samples_follow_the_distribution():
    torch.manual_seed(0)
    drawn = sample(Chain(), None, Sampling(samples=4000, max_length=1), inputs=1)[0]
    share = sum(h.tokens[0] == 4 for h in drawn) / 4000
    logits = torch.zeros(8)
    logits[4] = 4.0
    logits[NEVER] = float("-inf")
    assert share == pytest.approx(logits.softmax(0)[4].item(), abs=0.02)


def test_the_random_number_picks_its_place_in_the_cumulative_distribution():
    uniform = np.array([0.0, 0.49, 0.51, 0.74, 0.76, 0.91])
    assert draw(LOGITS.repeat(6, 0), Sampling(), uniform).tolist() == [0, 0, 1, 1, 2, 3]


@pytest.mark.parametrize("temperature", [0.0, 0.01, 1.0, 5.0])
def test_what_is_at_minus_infinity_is_never_drawn(temperature):
    logits = np.array([[-np.inf, 2.0, 1.0, -np.inf]], dtype=np.float32).repeat(51, 0)
    uniform = np.array([*np.linspace(0, 1, 50), 1 - 1e-12])  # the last rounds to 1
    assert set(draw(logits, Sampling(temperature=temperature), uniform)) <= {1, 2}


@pytest.mark.parametrize(
    ("options", "expected"), [({"top_k": 2}, {0, 1}), ({"top_k": 1}, {0}), ({"top_p": 0.6}, {0, 1}), ({}, {0, 1, 2, 3})]
)
def test_draws_stay_within_top_k_and_top_p(options, expected):
    uniform = np.random.default_rng(0).random(400)
    assert set(draw(LOGITS.repeat(400, 0), Sampling(**options), uniform)) == expected


def test_truncation_keeps_the_top_k_and_the_nucleus():
    assert np.isfinite(truncate(LOGITS, Sampling(top_k=1))).tolist() == [[True, False, False, False]]
    assert np.isfinite(truncate(LOGITS, Sampling(top_p=0.6))).sum() == 2  # 0.5 + 0.25 crosses 0.6
    assert np.isfinite(truncate(LOGITS, Sampling(top_p=0.01))).tolist() == [[True, False, False, False]]
    both = truncate(np.array([[1.0, 3.0, 2.0, 2.5]]), Sampling(top_k=3, top_p=0.8))
    assert np.isfinite(both).tolist() == [[False, True, False, True]]
    halved = np.exp(truncate(LOGITS, Sampling(temperature=0.5)))
    np.testing.assert_allclose(halved, [[0.25, 0.0625, 0.0225, 0.01]], rtol=1e-5)
