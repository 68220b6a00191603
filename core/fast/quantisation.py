"""Weights as whole numbers of eight bits, for checkpoints that hold several networks.

Each row of a matrix (each filter of a convolution) is kept as whole numbers from -127 to 127 and the size of its step,
a 127th of its largest weight (Jacob et al. 2018, per-channel and symmetric): half of what half precision takes. This is
how weights lie in the file; networks compute with steps times numbers in float32.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

_STEP = ".step"  # after a tensor's name: the float32 sizes of its rows' steps
_FEW = 4096  # numbers: a smaller tensor is not worth it


def quantise(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, large matrices and filters as int8 with their steps beside them."""
    made = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.dim() < 2 or tensor.numel() < _FEW:
            made[name] = tensor
            continue
        rows = tensor.float().flatten(1)
        step = (rows.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        made[name] = (rows / step.unsqueeze(1)).round().to(torch.int8).view_as(tensor)
        made[name + _STEP] = step
    return made


def dequantise(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that `quantise` was given, as near as eight bits allow, in float32."""
    made = dict(tensors)
    for name, tensor in tensors.items():
        step = tensors.get(name + _STEP)
        if tensor.dtype == torch.int8 and step is not None and step.shape == tensor.shape[:1]:
            made[name] = (tensor.flatten(1).float() * step.unsqueeze(1)).view_as(tensor)
            del made[name + _STEP]
    return made
