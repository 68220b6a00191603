"""Captioned photos as batches for training. The collections' readers are in core.training.captioned_photos."""

import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from core.input.tokenizers import UNK, encode, pad
from core.training.captioned_photos import CaptionedPhoto
from core.training.feature_cache import StemCache

MAX_TOKENS = 16  # longer captions (4 %) are not trained on: every batch would be padded to them
CAPTIONS_PER_PHOTO = 5


class CaptionedStems(Dataset):
    """Item: (photo number, its stem map (C, h, w), tokens of all captions).

    stem_map: from a row to the stem map of that photo.
    """

    def __init__(self, photos: Sequence[CaptionedPhoto], stem_map: Callable[[int], Tensor], tokenizer, first: int = 0):
        self.stem_map, self.first = stem_map, first
        self.captions = [short_ones(encode(tokenizer, p.captions)) for p in photos]

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, row: int) -> tuple[int, Tensor, list[list[int]]]:
        return self.first + row, self.stem_map(row), self.captions[row]


def mirrored_at_random(cache: StemCache) -> Callable[[int], Tensor]:
    """From a row to its cached stem map, half the time that of the mirrored photo."""
    return lambda row: cache.map(row, flip=random.random() < 0.5)


class Collate:
    """Items -> stem_maps (B, C, h, w); tokens (B * k, T); words (B, V), 1 where a caption of the photo has one of the V
    most frequent words; photos (B,), their numbers. crop: half the batches show a window of each photo's map."""

    def __init__(self, detected_words: int, crop: bool = True):
        self.detected_words, self.crop = detected_words, crop

    def __call__(self, items: list) -> dict[str, Tensor]:
        maps = torch.stack([stem_map for _, stem_map, _ in items])
        if self.crop:
            maps = random_crop(maps)
        words = torch.zeros(len(items), self.detected_words)
        chosen = []
        for place, (_, _, captions) in enumerate(items):
            chosen += choose(captions, CAPTIONS_PER_PHOTO)
            words[place, [t for caption in captions for t in caption if UNK < t < self.detected_words]] = 1
        photos = torch.tensor([number for number, *_ in items])
        return {"stem_maps": maps, "tokens": pad(chosen), "words": words, "photos": photos}


def short_ones(captions: list[list[int]]) -> list[list[int]]:
    """Those with at most MAX_TOKENS words between <bos> and <eos>; if there is none, the shortest."""
    return [c for c in captions if len(c) <= MAX_TOKENS + 2] or [min(captions, key=len)]


def choose(captions: list, count: int) -> list:
    """`count` of the captions at random, each before any twice."""
    times, rest = divmod(count, len(captions))
    return captions * times + random.sample(captions, rest)


def random_crop(maps: Tensor, smallest: float = 0.75) -> Tensor:
    """(B, C, h, w) -> the same window of all maps, each side at least `smallest` of the whole; half the time whole."""
    if random.random() < 0.5:
        return maps
    windows = []
    for size in maps.shape[2:]:
        length = random.randint(round(size * smallest), size)
        start = random.randint(0, size - length)
        windows.append(slice(start, start + length))
    return maps[:, :, windows[0], windows[1]]
