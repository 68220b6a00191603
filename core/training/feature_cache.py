"""Stem maps of a photo collection, computed once and kept on disk in half precision.

The stem of an encoder is frozen in every training, so its output for a photo never changes: computing it once turns
hours of CNN forward passes into one. The mirrored photo is kept too (a mirrored stem map is not the stem map of the
mirrored photo, as convolution kernels are not symmetric), for augmentation.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from core.errors import InputError
from core.fast.precision import cpu_has_bfloat16
from core.networks.encoders import Encoder


class StemCache:
    """Stem maps of N photos and their mirror images, read from disk as needed."""

    def __init__(self, maps: np.ndarray):
        self._maps = maps  # (N, 2, C, h, w) float16, memory-mapped

    def __len__(self) -> int:
        return len(self._maps)

    def map(self, row: int, flip: bool = False) -> Tensor:
        """(C, h, w) float32 of one photo, or of its mirror image."""
        return torch.from_numpy(self._maps[row, int(flip)].astype(np.float32))

    def batches(self, size: int) -> Iterator[Tensor]:
        """All photos in order as (B, C, h, w) float32."""
        for start in range(0, len(self), size):
            yield torch.from_numpy(self._maps[start : start + size, 0].astype(np.float32))


class _Pixels(Dataset):
    """Item n: (2, 3, H, W) pixels of photo n and of its mirror image."""

    def __init__(self, paths: Sequence[Path], encoder: Encoder, via: int | None):
        self.paths, self.encoder, self.via = paths, encoder, via

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as photo:
            photo = photo.convert("RGB")
        return self.encoder.preprocess([photo, ImageOps.mirror(photo)], self.via)


def stem_cache(paths: Sequence[Path], encoder: Encoder, folder: Path, via: int | None = None) -> StemCache:
    """Open the cache of these photos under `folder`, computing it first where it does not exist yet.

    The file's name depends on the encoder, the photos' names and `via` (see Encoder.preprocess). Raises InputError when
    there is no photo, or the file was computed from other photos of these names, or with other weights.
    """
    if not paths:
        raise InputError("There is no photo to compute stem maps of.")
    key = json.dumps([encoder.config.name, via, [p.name for p in paths]])
    file = folder / f"stem-{encoder.config.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npy"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):  # of several processes one computes, the others wait
            if not file.exists():
                _compute(paths, encoder, via, file)
    maps = np.load(file, mmap_mode="r")
    if not _fits(maps[0], _Pixels(paths[:1], encoder, via)[0], encoder):
        raise InputError(
            f"{file} does not hold the stem maps of {paths[0]} with these weights: delete it, or name another folder."
        )
    return StemCache(maps)


def _fits(cached: np.ndarray, pixels: Tensor, encoder: Encoder) -> bool:
    """Whether the cached maps (2, C, h, w) of one photo are those of the encoder.

    Rounding to bfloat16 moves them by 5 %; another photo or other weights by more than 100 %.
    """
    stem = _stem_maps(pixels, encoder)
    return bool((stem - torch.from_numpy(cached.astype(np.float32))).norm() < 0.5 * stem.norm())


@torch.inference_mode()
def _stem_maps(pixels: Tensor, encoder: Encoder) -> Tensor:
    """(N, 3, H, W) pixels -> (N, C, h, w) float32 stem maps, computed in bfloat16 where the CPU has it"""
    with torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bfloat16()):
        return encoder.stem(pixels.contiguous(memory_format=torch.channels_last)).float()


def _compute(paths: Sequence[Path], encoder: Encoder, via: int | None, file: Path) -> None:
    part = file.with_suffix(".part")
    shape = (len(paths), 2, *encoder.config.stem_shape)
    maps = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
    loader = DataLoader(_Pixels(paths, encoder, via), batch_size=4, num_workers=1)
    row = 0
    for pixels in tqdm(loader, desc="stem maps", unit="batch"):
        maps[row : row + len(pixels)] = _stem_maps(pixels.flatten(0, 1), encoder).view(-1, *shape[1:]).numpy()
        row += len(pixels)
    maps.flush()
    part.rename(file)  # a half-written cache never carries the final name
