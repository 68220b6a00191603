import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import InputError
from core.input.tokenizers import BOS, EOS, PAD, UNK, train_word_tokenizer
from core.training.feature_cache import StemCache
from demos.captioning.data import (
    MAX_TOKENS,
    CaptionedPhoto,
    CaptionedStems,
    Collate,
    choose,
    mirrored_at_random,
    random_crop,
    read_caption_lines,
    read_collection,
    short_ones,
)


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


# --- reading -----------------------------------------------------------------------------------------------------


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


# --- batches -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stems() -> CaptionedStems:
    """Three photos with 5, 2 and 7 captions; photo n's map is n everywhere, -n mirrored."""
    captions = [[f"a dog number {k}" for k in range(count)] for count in (5, 2, 7)]
    tokenizer = train_word_tokenizer([c for group in captions for c in group])
    captions[0][4] = "an unknown dog"
    maps = np.ones((3, 2, 4, 6, 6), np.float16) * np.arange(1, 4).reshape(3, 1, 1, 1, 1)
    maps[:, 1] *= -1
    photos = [CaptionedPhoto(Path(f"{n}.jpg"), tuple(group)) for n, group in enumerate(captions)]
    cache = StemCache(maps)
    dataset = CaptionedStems(photos, cache.map, tokenizer, first=100)
    dataset.tokenizer, dataset.cache = tokenizer, cache
    return dataset


def test_a_batch_has_five_captions_of_each_photo_and_all_its_words(stems):
    random.seed(0)
    size = len(stems.tokenizer)
    batch = Collate(size, crop=False)([stems[2], stems[0], stems[1]])
    assert batch["photos"].tolist() == [102, 100, 101]
    assert batch["stem_maps"].shape == (3, 4, 6, 6)
    assert batch["stem_maps"][:, 0, 0, 0].tolist() == [3, 1, 2]
    tokens = batch["tokens"]
    assert tokens.shape == (15, 6)  # <bos> a dog number 0 <eos>
    assert (tokens[:, 0] == BOS).all()
    assert ((tokens == EOS).sum(1) == 1).all()
    own = [sorted(stems.captions[row]) for row in (2, 0, 1)]
    for place, captions in enumerate(own):
        rows = [[t for t in row if t != PAD] for row in tokens[5 * place : 5 * place + 5].tolist()]
        assert all(row in captions for row in rows)
        assert len({tuple(row) for row in rows}) == min(5, len(captions))  # each before any twice
    for place, captions in enumerate(own):  # of all its captions, the two that are not in the batch too
        expected = {token for row in captions for token in row} - {PAD, BOS, EOS, UNK}
        assert set(batch["words"][place].nonzero().flatten().tolist()) == expected
    assert batch["words"].shape == (3, size)
    fewer = Collate(6, crop=False)([stems[2], stems[0], stems[1]])["words"]
    assert torch.equal(fewer, batch["words"][:, :6])  # the most frequent words have the first ids


def test_augmentation_mirrors_and_crops(stems):
    random.seed(0)
    look = mirrored_at_random(stems.cache)
    collate, seen, sizes = Collate(len(stems.tokenizer)), [], set()
    for _ in range(60):
        maps = collate([(0, look(0), stems.captions[0]), (1, look(1), stems.captions[1])])["stem_maps"]
        seen += maps[:, 0, 0, 0].tolist()
        sizes.add(tuple(maps.shape[2:]))
    assert {value: 0.35 < seen.count(value) / 60 < 0.65 for value in set(seen)} == dict.fromkeys((1, -1, 2, -2), True)
    assert (6, 6) in sizes
    assert len(sizes) > 3
    assert min(min(size) for size in sizes) == 4  # 0.75 of 6, rounded to even


def test_a_crop_is_one_window_of_all_maps():
    random.seed(1)
    maps = torch.arange(2 * 8 * 10).float().view(1, 2, 8, 10).repeat(3, 1, 1, 1)
    whole = 0
    for _ in range(100):
        crop = random_crop(maps)
        height, width = crop.shape[2:]
        whole += (height, width) == (8, 10)
        top, left = divmod(int(crop[0, 0, 0, 0]), 10)
        assert torch.equal(crop, maps[:, :, top : top + height, left : left + width])
        assert height >= 6
        assert width >= 8
    assert 35 < whole < 75


def test_choose_takes_each_before_any_twice():
    random.seed(0)
    assert sorted(choose([1, 2], 5)) in ([1, 1, 1, 2, 2], [1, 1, 2, 2, 2])
    assert sorted(choose([1, 2, 3, 4, 5], 5)) == [1, 2, 3, 4, 5]
    drawn = [tuple(sorted(choose(list(range(7)), 5))) for _ in range(60)]
    assert all(len(set(d)) == 5 for d in drawn)
    assert len(set(drawn)) > 10


def test_long_captions_are_left_out_unless_there_is_no_other():
    short, limit, long, longer = ([BOS, *[9] * words, EOS] for words in (3, MAX_TOKENS, MAX_TOKENS + 1, MAX_TOKENS + 9))
    assert short_ones([long, short, longer, limit]) == [short, limit]
    assert short_ones([longer, long]) == [long]
