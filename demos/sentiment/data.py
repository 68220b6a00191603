"""Readers for sentiment data in their official layouts, and batches for training.

SST (Socher et al. 2013): {train,dev,test}.txt, one tree a line, a label from 0 to 4 at every phrase. IMDB (Maas et al.
2011): {train,test}/{pos,neg}/ID_RATING.txt, or the same as {train,test}.tsv.gz. NSMC: ratings_{train,dev,test}, as .txt
or .tsv.gz.

What is known of a text is a set of classes that it may belong to: {3} for a phrase that somebody rated, {3, 4} for a
review of which only "positive" is known. So one network learns from coarse and fine labels alike.
"""

import csv
import gzip
import html
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from core.errors import InputError
from core.input.tokenizers import encode, pad

DEV_SHARE = 12  # IMDB has no dev set: every twelfth training review is kept out for one

FINE = ("very negative", "negative", "neutral", "positive", "very positive")
COARSE = ("negative", "positive")


@dataclass(frozen=True)
class Example:
    """A text and the classes that it may belong to."""

    text: str
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Corpus:
    """One data set. `phrases` are parts of the training texts that have labels of their own (SST)."""

    name: str
    class_names: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    phrases: tuple[Example, ...] = ()


def read_corpus(root: Path) -> Corpus:
    """The data set of a folder, told apart by its files. Raises InputError when it is none of the three."""
    if (root / "dev.txt").exists():
        return read_sst(root)
    if (root / "train.tsv.gz").exists() or (root / "train" / "pos").is_dir():
        return read_imdb(root)
    if list(root.glob("ratings_train.*")):
        return read_nsmc(root)
    raise InputError(f"{root} holds neither SST trees, nor IMDB reviews, nor NSMC ratings: name the folder of one.")


def polarity(classes: Sequence[int], count: int) -> int | None:
    """0 for negative, 1 for positive, None for neither, given the classes that a text may belong to, of `count`."""
    middle = (count - 1) / 2
    if max(classes) < middle:
        return 0
    return 1 if min(classes) > middle else None


# --- text --------------------------------------------------------------------------------------------------------

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|<!--.{0,2000}?-->", re.DOTALL)
_QUOTES = str.maketrans("‘’“”", "''\"\"")


def plain(text: str) -> str:
    """A text as the networks read it: without HTML tags and entities, with single spaces."""
    return " ".join(html.unescape(_TAG.sub(" ", text)).translate(_QUOTES).split())


_UNESCAPED = {"-LRB-": "(", "-RRB-": ")", "``": '"', "''": '"', "`": "'"}
_ATTACHED = re.compile(r"(?i) (?=n't\b|'(?:s|re|ve|ll|d|m)\b|[.,;:!?)%]|\.\.\.)|(?<=[(]) |(?<=\bca) (?=n't\b)")


def join_tokens(tokens: Iterable[str]) -> str:
    """Penn Treebank tokens as people write: is | n't | bad | , -> isn't bad,"""
    words = (_UNESCAPED.get(token, token).replace("\\/", "/").replace("\\*", "*") for token in tokens)
    return _ATTACHED.sub("", " ".join(words))


# --- SST ---------------------------------------------------------------------------------------------------------

_PIECE = re.compile(r"\((\d) |([^() ]+)\)|\)")


def read_tree(line: str) -> list[Example]:
    """All phrases of a tree such as (3 (2 It) (4 (2 's) (4 good))), the whole sentence last."""
    words: list[str] = []
    open_phrases: list[tuple[int, int]] = []  # label and first word
    phrases = []
    for piece in _PIECE.finditer(line):
        label, word = piece.groups()
        if label is not None:
            open_phrases.append((int(label), len(words)))
            continue
        if word is not None:
            words.append(word)
        if not open_phrases:
            raise InputError(f"This is not a sentiment tree: {line[:80]!r}.")
        label, start = open_phrases.pop()
        phrases.append(Example(join_tokens(words[start:]), (label,)))
    if open_phrases or not phrases:
        raise InputError(f"This is not a sentiment tree: {line[:80]!r}.")
    return phrases


def read_sst(root: Path) -> Corpus:
    """Sentences of each split; the phrases of the training sentences once each."""
    trees = {split: [read_tree(line) for line in _lines(root / f"{split}.txt")] for split in ("train", "dev", "test")}
    sentences = {split: tuple(tree[-1] for tree in found) for split, found in trees.items()}
    known = {example.text for example in sentences["train"]}
    phrases = {p.text: p for tree in trees["train"] for p in tree[:-1] if p.text not in known}
    return Corpus("SST", FINE, **sentences, phrases=tuple(phrases.values()))


def _lines(file: Path) -> list[str]:
    return [line for line in _open(file) if line.strip()]


# --- IMDB --------------------------------------------------------------------------------------------------------


