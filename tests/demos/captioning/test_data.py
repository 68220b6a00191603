"""Batches of captioned photos."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from core.input.tokenizers import BOS, EOS, PAD, UNK, train_word_tokenizer
from core.training.captioned_photos import CaptionedPhoto
from core.training.feature_cache import StemCache
from demos.captioning.data import (
    MAX_TOKENS,
    CaptionedStems,
    Collate,
    choose,
    mirrored_at_random,
    random_crop,
    short_ones,
)


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
    stem_map = mirrored_at_random(stems.cache)
    collate, seen, sizes = Collate(len(stems.tokenizer)), [], set()
    for _ in range(60):
        maps = collate([(0, stem_map(0), stems.captions[0]), (1, stem_map(1), stems.captions[1])])["stem_maps"]
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
