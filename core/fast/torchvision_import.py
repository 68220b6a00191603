"""Import torchvision, also where its compiled operators do not fit the installed torch.

The wheel on PyPI is built for CUDA. Beside a CPU-only torch its extension cannot be loaded, and torchvision (up to at
least 0.28) then fails on import, because it describes two detection operators that were never declared. No demo detects
objects with torchvision, so declaring the two is enough.
"""

from types import ModuleType

import torch

_UNDECLARED = ("nms", "qnms")


def import_torchvision() -> ModuleType:
    """Return the torchvision module. Call this before importing anything that imports torchvision (timm does)."""
    try:
        import torchvision
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
        for name in _UNDECLARED:
            signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", signature)
        import torchvision
    return torchvision
