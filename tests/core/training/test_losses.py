"""Losses against sums by hand."""

import pytest
import torch
from torch.nn import functional as F

from core.input.tokenizers import BOS, EOS, PAD
from core.training.losses import SampledSoftmax, next_token_loss

TOKENS = torch.tensor([[BOS, 4, 5, EOS], [BOS, 6, EOS, PAD]])


@pytest.mark.parametrize("steps", [3, 4], ids=["without the last step", "with it"])
def test_the_next_token_is_the_target_and_padding_is_none(steps):
    torch.manual_seed(0)
    logits = torch.randn(2, steps, 9)
    parts = logits.log_softmax(2)
    chosen = [parts[0, 0, 4], parts[0, 1, 5], parts[0, 2, EOS], parts[1, 0, 6], parts[1, 1, EOS]]
    assert next_token_loss(logits, TOKENS).item() == pytest.approx(-sum(chosen).item() / 5, abs=1e-6)


def test_smoothing_gives_a_share_to_all_tokens():
    torch.manual_seed(0)
    logits = torch.randn(1, 1, 9)
    parts = logits[0, 0].log_softmax(0)
    expected = -(0.9 * parts[4] + 0.1 * parts.mean())
    assert next_token_loss(logits, TOKENS[:1, :2], 0.1).item() == pytest.approx(expected.item(), abs=1e-6)


VOCAB, WIDTH = 200, 12


@pytest.fixture(scope="module")
def example():
    """Vectors (64, E) and their right tokens, an output layer, and how often its tokens occur."""
    torch.manual_seed(0)
    frequency = 1000 / torch.arange(1.0, VOCAB + 1)  # Zipf's law
    targets = torch.multinomial(frequency, 64, replacement=True)
    return torch.randn(64, WIDTH), targets, 0.3 * torch.randn(VOCAB, WIDTH), 0.3 * torch.randn(VOCAB), frequency


def test_the_sampled_loss_is_that_over_the_whole_vocabulary_but_for_a_constant(example):
    vectors, targets, weight, bias, frequency = example
    full = F.cross_entropy(F.linear(vectors, weight, bias), targets)
    loss = SampledSoftmax(frequency, count=5000)
    torch.manual_seed(1)
    few = loss(vectors, targets, weight, bias)
    constant = loss.log_expected[targets].mean()  # how often a right token is drawn: its copies count as right
    assert (few - constant).item() == pytest.approx(full.item(), abs=0.05)


def test_gradients_point_where_the_full_ones_do(example):
    vectors, targets, weight, bias, frequency = example
    full, few = (weight.clone().requires_grad_() for _ in range(2))
    F.cross_entropy(F.linear(vectors, full, bias), targets).backward()
    torch.manual_seed(1)
    SampledSoftmax(frequency, count=5000)(vectors, targets, few, bias).backward()
    cosine = F.cosine_similarity(full.grad.flatten(), few.grad.flatten(), 0)
    assert cosine > 0.95
