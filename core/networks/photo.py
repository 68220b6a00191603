"""THE way from a photo to what a decoder attends to: the base of every network that sees photos.

    photo -> frozen stem (shared by all tabs) -> fine-tuned tail -> grid features (B, P, D) -> places (B, P, W)

A base class and not a part, so that the parts keep their names in every checkpoint and a network for another task can
start from the same ones (`start_from`).
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from core.checkpoint import Checkpoint, read_tensors
from core.fast.precision import inference_dtype
from core.networks.encoders import create_encoder, encoder_config, fold_batch_norm, shared_encoder, to_grid


class PhotoConfig(Protocol):
    """What the config of such a network says about photos."""

    @property
    def encoder(self) -> str:
        """A name that core.networks.encoders knows."""

    @property
    def photo_size(self) -> int:
        """Pixels a side at which the training photos are stored; a visitor's photo is squashed to it first."""

    @property
    def test_size(self) -> int | None:
        """Pixels a side at which photos are seen after training (encoders.check_test_size); None: the encoder's."""


class PhotoNetwork(nn.Module, Checkpoint):
    """Frozen stem, fine-tuned tail, and a linear layer that makes places of `width` numbers for attention.

    The stem is not part of the checkpoint; the tail is. weights: "imagenet", or "random" for comparisons.
    """

    unsaved_prefixes: ClassVar[tuple[str, ...]] = ("encoder.",)
    config: PhotoConfig

    def __init__(self, config: PhotoConfig, width: int, dropout: float, weights: str = "imagenet"):
        super().__init__()
        self.config = config
        facts = encoder_config(config.encoder)
        self.imagenet = weights == "imagenet"
        name = config.encoder
        self.encoder = shared_encoder(name) if self.imagenet else create_encoder(name, pretrained=False)
        self.tail = copy.deepcopy(self.encoder.tail).requires_grad_(True)
        self.to_memory = nn.Sequential(nn.Linear(facts.feature_dim, width), nn.ReLU(), nn.Dropout(dropout))
        self.place = nn.Parameter(0.02 * torch.randn(*facts.grid, width))  # where on the photo, (h, w, W)
        self.normalise = nn.LayerNorm(width)

    def train(self, mode: bool = True) -> "PhotoNetwork":
        """Batch norm keeps ImageNet's statistics, in training too: the batches are small and the photos alike."""
        super().train(mode)
        self.encoder.eval()
        self.tail.eval()
        return self

    def make_cnn_fast(self) -> torch.dtype:
        """Fold the tail's batch norms and put the CNN in the number format that is fast here, which is returned.

        In place; the network can neither be trained nor saved after that.
        """
        dtype = inference_dtype()
        if self.imagenet:
            self.encoder = shared_encoder(self.config.encoder, dtype)  # the float32 one serves trainings
        fold_batch_norm(self.tail).to(dtype)
        self.inference_only = True
        return dtype

    @torch.inference_mode()
    def stem_maps(self, photos: Sequence[Image.Image]) -> Tensor:
        """Loaded photos -> (B, C, h, w) stem maps, as a visitor's photos are seen.

        Photo by photo: the stem's large maps of many photos would not fit the CPU's caches and take twice as long.
        """
        return torch.cat([self.encoder.stem(self._pixels(photo)) for photo in photos])

    @torch.inference_mode()
    def stem_maps_with_mirrored(self, photos: Sequence[Image.Image]) -> tuple[Tensor, Tensor]:
        """The same, and those of the mirrored photos."""
        maps = [self.encoder.stem(_with_mirrored(self._pixels(photo))) for photo in photos]  # each (2, C, h, w)
        seen, mirrored = torch.stack(maps, 1)
        return seen, mirrored

    def _pixels(self, photo: Image.Image) -> Tensor:
        return self.encoder.preprocess([photo], self.config.photo_size, self.config.test_size)

    def grid(self, stem_maps: Tensor, mirrored: Tensor | None = None) -> Tensor:
        """(B, C, h, w) stem maps -> (B, P, D) grid features, in the number format of the rest of the network.

        Given those of the mirrored photos too, each place gets the mean of what the CNN saw there and in the mirror.
        """
        maps = self.tail(stem_maps)  # (B, D, h, w)
        if mirrored is not None:
            maps = (maps + self.tail(mirrored).flip(3)) / 2
        return to_grid(maps).to(self.place.dtype)

    def places(self, grid: Tensor, shape: tuple[int, int] | None = None) -> Tensor:
        """(B, P, D) grid features -> (B, P, W). shape: (h, w) of a crop, which begins at the top left corner."""
        height, width = encoder_config(self.config.encoder).grid
        place = self.place.view(height, width, -1)
        if shape is not None:
            place = place[: shape[0], : shape[1]]
        return self.normalise(self.to_memory(grid) + place.flatten(0, 1))

    @torch.no_grad()
    def start_from(self, folder_or_hub_id: str | Path) -> None:
        """Copy tail, linear layer, places and norm of another such network's checkpoint, of the same shapes.

        Raises ModelError when it is missing or damaged.
        """
        for name in ("tail", "to_memory", "normalise"):
            tensors = read_tensors(folder_or_hub_id, f"{name}.")
            floats = {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}
            getattr(self, name).load_state_dict(floats)
        self.place.copy_(read_tensors(folder_or_hub_id, "place")[""].view_as(self.place))


def _with_mirrored(pixels: Tensor) -> Tensor:
    """(1, 3, H, W) -> (2, 3, H, W). The pixels, not the photo: what was resized need not be resized again."""
    return torch.cat([pixels, pixels.flip(3)]).contiguous(memory_format=torch.channels_last)
