"""Sampling: tokens drawn at random from what a decoder finds likely, with temperature, top-k and top-p."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.decoding.hypothesis import NEVER, Decoder, Hypothesis, device_of
from core.input.tokenizers import BOS, EOS

COLDEST = 1e-3  # a lower temperature always takes the likeliest


@dataclass(frozen=True)
class Sampling:
    """How to draw, and how much."""

    samples: int = 1  # per input
    temperature: float = 1.0  # 0: always the likeliest
    top_k: int = 0  # only among so many of the likeliest; 0: all
    top_p: float = 1.0  # only among the likeliest of this probability together, the nucleus (Holtzman et al. 2020)
    max_length: int = 20
    seed: int | None = None


@torch.inference_mode()
def sample(
    decoder: Decoder, memory: Any, options: Sampling | None = None, inputs: int | None = None
) -> list[list[Hypothesis]]:
    """`options.samples` random hypotheses of each input. Their log-probabilities are the model's own, before
    temperature and truncation; the same seed gives the same samples. inputs: how many, where there is no memory."""
    options = options or Sampling()
    b, k, device = inputs or len(memory), options.samples, device_of(decoder)
    generator = None if options.seed is None else torch.Generator(device).manual_seed(options.seed)
    state = decoder.initial_state(b * k, memory)
    tokens = torch.full((b * k, 1), BOS, device=device)
    live = torch.ones(b * k, dtype=torch.bool, device=device)
    words, logprobs, attention = [], [], []
    for _ in range(options.max_length + 1):
        output = decoder(tokens, memory, state)
        logits = output.logits[:, -1].float()
        own = logits.log_softmax(1)
        logits[:, NEVER] = float("-inf")
        word = draw(logits, options, torch.rand(len(logits), generator=generator, device=device))
        words.append(word)
        logprobs.append(own.gather(1, word[:, None])[:, 0])
        attention.append(None if output.attention is None else output.attention[:, 0].float())
        state, tokens = output.state, word[:, None]
        live &= word != EOS
        if not live.any():
            break
    found = []
    word_rows, logprob_rows = torch.stack(words, 1).tolist(), torch.stack(logprobs, 1).tolist()
    looks = None if attention[0] is None else torch.stack(attention, 1)
    for n, row in enumerate(word_rows):
        length = row.index(EOS) + 1 if EOS in row else min(len(row), options.max_length)
        parts = logprob_rows[n][:length]
        look = None if looks is None else looks[n, :length]
        found.append(Hypothesis(tuple(row[:length]), sum(parts), tuple(parts), sum(parts), look))
    return [found[i * k : (i + 1) * k] for i in range(b)]


def draw(logits: Tensor, options: Sampling, uniform: Tensor) -> Tensor:
    """(N, V) logits, -inf for what may not be drawn, and (N,) random numbers from 0 to 1 -> tokens (N,).

    By inversion of the cumulative distribution, so that whoever brings the random numbers fixes the result.
    """
    if options.temperature < COLDEST:
        return logits.argmax(1)
    cumulative = truncate(logits, options).softmax(1).cumsum(1)
    thresholds = uniform.to(cumulative.dtype)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, thresholds, right=True)[:, 0].clamp(max=logits.shape[1] - 1)


def truncate(logits: Tensor, options: Sampling) -> Tensor:
    """(N, V) logits -> the same after temperature, with all but the top k and the top-p nucleus at -inf."""
    logits = logits / max(options.temperature, COLDEST)
    if 0 < options.top_k < logits.shape[1]:
        logits = logits.masked_fill(logits < logits.topk(options.top_k)[0][:, -1:], float("-inf"))
    if options.top_p < 1:
        ranked, index = logits.sort(1, descending=True)
        probabilities = ranked.softmax(1)
        outside = probabilities.cumsum(1) - probabilities >= options.top_p  # keeps the token that crosses p
        logits = logits.masked_fill(outside.scatter(1, index, outside), float("-inf"))
    return logits
