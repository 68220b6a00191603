"""Photos seen anew every time: what keeps a CNN that is being fine-tuned from learning its training photos by heart."""

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from core.fast.precision import inference_dtype
from core.fast.torchvision_import import import_torchvision
from core.networks.encoders import shared_encoder

SMALLEST = 0.6  # share of a photo's area that a view shows at least
WIDEST = 4 / 3  # by how much a view is stretched at most, one way or the other
JITTER = 0.2  # of brightness, contrast and saturation; colours keep their names, so the hue stays


def random_view(size: int) -> Callable[[Image.Image], Image.Image]:
    """A function from an RGB photo to a random window of it, size x size, its light changed.

    The "Inception" crops of Szegedy et al. (2015), with larger windows: a caption tells of the whole photo.
    """
    import_torchvision()
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomResizedCrop(size, (SMALLEST, 1.0), (1 / WIDEST, WIDEST), v2.InterpolationMode.BICUBIC),
            v2.ColorJitter(JITTER, JITTER, JITTER),
        ]
    )


class FreshStemMaps:
    """Stem maps of photo files, each time of another random view of the photo.

    The frozen stem runs in whatever number format is fast here; per photo it takes less time than the tail's training.
    """

    def __init__(self, encoder_name: str, size: int | None = None):
        self.encoder = shared_encoder(encoder_name, inference_dtype())
        self.size = size or self.encoder.config.input_size  # pixels a side
        self.view = random_view(self.size)

    @torch.no_grad()
    def __call__(self, path: Path, mirrored: bool) -> Tensor:
        """(C, h, w) float32"""
        with Image.open(path) as photo:
            view = self.view(photo.convert("RGB"))
        view = ImageOps.mirror(view) if mirrored else view
        return self.encoder.stem(self.encoder.preprocess([view], size=self.size))[0].float()
