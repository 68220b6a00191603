"""Captioned photo collections in their official layouts."""

import gzip
import json
from pathlib import Path

import pytest
from PIL import Image

from core.errors import InputError
from core.training.captioned_photos import read_caption_lines, read_collection


def draw(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 8)).save(folder / name)


def flickr(root: Path) -> Path:
    """As the official archives unpack: captions and lists, and a folder of photos, one of which is missing."""
    draw(root / "Flicker8k_Dataset", "100_a.jpg", "200_b.jpg", "400_d.jpg")
    lines = [f"{name}.jpg#{n}\t{name} {n} , a dog ." for name in ("100_a", "200_b", "300_c", "400_d") for n in range(5)]
    lines.append("2258277193_586949ec62.jpg.1#0\tThis photo is in no list .")
    (root / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    (root / "Flickr_8k.trainImages.txt").write_text("200_b.jpg\n300_c.jpg\n100_a.jpg\n")
    (root / "Flickr_8k.devImages.txt").write_text("400_d.jpg\n")
    (root / "Flickr_8k.testImages.txt").write_text("300_c.jpg\n")
    return root


def coco_photos(root: Path, folder: str) -> list[str]:
    names = [f"COCO_val2014_{number:012d}.jpg" for number in (42, 73, 74)]
    draw(root / folder, *names)
    for split, name in zip(("train", "dev", "test"), names, strict=True):
        (root / f"{split}Images.txt").write_text(name + "\n")
    return names


def official(year: str, numbers: tuple[int, ...]) -> dict:
    """Captions as in annotations_trainval2014.zip; a photo's are not side by side."""
    images = [{"id": n, "file_name": f"COCO_{year}_{n:012d}.jpg", "height": 8, "width": 8} for n in numbers]
    notes = [{"image_id": n, "id": 10 * n + k, "caption": f"{year} {n} caption {k}"} for k in range(5) for n in numbers]
    return {"info": {}, "licenses": [], "images": images, "annotations": notes}


def test_flickr8k_in_its_official_layout(tmp_path):
    splits = read_collection(flickr(tmp_path))
    photos = tmp_path / "Flicker8k_Dataset"
    assert [photo.path for photo in splits["train"]] == [photos / "200_b.jpg", photos / "100_a.jpg"]  # the list's order
    assert splits["train"][0].captions == tuple(f"200_b {n} , a dog ." for n in range(5))
    assert [photo.path.name for photo in splits["dev"]] == ["400_d.jpg"]
    assert splits["test"] == []  # its only photo is missing


def test_photos_are_found_by_the_stem_of_their_name(tmp_path):
    flickr(tmp_path)
    draw(tmp_path / "images", "100_a.png", "300_c.webp")
    splits = read_collection(tmp_path)
    assert [photo.path.name for photo in splits["train"]] == ["300_c.webp", "100_a.png"]
    assert splits["test"][0].captions[4] == "300_c 4 , a dog ."


def test_coco_in_its_official_layout(tmp_path):
    coco_photos(tmp_path, "val2014")
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    for year, numbers in (("train2014", (9, 73)), ("val2014", (42, 73, 74))):
        (annotations / f"captions_{year}.json").write_text(json.dumps(official(year, numbers)))
    (annotations / "instances_val2014.json").write_text("{}")
    splits = read_collection(tmp_path)
    assert [len(splits[split]) for split in ("train", "dev", "test")] == [1, 1, 1]
    assert splits["dev"][0].path == tmp_path / "val2014" / "COCO_val2014_000000000073.jpg"
    assert splits["dev"][0].captions == tuple(f"val2014 73 caption {k}" for k in range(5))


def test_coco_as_a_plain_map(tmp_path):
    names = coco_photos(tmp_path, "images")
    captions = {name: [f"{name} one", f"{name} two"] for name in names[:2]}
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    splits = read_collection(tmp_path)
    assert splits["train"][0].captions == tuple(captions[names[0]])
    assert splits["test"] == []  # a photo without captions


def test_what_is_wrong_with_a_folder_is_named(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"neither Flickr8k\.token\.txt nor captions\*\.json"):
            read_collection(folder)
    flickr(tmp_path)
    (tmp_path / "Flickr_8k.devImages.txt").rename(tmp_path / "elsewhere.txt")
    with pytest.raises(InputError, match=r"devImages\.txt is missing"):
        read_collection(tmp_path)
    (tmp_path / "elsewhere.txt").rename(tmp_path / "Flickr_8k.devImages.txt")
    (tmp_path / "Flicker8k_Dataset").rename(tmp_path / "Other")
    with pytest.raises(InputError, match="holds none of the photos"):
        read_collection(tmp_path)


def test_caption_lines_plain_and_gzip(tmp_path):
    text = "A café .\n\n  Two dogs \n"
    (tmp_path / "captions.txt").write_text(text, encoding="utf-8")
    with gzip.open(tmp_path / "captions.txt.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    for name in ("captions.txt", "captions.txt.gz"):
        assert read_caption_lines(tmp_path / name) == ["A café .", "Two dogs"]
