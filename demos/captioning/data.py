"""Readers for captioned photo collections in their official layouts.

Flickr8k (Hodosh et al. 2013): Flickr8k.token.txt, Flickr_8k.{train,dev,test}Images.txt and a folder of photos.
COCO (Lin et al. 2014; Chen et al. 2015): captions_val2014.json, or a plain {photo: [captions]} map, and lists
{train,dev,test}Images.txt. A photo is found by the stem of its name, so that re-encoded copies serve too.
"""

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from core.errors import InputError
from core.feature_cache import StemCache
from core.text import UNK, encode, pad

MAX_TOKENS = 16  # longer captions (4 %) are not trained on: every batch would be padded to them
CAPTIONS_PER_PHOTO = 5

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class CaptionedPhoto:
    """One photo with the captions that people wrote for it."""

    path: Path
    captions: tuple[str, ...]


def read_collection(root: Path) -> dict[str, list[CaptionedPhoto]]:
    """{"train" | "dev" | "test": photos} of a Flickr8k or COCO folder, told apart by the files that it holds.

    Raises InputError when the folder holds neither layout, or a list or the photos are missing. A listed photo that is
    missing is left out.
    """
    if (root / "Flickr8k.token.txt").exists():
        captions, prefix = _read_flickr_tokens(root / "Flickr8k.token.txt"), "Flickr_8k."
    else:
        captions, prefix = _read_coco_captions(root), ""
    photos = _photos_by_stem(root)
    splits = {
        split: [
            CaptionedPhoto(photos[Path(name).stem], tuple(captions[name]))
            for name in _read_names(root / f"{prefix}{split}Images.txt")
            if Path(name).stem in photos and captions.get(name)
        ]
        for split in SPLITS
    }
    if not any(splits.values()):
        raise InputError(f"{root} holds none of the photos that its lists name: unpack them into {root / 'images'}.")
    return splits


def read_caption_lines(file: Path) -> list[str]:
    """Captions without photos, one a line, plain or gzip."""
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8") as lines:
        return [line.strip() for line in lines if line.strip()]


def _read_names(file: Path) -> list[str]:
    if not file.exists():
        raise InputError(f"{file} is missing: it lists the names of the photos of that split, one a line.")
    return file.read_text(encoding="utf-8").split()


def _read_flickr_tokens(file: Path) -> dict[str, list[str]]:
    captions = defaultdict(list)
    for line in file.read_text(encoding="utf-8").splitlines():
        tag, _, caption = line.partition("\t")
        captions[tag.partition("#")[0]].append(caption)
    return captions


def _read_coco_captions(root: Path) -> dict[str, list[str]]:
    files = sorted([*root.glob("captions*.json"), *root.glob("annotations/captions*.json")])
    if not files:
        raise InputError(
            f"{root} holds neither Flickr8k.token.txt nor captions*.json: name the folder of Flickr8k or COCO captions."
        )
    by_name = defaultdict(list)
    for file in files:  # the official archive has one for train2014 and one for val2014
        captions = json.loads(file.read_text(encoding="utf-8"))
        if "annotations" not in captions:
            by_name |= captions
            continue
        names = {image["id"]: image["file_name"] for image in captions["images"]}
        for annotation in captions["annotations"]:
            by_name[names[annotation["image_id"]]].append(annotation["caption"])
    return by_name


def _photos_by_stem(root: Path) -> dict[str, Path]:
    folders = [root / "images", root / "Flicker8k_Dataset", root / "val2014", root]
    folder = next(f for f in folders if f.is_dir())
    return {file.stem: file for file in folder.iterdir() if file.is_file()}


# --- batches for training ----------------------------------------------------------------------------------------


class CaptionedStems(Dataset):
    """Item: (photo number, stem cache, its row, tokens of all captions)."""

    def __init__(self, photos: Sequence[CaptionedPhoto], cache: StemCache, tokenizer, first: int = 0):
        self.cache, self.first = cache, first
        self.captions = [short_ones(encode(tokenizer, p.captions)) for p in photos]

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, row: int) -> tuple[int, StemCache, int, list[list[int]]]:
        return self.first + row, self.cache, row, self.captions[row]


class Collate:
    """Items -> stem_maps (B, C, h, w); tokens (B * k, T); words (B, V), 1 where a caption of the photo has one of the V
    most frequent words; photos (B,), their numbers. Augmentation: the photo or its mirror image, whole or cropped."""

    def __init__(self, detected_words: int, augment: bool = True):
        self.detected_words, self.augment = detected_words, augment

    def __call__(self, items: list) -> dict[str, Tensor]:
        maps = torch.stack([cache.map(row, flip=self.augment and random.random() < 0.5) for _, cache, row, _ in items])
        if self.augment:
            maps = random_crop(maps)
        words = torch.zeros(len(items), self.detected_words)
        chosen = []
        for place, (_, _, _, captions) in enumerate(items):
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
