"""A toy language pair in Multi30k's official layout, and a small translator that has learnt it."""

import gzip
import itertools
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from core.input.tokenizers import train_bpe_tokenizer
from core.networks.decoder import DecoderConfig
from demos.translation.data import COPY, PAIRS, TAGS, Noise, Rounds, multi30k_pairs
from demos.translation.model import COPIES_DECIDE, Translator, TranslatorConfig
from demos.translation.predict import TranslationPredictor
from demos.translation.train import TranslationLoss, save

WHO = {"A dog": "Ein Hund", "A man": "Ein Mann", "A girl": "Ein Mädchen", "A horse": "Ein Pferd"}
WHAT = {"sleeps": "schläft", "runs": "läuft", "sings": "singt", "reads": "liest", "waits": "wartet"}
WHERE = {"here": "hier", "outside": "draußen", "in the park": "im Park", "at home": "zu Hause"}
NAMES = ("Tom", "Mary", "Paul", "Anna", "Peter", "Julia")
LINES = [
    (f"{who} {what} {where}.", f"{WHO.get(who, who)} {WHAT[what]} {WHERE[where]}.")
    for who, what, where in itertools.product([*WHO, *NAMES], WHAT, WHERE)
]


@pytest.fixture(scope="session")
def toys(tmp_path_factory) -> Path:
    """train, val and test files in English and German, gzip and plain."""
    root = tmp_path_factory.mktemp("multi30k")
    english, german = zip(*LINES, strict=True)
    for name, rows in (("train", slice(None)), ("val", slice(0, 12)), ("test_2016_flickr", slice(12, 24)),
                       ("test_2017_flickr", slice(24, 30))):  # fmt: skip
        with gzip.open(root / f"{name}.en.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(english[rows]) + "\n")
        (root / f"{name}.de").write_text("\n".join(german[rows]) + "\n", encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def tokenizer(toys) -> PreTrainedTokenizerFast:
    texts = [text for pair in multi30k_pairs(toys, "train") for text in (pair.text, pair.translation)]
    letters = "abcdefghijklmnopqrstuvwxyzäöüßABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,!?'\"-"
    return train_bpe_tokenizer([*texts, " ".join(letters)], 260, tags=TAGS, placeholder=COPY)


def small_translator(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> Translator:
    """Untrained, small enough for a test."""
    torch.manual_seed(seed)
    decoder = DecoderConfig(len(tokenizer), embed_dim=48, hidden_size=64, memory_dim=64, heads=2, dropout=0.0)
    config = TranslatorConfig(
        len(tokenizer), PAIRS, encoder_size=32, dropout=0.0, decoder=decoder, backward_size=64,
        rerank=(("copies", COPIES_DECIDE), ("channel", 0.25), ("backward", 0.2)),
    )  # fmt: skip
    return Translator(config)


@pytest.fixture(scope="session")
def predictor(toys, tokenizer) -> TranslationPredictor:
    """A small translator that knows the toy language by heart, both ways."""
    model = small_translator(tokenizer, seed=1)
    noise = Noise(copied=0.5, lower=0.0, bare=0.0)
    rounds = Rounds([multi30k_pairs(toys, "train")], [400], tokenizer, 250, noise)
    loss, optimizer = TranslationLoss(smoothing=0.0, word_dropout=0.0), torch.optim.AdamW(model.parameters())
    for number in range(28):
        optimizer.param_groups[0]["lr"] = 4e-3 if number < 23 else 2e-3
        rounds.set_epoch(number)
        for batch in DataLoader(rounds, batch_size=1, collate_fn=lambda items: items[0]):
            loss(model, batch, None).value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return TranslationPredictor(model, tokenizer)


@pytest.fixture(scope="session")
def checkpoint(predictor, tmp_path_factory) -> Path:
    """The small translator's folder."""
    folder = tmp_path_factory.mktemp("checkpoint")
    save(predictor.tokenizer, {}, folder, predictor.model)
    return folder


@pytest.fixture(scope="session")
def flickr8k(tmp_path_factory) -> Path:
    """Photo 1 is one of Multi30k's training photos, photo 2 one of its dev photos, photo 3 none of its photos."""
    captions = {
        "1.jpg": [LINES[40][0].upper(), "A horse sings here at home .", "a girl 's dog sleeps"] * 2,
        "2.jpg": [LINES[3][0], LINES[41][0], "A man at home ."],
        "3.jpg": ["A girl here ."],
    }
    lines = [f"{photo}#{n}\t{text}" for photo, texts in captions.items() for n, text in enumerate(texts)]
    folder = tmp_path_factory.mktemp("flickr8k")
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    return folder
