"""Sampling: tokens drawn at random from what a decoder finds likely, with temperature, top-k and top-p."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from core.decoding.hypothesis import NEVER, Decoder, Hypothesis, device_of
from core.input.tokenizers import BOS, EOS

COLDEST = 1e-3  # a lower temperature always takes the likeliest
BELOW_ONE = np.nextafter(
    np.float32(1), np.float32(0)
)  # random numbers that round to 1 would draw what may not be drawn


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
        uniform = torch.rand(len(logits), generator=generator, device=device)
        word = torch.from_numpy(draw(logits.cpu().numpy(), options, uniform.cpu().numpy())).to(device)
        words.append(word)
        logprobs.append(own.gather(1, word[:, None])[:, 0])
        attention.append(None if output.attention is None else output.attention[:, 0].float())
        state, tokens = output.state, word[:, None]
        live &= word != EOS
        if not live.any():
            break
    found = []
    word_rows, logprob_rows = torch.stack(words, 1).tolist(), torch.stack(logprobs, 1).tolist()
    known = [each for each in attention if each is not None]  # all of them or none
    looks = torch.stack(known, 1) if known else None
    for n, row in enumerate(word_rows):
        length = row.index(EOS) + 1 if EOS in row else min(len(row), options.max_length)
        parts = logprob_rows[n][:length]
        look = None if looks is None else looks[n, :length]
        found.append(Hypothesis(tuple(row[:length]), sum(parts), tuple(parts), sum(parts), look))
    return [found[i * k : (i + 1) * k] for i in range(b)]


def draw(logits: np.ndarray, options: Sampling, uniform: np.ndarray) -> np.ndarray:
    """(N, V) logits, -inf for what may not be drawn, and (N,) random numbers from 0 to 1 -> tokens (N,).

    By inversion of the cumulative distribution, so that whoever brings the random numbers fixes the result. In NumPy,
    whose operations on one short row take a fraction of the time of torch's.
    """
    if options.temperature < COLDEST:
        return logits.argmax(1)
    logits = truncate(logits, options)
    cumulative = np.exp(logits - logits.max(1, keepdims=True)).cumsum(1)
    uniform = np.minimum(uniform.astype(cumulative.dtype), BELOW_ONE)
    return (cumulative <= (uniform * cumulative[:, -1])[:, None]).sum(1)


def truncate(logits: np.ndarray, options: Sampling) -> np.ndarray:
    """(N, V) logits -> the same after temperature, with all but the top k and the top-p nucleus at -inf."""
    logits = logits / max(options.temperature, COLDEST)
    if 0 < options.top_k < logits.shape[1]:
        least = np.partition(logits, -options.top_k, 1)[:, -options.top_k, None]
        logits = np.where(logits < least, -np.inf, logits)
    if options.top_p < 1:
        order = np.argsort(-logits, 1)
        ranked = np.take_along_axis(logits, order, 1)
        cumulative = np.exp(ranked - ranked[:, :1]).cumsum(1)
        ranked[:, 1:][cumulative[:, :-1] >= options.top_p * cumulative[:, -1:]] = -np.inf  # keeps what crosses p
        np.put_along_axis(logits, order, ranked, 1)
    return logits
