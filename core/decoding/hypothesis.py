"""What every way of decoding starts from and ends with: a decoder, and the sequences that it may have meant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from core.input.tokenizers import BOS, EOS, PAD, UNK

NEVER = (PAD, BOS, UNK)  # tokens that nothing writes


@dataclass(frozen=True)
class Hypothesis:
    """One sequence that was found, or drawn."""

    tokens: tuple[int, ...]  # without <bos>; ends with <eos> unless the length limit cut it
    logprob: float  # total, of all tokens
    token_logprobs: tuple[float, ...]
    score: float  # what the search ranks by: the log-probability after the length penalty
    attention: Tensor | None = field(default=None, repr=False, compare=False)  # (len(tokens), P + 1)
    scores: Mapping[str, float] = field(default_factory=dict, compare=False)  # second opinions: core.decoding.rerank

    @property
    def finished(self) -> bool:
        """Whether the decoder itself ended the sequence."""
        return self.tokens[-1:] == (EOS,)


class Decoder(Protocol):
    """What search and sampling need of a decoder: LSTMDecoder and StepDecoder are such."""

    def initial_state(self, sequences: int, memory: Any) -> Any:
        """State before the first token of each sequence."""

    def __call__(self, tokens: Tensor, memory: Any, state: Any) -> Any:
        """(N, 1) tokens -> an output with logits (N, 1, V), state and attention (N, 1, P + 1) or None."""


def device_of(decoder: Decoder) -> torch.device:
    """Where the decoder computes; what is no module computes on the CPU."""
    parameters = decoder.parameters() if isinstance(decoder, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))
