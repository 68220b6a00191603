"""Readers for sentiment data in their official layouts, and batches for training.

SST (Socher et al. 2013): {train,dev,test}.txt, one tree a line, a label from 0 to 4 at every phrase. IMDB (Maas et al.
2011): {train,test}/{pos,neg}/ID_RATING.txt, or {train,test}.tsv: id, label, review. NSMC: ratings_{train,dev,test}.txt
or .tsv: id, document, label. Tables begin with a line of names and may be compressed (.gz, .xz).

What is known of a text is a set of classes that it may belong to: {3} for a phrase that somebody rated, {3, 4} for a
review of which only "positive" is known. So one network learns from coarse and fine labels alike.
"""

import csv
import gzip
import html
import lzma
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from core.errors import InputError
from core.input.tokenizers import encode, pad
from core.training.batches import batches_by_length

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
    language: str  # "english" or "korean"
    class_names: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    phrases: tuple[Example, ...] = ()


def read_corpus(root: Path) -> Corpus:
    """The data set of a folder, told apart by its files. Raises InputError when it is none of the three."""
    if (root / "dev.txt").exists():
        return read_sst(root)
    if list(root.glob("train.tsv*")) or (root / "train" / "pos").is_dir():
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


def strip_html(text: str) -> str:
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
    trees = {}
    for split in ("train", "dev", "test"):
        trees[split] = [read_tree(line) for line in _open(root / f"{split}.txt") if line.strip()]
    sentences = {split: tuple(tree[-1] for tree in found) for split, found in trees.items()}
    known = {example.text for example in sentences["train"]}
    phrases = {p.text: p for tree in trees["train"] for p in tree[:-1] if p.text not in known}
    return Corpus("SST", "english", FINE, **sentences, phrases=tuple(phrases.values()))


# --- IMDB --------------------------------------------------------------------------------------------------------


def read_imdb(root: Path) -> Corpus:
    """Reviews. A training review that is in the test set too, word for word, is left out."""
    test = tuple(_reviews(root, "test"))
    train = _without(_reviews(root, "train"), test)
    dev = train[::DEV_SHARE]
    return Corpus("IMDB", "english", FINE, _without(train, dev), dev, test)


def _without(examples: Iterable[Example], others: Iterable[Example]) -> tuple[Example, ...]:
    seen = {example.text for example in others}
    return tuple(example for example in examples if example.text not in seen)


def _reviews(root: Path, split: str) -> Iterator[Example]:
    if files := sorted(root.glob(f"{split}.tsv*")):
        labelled = ((review, label == "1") for _, label, review in _rows(files[0]))
    else:
        files = [file for side in ("neg", "pos") for file in sorted((root / split / side).glob("*.txt"))]
        labelled = ((file.read_text(encoding="utf-8"), file.parent.name == "pos") for file in files)
    for review, positive in labelled:
        yield Example(strip_html(review), (3, 4) if positive else (0, 1))


# --- NSMC --------------------------------------------------------------------------------------------------------


def read_nsmc(root: Path) -> Corpus:
    """Korean film reviews. Where there is no dev file, as in the official data, the last 6,000 for training are it."""
    splits = {split: tuple(_ratings(root, split)) for split in ("train", "dev", "test")}
    if not splits["dev"]:
        splits["train"], splits["dev"] = splits["train"][:-6000], splits["train"][-6000:]
    return Corpus("NSMC", "korean", COARSE, **splits)


def _ratings(root: Path, split: str) -> Iterator[Example]:
    files = sorted(root.glob(f"ratings_{split}.*"))
    if not files and split != "dev":
        raise InputError(f"{root / f'ratings_{split}.txt'} is missing: it holds id, document and label of each review.")
    for _, document, label in (row for file in files[:1] for row in _rows(file)):
        if text := strip_html(document):
            yield Example(text, (int(label),))


def _rows(file: Path) -> Iterator[list[str]]:
    """The cells of a table's lines below its head."""
    return islice(csv.reader(_open(file), delimiter="\t", quoting=csv.QUOTE_NONE), 1, None)


def _open(file: Path) -> Iterator[str]:
    if not file.exists():
        raise InputError(f"{file} is missing: the folder holds only a part of its data set.")
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(file.suffix, open)
    with opener(file, "rt", encoding="utf-8", newline="\n") as lines:
        yield from lines


# --- batches -----------------------------------------------------------------------------------------------------


def cut_middle(ids: list[int], longest: int) -> list[int]:
    """Token ids without the middle of a text that is too long: opening and conclusion say most (Sun et al. 2019)."""
    head = longest // 4
    return ids if len(ids) <= longest else ids[:head] + ids[head - longest :]


def token_ids(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], longest: int) -> list[list[int]]:
    """Token ids of each text from <bos> to <eos>, at most `longest` of them."""
    return [cut_middle(ids, longest) for ids in encode(tokenizer, texts)]


class Batches(Dataset):
    """Item: a whole batch of examples of like length, made anew for each epoch (`set_epoch`).

    ids, classes: of each text its tokens and the classes, of `class_count`, that it may belong to. A batch has at most
    `most_texts` and, with its padding, at most `most_tokens`.
    """

    def __init__(
        self, ids: list[list[int]], classes: list[tuple[int, ...]], class_count: int, most_texts: int, most_tokens: int
    ):
        self.ids, self.classes, self.class_count = ids, classes, class_count
        self.most_texts, self.most_tokens = most_texts, most_tokens
        self.set_epoch(0)
        self.length = len(self.rows)

    def set_epoch(self, epoch: int) -> None:
        """Draw the batches of an epoch."""
        rng = random.Random(epoch)
        noisy = [len(ids) * rng.uniform(0.9, 1.1) for ids in self.ids]
        self.rows = list(batches_by_length(noisy, self.most_texts, self.most_tokens))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """tokens (B, T), lengths (B,), targets (B, C): True for the classes that a text may belong to"""
        rows = self.rows[number % len(self.rows)]  # their number may differ by a few from epoch to epoch
        targets = class_mask([self.classes[row] for row in rows], self.class_count)
        return {**padded([self.ids[row] for row in rows]), "targets": targets}


def class_mask(classes: Sequence[tuple[int, ...]], class_count: int) -> Tensor:
    """(N, C), True for the classes that a text may belong to."""
    mask = torch.zeros(len(classes), class_count, dtype=torch.bool)
    for row, allowed in zip(mask, classes, strict=True):
        row[list(allowed)] = True
    return mask


def padded(ids: Sequence[list[int]]) -> dict[str, Tensor]:
    """tokens (B, T) and lengths (B,)"""
    return {"tokens": pad(ids), "lengths": torch.tensor([len(row) for row in ids])}


def stream_chunks(ids: Iterable[list[int]], length: int) -> Tensor:
    """Texts one after the other, cut into (N, length) chunks for a language model; what is left over is dropped."""
    flat = torch.tensor([token for row in ids for token in row], dtype=torch.int32)
    return flat[: len(flat) // length * length].view(-1, length)
