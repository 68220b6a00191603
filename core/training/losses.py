"""Losses that several tasks share."""

import torch
from torch import Tensor
from torch.nn import functional as F

from core.input.tokenizers import PAD


def next_token_loss(logits: Tensor, tokens: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of the tokens after <bos>, padding left out: (N, T - 1, V) or (N, T, V) logits, (N, T) tokens.

    smoothing: share of the probability that goes to all tokens alike (Szegedy et al. 2016).
    """
    logits = logits[:, : tokens.shape[1] - 1]
    return F.cross_entropy(
        logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), ignore_index=PAD, label_smoothing=smoothing
    )


class SampledSoftmax:
    """Cross-entropy over the right token and some others instead of the whole vocabulary (Jean et al. 2015).

    The others are drawn once per batch from frequency ** 0.75, and every logit is corrected by how often its token is
    drawn, so that the sum over the few estimates the sum over the vocabulary. Where the right token is drawn too, its
    copies count as right: that adds a constant to the loss, which is left out.

    frequency: (V,) of the tokens in the training text, none 0. count: others to draw. dtype: of the large product; the
    gradients of frequent tokens are sums over thousands, and stay in float32.
    """

    def __init__(self, frequency: Tensor, count: int, dtype: torch.dtype = torch.float32):
        self.proposal = frequency**0.75
        self.log_expected = (self.proposal / self.proposal.sum() * count).log()
        self.count, self.dtype = count, dtype

    def __call__(self, vectors: Tensor, targets: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(N, E) vectors before the output layer, whose weight is (V, E) and bias (V,), and the right tokens (N,)."""
        bias = bias - self.log_expected.to(bias.device)
        others = torch.multinomial(self.proposal, self.count, replacement=True).to(targets.device)
        wrong = F.linear(*(t.to(self.dtype) for t in (vectors, F.embedding(others, weight), bias[others])))
        right = (vectors.float() * F.embedding(targets, weight)).sum(1) + bias[targets]
        logits = torch.cat([right.to(self.dtype).unsqueeze(1), wrong], 1)  # (N, 1 + K)
        return F.cross_entropy(logits, torch.zeros_like(targets))
