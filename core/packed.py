"""Weights packed for the single steps of a search, on CPUs that do not compute in bfloat16.

A step multiplies a handful of vectors with every weight of the network, so it takes as long as reading these does.
FBGEMM keeps them in 16 bits, in the order in which the processor reads them, and computes in 32: on a CPU with AVX2
only, a step of a layer of 512 takes a quarter of the time. Checkpoints hold 16 bits anyway, so nothing is lost; of
weights that they hold in eight bits (see core.quantisation), at most a sixteenth of a step.
"""

import torch
from torch import Tensor, nn


def can_pack() -> bool:
    """Whether this build of torch has FBGEMM's kernels: on x86 it does."""
    return "fbgemm" in torch.backends.quantized.supported_engines


class PackedLinear:
    """A linear layer as its weights (O, I) and bias (O,) are now."""

    def __init__(self, weight: Tensor, bias: Tensor):
        weight, bias = weight.detach().float().contiguous(), bias.detach().float().contiguous()
        self._weights = torch.ops.quantized.linear_prepack_fp16(weight, bias)

    def __call__(self, inputs: Tensor) -> Tensor:
        """(N, I) float32 -> (N, O)"""
        return torch.ops.quantized.linear_dynamic_fp16(inputs, self._weights)


class PackedCell:
    """One step of an LSTM layer as its weights are now: input and hidden state meet all four gates in one product."""

    def __init__(self, lstm: nn.LSTM):
        weight = torch.cat([lstm.weight_ih_l0, lstm.weight_hh_l0], 1)
        self._gates = PackedLinear(weight, lstm.bias_ih_l0 + lstm.bias_hh_l0)

    def __call__(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(N, I), the hidden and cell state (N, H) before it -> those after it"""
        hidden, cell = state
        enter, keep, new, leave = self._gates(torch.cat([inputs, hidden], 1)).chunk(4, 1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(enter) * torch.tanh(new)
        return torch.sigmoid(leave) * torch.tanh(cell), cell
