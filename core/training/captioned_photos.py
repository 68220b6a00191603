"""Readers for captioned photo collections in their official layouts.

Flickr8k (Hodosh et al. 2013): Flickr8k.token.txt, Flickr_8k.{train,dev,test}Images.txt and a folder of photos.
COCO (Lin et al. 2014; Chen et al. 2015): captions_val2014.json, or a plain {photo: [captions]} map, and lists
{train,dev,test}Images.txt. A photo is found by the stem of its name, so that re-encoded copies serve too.
"""

import gzip
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError

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
    photos = photos_by_stem(root)
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
        for name, captions in _captions_of(json.loads(file.read_text(encoding="utf-8"))).items():
            by_name[name] += captions
    return by_name


def photos_by_stem(root: Path) -> dict[str, Path]:
    """{stem of its name: file} of all photos of a collection."""
    folders = [root / "images", root / "Flicker8k_Dataset", root / "val2014", root]
    folder = next(f for f in folders if f.is_dir())
    return {file.stem: file for file in folder.iterdir() if file.is_file()}


def read_captions(file: Path) -> dict[str, list[str]]:
    """{photo: captions} of one file: COCO's JSON, a plain JSON map, Flickr8k.token.txt, or captions one a line, each of
    which then stands for a photo of its own. Raises InputError when it cannot be read."""
    try:
        if file.name.endswith("token.txt"):
            return _read_flickr_tokens(file)
        if file.suffix == ".json":
            return _captions_of(json.loads(file.read_text(encoding="utf-8")))
        return {str(number): [line] for number, line in enumerate(read_caption_lines(file), 1)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} cannot be read as captions ({error}): name a JSON map, or captions one a line."
        ) from error


def _captions_of(content: dict) -> dict[str, list[str]]:
    """{photo: captions} of COCO's official JSON, or of a plain map."""
    if "annotations" not in content:
        return content
    names = {image["id"]: image["file_name"] for image in content["images"]}
    captions = defaultdict(list)
    for annotation in content["annotations"]:
        captions[names[annotation["image_id"]]].append(annotation["caption"])
    return captions