def read_imdb(root: Path) -> Corpus:
    """Reviews. A training review that is in the test set too, word for word, is left out."""
    test = tuple(_reviews(root, "test"))
    seen = {example.text for example in test}
    train = [example for example in _reviews(root, "train") if example.text not in seen]
    dev = tuple(train[::DEV_SHARE])
    seen = {example.text for example in dev}
    return Corpus("IMDB", FINE, tuple(example for example in train if example.text not in seen), dev, test)


def _reviews(root: Path, split: str) -> Iterator[Example]:
    if (root / f"{split}.tsv.gz").exists():
        rows = csv.reader(_open(root / f"{split}.tsv.gz"), delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        for _, label, review in rows:
            yield _review(review, label == "1")
        return
    for name in ("neg", "pos"):
        for file in sorted((root / split / name).glob("*.txt")):
            yield _review(file.read_text(encoding="utf-8"), name == "pos")


def _review(text: str, positive: bool) -> Example:
    return Example(plain(text), (3, 4) if positive else (0, 1))


# --- NSMC --------------------------------------------------------------------------------------------------------


def read_nsmc(root: Path) -> Corpus:
    """Korean film reviews. Where there is no dev file, as in the official data, the last 6,000 for training are it."""
    splits = {split: tuple(_ratings(root, split)) for split in ("train", "dev", "test")}
    if not splits["dev"]:
        splits["train"], splits["dev"] = splits["train"][:-6000], splits["train"][-6000:]
    return Corpus("NSMC", COARSE, **splits)


def _ratings(root: Path, split: str) -> Iterator[Example]:
    file = next((f for f in sorted(root.glob(f"ratings_{split}.*"))), None)
    if file is None:
        if split == "dev":
            return
        raise InputError(f"{root / f'ratings_{split}.txt'} is missing: it holds id, document and label of each review.")
    rows = csv.reader(_open(file), delimiter="\t", quoting=csv.QUOTE_NONE)
    next(rows)
    for _, document, label in rows:
        if text := plain(document):
            yield Example(text, (int(label),))


def _open(file: Path) -> Iterator[str]:
    if not file.exists():
        raise InputError(f"{file} is missing: the folder holds only a part of its data set.")
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8", newline="\n") as lines:
        yield from lines


# --- batches -----------------------------------------------------------------------------------------------------


def cut(ids: list[int], longest: int) -> list[int]:
    """Token ids without the middle of a text that is too long: opening and conclusion say most (Sun et al. 2019)."""
    head = longest // 4
    return ids if len(ids) <= longest else ids[:head] + ids[head - longest :]


def token_ids(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], longest: int) -> list[list[int]]:
    """Token ids of each text from <bos> to <eos>, at most `longest` of them."""
    return [cut(ids, longest) for ids in encode(tokenizer, texts)]


class Batches(Dataset):
    """Item: a whole batch of examples of like length, made anew for each epoch (`set_epoch`).

    A batch has at most `size` texts and, with its padding, at most `tokens` tokens.
    """

    def __init__(self, ids: list[list[int]], classes: list[tuple[int, ...]], count: int, size: int, tokens: int):
        self.ids, self.classes, self.count, self.size, self.tokens = ids, classes, count, size, tokens
        self.set_epoch(0)
        self.length = len(self.rows)

    def set_epoch(self, epoch: int) -> None:
        """Draw the batches of an epoch."""
        rng = random.Random(epoch)
        noisy = [len(ids) * rng.uniform(0.9, 1.1) for ids in self.ids]
        self.rows = list(batches_by_length(noisy, self.size, self.tokens))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """tokens (B, T), lengths (B,), targets (B, C): True for the classes that a text may belong to"""
        rows = self.rows[number % len(self.rows)]  # their number may differ by a few from epoch to epoch
        targets = torch.zeros(len(rows), self.count, dtype=torch.bool)
        for place, row in enumerate(rows):
            targets[place, list(self.classes[row])] = True
        return {**padded([self.ids[row] for row in rows]), "targets": targets}


def padded(ids: Sequence[list[int]]) -> dict[str, Tensor]:
    """tokens (B, T) and lengths (B,)"""
    return {"tokens": pad(ids), "lengths": torch.tensor([len(row) for row in ids])}


def batches_by_length(lengths: Sequence[float], size: int, tokens: int) -> Iterator[list[int]]:
    """Row numbers in batches, shortest first: at most `size` rows, and rows times longest at most `tokens`."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == size or (len(batch) + 1) * lengths[row] > tokens):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def stream_chunks(ids: Iterable[list[int]], length: int) -> Tensor:
    """Texts one after the other, cut into (N, length) chunks for a language model; what is left over is dropped."""
    flat = torch.tensor([token for row in ids for token in row], dtype=torch.int32)
    return flat[: len(flat) // length * length].view(-1, length)
