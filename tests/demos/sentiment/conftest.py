"""Toy data in the official layouts of SST, IMDB and NSMC, and small networks for them."""

import gzip
import itertools
from pathlib import Path

import pytest

from core.input.tokenizers import train_bpe_tokenizer
from demos.sentiment.data import FINE
from demos.sentiment.model import EncoderConfig, SentimentClassifier, SentimentConfig
from demos.sentiment.predict import Network, SentimentPredictor

GOOD, BAD = ("great", "lovely", "superb", "funny"), ("awful", "boring", "dull", "poor")
KOREAN = {1: ("재밌어요", "최고", "감동"), 0: ("지루하다", "최악", "별로")}
NOUNS = ("film", "story", "cast", "plot")


def tree(adjective: str, noun: str, good: bool) -> str:
    """(4 (2 A) (3 (4 great) (2 film)))"""
    strong, weak = (4, 3) if good else (0, 1)
    return f"({strong} (2 A) ({weak} ({strong} {adjective}) (2 {noun})))"


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """The folder that holds the three data sets, as recipes want it."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def sst(data) -> Path:
    root = data / "sst"
    root.mkdir()
    trees = [tree(a, n, a in GOOD) for a, n in itertools.product(GOOD + BAD, NOUNS)] + ["(2 (2 A) (2 cat))"]
    for split in ("train", "dev", "test"):
        (root / f"{split}.txt").write_text("\n".join(trees * (4 if split == "train" else 1)) + "\n")
    return root


@pytest.fixture(scope="session")
def imdb(data) -> Path:
    """Reviews of a few sentences, as one gzip table per split; one of the training set is in the test set too."""
    root = data / "imdb"
    root.mkdir()
    for split in ("train", "test"):
        rows = ["id\tlabel\treview"]
        for number, (noun, other) in enumerate(itertools.product(NOUNS, NOUNS)):
            for label, words in ((0, BAD), (1, GOOD)):
                one, two = words[number % 4], words[(number + (split == "test")) % 4]
                text = f"I saw this {noun} in {split}.<br /><br />It's {one}, and the {other} is {two}!"
                rows.append(f"{number}_{10 * label or 1}\t{label}\t{text}")
        rows.append("99_10\t1\tThe same words &amp; the same film.")
        with gzip.open(root / f"{split}.tsv.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="session")
def nsmc(data) -> Path:
    root = data / "nsmc"
    root.mkdir()
    for split in ("train", "dev", "test"):
        rows = ["id\tdocument\tlabel"]
        for label, words in KOREAN.items():
            rows += [f"{n}\t이 영화 {a} {b}\t{label}" for n, (a, b) in enumerate(itertools.product(words, words))]
        rows[1:] *= 1 if split == "test" else 12  # enough for chunks of a language model
        (root / f"ratings_{split}.txt").write_text("\n".join(rows) + "\n7\t\t0\n", encoding="utf-8")
    return root


def network(texts: list[str], language: str, class_names: tuple[str, ...]) -> Network:
    """Untrained, small, and without dropout worth speaking of."""
    tokenizer = train_bpe_tokenizer(texts, 300, contractions=True)
    encoder = EncoderConfig(len(tokenizer), embed_dim=16, hidden_size=24)
    model = SentimentClassifier(SentimentConfig(encoder, language, class_names, max_tokens=64))
    return Network(model.eval(), tokenizer)


@pytest.fixture(scope="session")
def predictor() -> SentimentPredictor:
    english = [f"A {a} {n}, and it isn't {b}!" for a, n, b in itertools.product(GOOD + BAD, NOUNS, GOOD)]
    korean = [f"이 영화 {word}" for words in KOREAN.values() for word in words] + ["good 1234567890"]
    return SentimentPredictor(
        {
            "english": network(english, "english", FINE),
            "korean": network(korean, "korean", ("negative", "positive")),
        }
    )
