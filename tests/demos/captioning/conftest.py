"""A toy collection in Flickr8k's official layout, and a small captioner for it."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from transformers import PreTrainedTokenizerFast

from core.input.tokenizers import train_word_tokenizer
from core.networks.decoder import DecoderConfig
from core.training.captioned_photos import read_collection
from demos.captioning.model import Captioner, CaptionerConfig
from demos.captioning.train import Collections

COLOURS = {"red": (220, 30, 30), "green": (30, 170, 60), "blue": (40, 60, 220), "yellow": (240, 220, 40)}
SHAPES = ("circle", "square")
REPEATS = 5  # of each photo in the training list: an epoch of forty


@pytest.fixture(scope="session")
def toys(tmp_path_factory) -> Path:
    """Eight photos of 224 x 224, each a coloured shape; five captions each, "A red circle ."."""
    root = tmp_path_factory.mktemp("toys")
    photos = root / "Flicker8k_Dataset"
    photos.mkdir()
    names, captions = [], []
    for colour, rgb in COLOURS.items():
        for shape in SHAPES:
            name = f"{colour}_{shape}.jpg"
            picture = Image.new("RGB", (224, 224), (200, 200, 200))
            draw = ImageDraw.Draw(picture)
            (draw.ellipse if shape == "circle" else draw.rectangle)((50, 50, 174, 174), fill=rgb)
            picture.save(photos / name)
            names.append(name)
            captions += [f"{name}#{number}\tA {colour} {shape} ." for number in range(5)]
    (root / "Flickr8k.token.txt").write_text("\n".join(captions))
    for split, times in (("train", REPEATS), ("dev", 1), ("test", 1)):
        (root / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names * times))
    return root


@pytest.fixture(scope="session")
def collections(toys, tmp_path_factory) -> Collections:
    return Collections([read_collection(toys)], tmp_path_factory.mktemp("stems"))


@pytest.fixture(scope="session")
def tokenizer(collections) -> PreTrainedTokenizerFast:
    return train_word_tokenizer(collections.captions())


@pytest.fixture
def captioner(tokenizer) -> Captioner:
    """Untrained, with a decoder small enough for a test."""
    size = len(tokenizer)
    decoder = DecoderConfig(size, embed_dim=64, hidden_size=64, memory_dim=64, heads=4, dropout=0.1)
    return Captioner(
        CaptionerConfig(size, "efficientnet_lite0", decoder=decoder, detected_words=size, memory_dropout=0.1)
    )
