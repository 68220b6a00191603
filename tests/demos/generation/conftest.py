"""A small text, a small network for it, and the network trained for a moment."""

import pytest
import torch

from core.training.loop import TrainingConfig
from demos.generation.data import BpttConfig, Corpus, split_text
from demos.generation.predict import GenerationPredictor
from demos.generation.sources import Source
from demos.generation.train import LanguageModel, new_generator

TEXT = "".join(f"The cat ({n}) sat on the mat.\n" for n in range(400))
TUNES = "M:4/4\nK:Cmaj\n|: C D E F G A B c | c 2 B 2 A 2 G 2 :|\n\n" * 80


@pytest.fixture(scope="session")
def corpora():
    return [split_text(Source("cats", "Cats", ()), TEXT), split_text(Source("folk", "Tunes", (), "abc"), TUNES)]


@pytest.fixture(scope="session")
def reviews():
    """Prose, with words that are too rare for the vocabulary."""
    text = "".join(f"I liked film number{n % 90} a lot, but it's long.\nThe end was good!\n\n" for n in range(300))
    return Corpus(Source("reviews", "Reviews", (), "prose"), text, text[:2000], text[:2000], whole=text)


@pytest.fixture(scope="session")
def stage():
    """Settings of a small network."""
    training = TrainingConfig(epochs=1, learning_rate=1e-2, warmup_steps=4)
    return LanguageModel(
        layers=2, hidden_size=32, embed_dim=16, dropout=0.0, min_count=1, bptt=BpttConfig(4, 16, 4), training=training
    )


@pytest.fixture
def model(corpora, stage):
    torch.manual_seed(0)
    return new_generator(corpora, stage).eval()


@pytest.fixture
def predictor(model):
    return GenerationPredictor(model)
