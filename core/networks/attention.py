"""Attention of a decoder over a memory, with a padding mask and a sentinel.

Multiplicative ("general") scores of Luong et al. 2015, in several heads (Vaswani et al. 2017), and the visual sentinel
of Lu et al. 2017, "Knowing When to Look": one more place to look at, made from the decoder's own state. A word such as
"of" follows from the words before it; then the sentinel takes the weight that the memory would get.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Memory:
    """What a decoder attends to, projected once per request and shared by all its beams and captions."""

    keys: Tensor  # (B, heads, P, d)
    values: Tensor  # (B, heads, P, d)
    mask: Tensor | None  # (B, P) True where there is something to look at; None: everywhere
    summary: Tensor  # (B, D) or (B * k, D) the memory in one vector: where the decoder's state starts from

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, rows: slice | Tensor) -> "Memory":
        """The memories of some of the inputs."""
        mask = None if self.mask is None else self.mask[rows]
        return Memory(self.keys[rows], self.values[rows], mask, self.summary[rows])


class SentinelAttention(nn.Module):
    """Multi-head attention whose last position is the decoder's own sentinel.

    Queries come grouped: N = B * k sequences (beams, or the k captions of one photo) share each of the B memories, in
    order, so nothing is copied k times.
    """

    def __init__(self, hidden_size: int, memory_dim: int, embed_dim: int, heads: int = 8, dropout: float = 0.1):
        super().__init__()
        if hidden_size % heads:
            raise ValueError(f"hidden_size {hidden_size} is not a multiple of {heads} heads")
        self.heads = heads
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(memory_dim, hidden_size)
        self.value = nn.Linear(memory_dim, hidden_size)
        self.sentinel_gate = nn.Linear(embed_dim + hidden_size, hidden_size)
        self.sentinel_key = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def project(self, memory: Tensor, mask: Tensor | None = None, summary: Tensor | None = None) -> Memory:
        """(B, P, D) memory, (B, P) mask, (B, D) summary (default: the mean over valid positions) -> Memory"""
        if summary is None:
            weight = torch.ones_like(memory[..., :1]) if mask is None else mask.unsqueeze(2).to(memory.dtype)
            summary = (memory * weight).sum(1) / weight.sum(1).clamp(min=1)
        return Memory(self._split(self.key(memory)), self._split(self.value(memory)), mask, summary)

    def forward(self, outputs: Tensor, inputs: Tensor, memory: Memory | None) -> tuple[Tensor, Tensor]:
        """LSTM outputs (N, T, H) and their inputs (N, T, E) -> context (N, T, H), weights (N, T, P + 1).

        The last weight is the sentinel's; the weights are the mean over the heads and sum to 1. Without a memory all
        weight is on the sentinel (P = 0).
        """
        n, t, hidden = outputs.shape
        gate = torch.sigmoid(self.sentinel_gate(torch.cat([inputs, outputs], 2)))
        sentinel = gate * torch.tanh(outputs)  # (N, T, H); Lu et al. use the memory cell, which a fused LSTM keeps
        if memory is None:
            return sentinel, torch.ones_like(sentinel[..., :1])
        b = len(memory)
        scale = 1 / math.sqrt(hidden // self.heads)
        query = self._split(self.query(outputs).view(b, -1, hidden)) * scale  # (B, heads, k T, d)
        scores = query @ memory.keys.transpose(2, 3)  # (B, heads, k T, P)
        if memory.mask is not None:
            scores = scores.masked_fill(~memory.mask[:, None, None], float("-inf"))
        sentinel_key = self._split(self.sentinel_key(sentinel).view(b, -1, hidden))
        own = (query * sentinel_key).sum(3, keepdim=True)  # (B, heads, k T, 1)
        weights = torch.cat([scores, own], 3).softmax(3)  # (B, heads, k T, P + 1)
        kept = self.dropout(weights)
        value = self._split(sentinel.view(b, -1, hidden))
        context = kept[..., :-1] @ memory.values + kept[..., -1:] * value  # (B, heads, k T, d)
        context = context.transpose(1, 2).reshape(n, t, hidden)
        return context, weights.mean(1).view(n, t, -1)

    def _split(self, x: Tensor) -> Tensor:
        """(B, L, heads * d) -> (B, heads, L, d)"""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
