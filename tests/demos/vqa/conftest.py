"""Toy photos with captions and questions in the official layouts, and a small untrained network for them."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from transformers import PreTrainedTokenizerFast

from core.input.tokenizers import train_word_tokenizer
from core.networks.decoder import DecoderConfig
from demos.vqa.classifier import ClassifierConfig
from demos.vqa.model import VQA, VQAConfig
from demos.vqa.predict import VQAPredictor

CAPTIONS = {
    "horse": ["A man riding a brown horse on the beach.", "A man rides a brown horse.", "A brown horse at the beach."],
    "dogs": ["Two dogs play with a red frisbee in the park.", "Two dogs are running after a red frisbee.",
             "Two dogs in a grassy park."],
    "cat": ["A white cat sleeping on a bed.", "A cat is asleep on the bed.", "A white cat lying on a bed."],
    "bus": ["A red bus on a city street.", "A red bus is parked on the street.", "A red double decker bus."],
}  # fmt: skip


def picture(file: Path, colour: tuple[int, int, int]) -> None:
    photo = Image.new("RGB", (224, 224), (200, 200, 200))
    ImageDraw.Draw(photo).rectangle((40, 40, 180, 180), fill=colour)
    photo.save(file)


@pytest.fixture(scope="session")
def coco(tmp_path_factory) -> Path:
    """Four photos with captions and human yes/no questions, in every split."""
    root = tmp_path_factory.mktemp("coco")
    (root / "images").mkdir()
    for name, colour in zip(CAPTIONS, [(120, 80, 40), (30, 160, 60), (250, 250, 250), (220, 30, 30)], strict=True):
        picture(root / "images" / f"{name}.jpg", colour)
    (root / "captions.json").write_text(json.dumps({f"{name}.jpg": found for name, found in CAPTIONS.items()}))
    rows = "".join(f"{name}.jpg\tIs this a dog?\t{'yes' if name == 'dogs' else 'no'}\n" for name in CAPTIONS)
    for split in ("train", "dev", "test"):
        (root / f"{split}Images.txt").write_text("\n".join(f"{name}.jpg" for name in CAPTIONS))
        (root / f"vqa_yes_no.{split}.tsv").write_text("image\tquestion\tanswer\n" + rows)
    people = "bus.jpg\tWhat is red?\tbus\tvqa_v1\ncat.jpg\tHow many cats?\t1\tvqa_v1\ngone.jpg\tIs it?\tno\tvqa_v1\n"
    (root / "questions.dev.tsv").write_text("image\tquestion\tanswer\tsource\n" + people)
    return root


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    words = "what color is the bus how many dogs are there where who man doing in picture a red blue green yes no 1 2"
    return train_word_tokenizer([words, *(caption.lower() for found in CAPTIONS.values() for caption in found)])


@pytest.fixture
def network(tokenizer) -> VQA:
    """Untrained, with recurrent parts small enough for a test."""
    torch.manual_seed(0)
    size = len(tokenizer)
    decoder = DecoderConfig(size, embed_dim=32, hidden_size=32, num_layers=1, memory_dim=32, heads=4, dropout=0.1)
    classes = tuple(tuple(tokenizer.convert_tokens_to_ids(words)) for words in (["green"], ["red", "bus"], ["2"]))
    classifier = ClassifierConfig(classes)
    config = VQAConfig(
        size, "efficientnet_lite0", decoder=decoder, detected_words=8, classifier=classifier, dropout=0.1
    )
    model = VQA(config)
    model.detector_word[-8:] = torch.arange(8)
    model.frequent.fit_axes(torch.randn(20, 49, 1280))
    return model


@pytest.fixture
def predictor(network, tokenizer) -> VQAPredictor:
    return VQAPredictor(network, tokenizer)


@pytest.fixture
def photo(coco) -> Path:
    return coco / "images" / "bus.jpg"
