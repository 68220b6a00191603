"""Products of a few vectors with a large matrix, as fast as this CPU can read the matrix.

A single step of a decoder multiplies a handful of vectors with every weight of the network, so it takes as long as
reading these does. FBGEMM keeps them in 16 bits, in the order in which the processor reads them, and computes in 32: on
a CPU with AVX2 only, a step of a layer of 512 takes a quarter of the time. Checkpoints hold 16 bits anyway, so nothing
is lost; of weights that they hold in eight bits (see core.fast.quantisation), at most a sixteenth of a step.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

_PRODUCT = "linear_dynamic_fp16"
Product = Callable[[Tensor], Tensor]  # (N, I) -> (N, O)


def can_pack() -> bool:
    """Whether this build of torch has FBGEMM's kernels: on x86 it does."""
    return "fbgemm" in torch.backends.quantized.supported_engines and hasattr(torch.ops.quantized, _PRODUCT)


def product_with(weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Product:
    """x -> x @ weight.T + bias as fast as it can be had, for weights (O, I) and bias (O,) as they are now.

    dtype: of the product. bfloat16 rounds the weights (half the bytes, where the CPU multiplies them fast); float32 is
    packed where torch can. The result has the type of x.
    """
    weight, bias = weight.detach(), bias.detach()
    if dtype == torch.float32 and weight.dtype == torch.float32 and weight.device.type == "cpu" and can_pack():
        return PackedLinear(weight, bias)
    if dtype == weight.dtype:
        return lambda x: F.linear(x, weight, bias)
    rounded = weight.to(dtype)
    # as a batch: torch.mv has no fast bfloat16 on processors without AMX and takes twice as long there
    return lambda x: F.linear(x.to(dtype), rounded).to(x.dtype) + bias


class PackedLinear:
    """A linear layer as its weights (O, I) and bias (O,) are now."""

    def __init__(self, weight: Tensor, bias: Tensor):
        weight, bias = weight.detach().float().contiguous(), bias.detach().float().contiguous()
        self._weights = torch.ops.quantized.linear_prepack_fp16(weight, bias)

    def __call__(self, inputs: Tensor) -> Tensor:
        """(N, I) float32 -> (N, O)"""
        return torch.ops.quantized.linear_dynamic_fp16(inputs, self._weights)
