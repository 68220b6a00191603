"""A convolution and the ReLU or ReLU6 after it in one go, for inference.

In a CNN such as EfficientNet, clamping takes a third of the time of its early blocks: every number of the large maps is
read and written once more. oneDNN, which PyTorch's convolutions on a CPU come from, can clamp what it writes anyway.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FUSED_CONVOLUTION = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)  # private: a later torch may rename it
_FUSED = {nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0.0, 6.0])}  # oneDNN's names and parameters of them


def can_fuse() -> bool:
    """Whether this build of torch has oneDNN and its convolution with an activation."""
    return _FUSED_CONVOLUTION is not None and torch.backends.mkldnn.is_available()


def activated(convolution: nn.Conv2d, activation: nn.Module) -> nn.Module:
    """The two as one module; just the convolution where the activation does nothing."""
    if isinstance(activation, nn.Identity):
        return convolution
    if type(activation) in _FUSED and convolution.padding_mode == "zeros" and convolution.dilation == (1, 1):
        return ActivatedConvolution(convolution, activation)
    return nn.Sequential(convolution, activation)


class ActivatedConvolution(nn.Module):
    """(B, C, H, W) -> (B, D, h, w), activated. Where gradients are wanted, step by step."""

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module):
        super().__init__()
        self.convolution, self.activation = convolution, activation

    def forward(self, maps: Tensor) -> Tensor:
        c = self.convolution
        if torch.is_grad_enabled() or maps.device.type != "cpu" or not can_fuse():
            return self.activation(c(maps))
        same = type(c).__name__ == "Conv2dSame"  # timm's, whose import would take a second
        weight, padding = same_padding(c, maps) if same else (c.weight, c.padding)
        return _FUSED_CONVOLUTION(
            maps, weight, c.bias, padding, c.stride, c.dilation, c.groups, *_FUSED[type(self.activation)], ""
        )


def same_padding(convolution: nn.Conv2d, maps: Tensor) -> tuple[Tensor, list[int]]:
    """The convolution's weight, and the padding on either side, for an output of the input's size over the stride.

    TensorFlow, which these networks come from, adds an odd number as one more at the end. That is the same as one more
    on both sides and a kernel that begins with zeros, and saves copying the maps into larger ones.
    """
    sides = zip(maps.shape[2:], convolution.kernel_size, convolution.stride, strict=True)
    totals = [max((-(-size // step) - 1) * step + kernel - size, 0) for size, kernel, step in sides]
    tall, wide = (total % 2 for total in totals)
    weight = F.pad(convolution.weight, (wide, 0, tall, 0)) if tall or wide else convolution.weight
    return weight, [(total + 1) // 2 for total in totals]
