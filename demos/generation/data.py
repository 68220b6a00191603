"""Corpora for language models, their pieces, and the lanes of text that truncated BPTT reads.

A piece is what the network reads and writes one at a time: a character; in folk tunes an ABC token with the space after
it; in word corpora a word with the space after it; in prose a word or a mark with the space before it, and the parts of
a rare word, so that none is unknown. Pieces joined are the text again, whatever their kind.
"""

import gzip
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from torch.utils.data import Dataset

from core.errors import InputError
from core.input.tokenizers import SPECIAL_TOKENS, UNK
from demos.generation.sources import SOURCES, Source

_PIECES = {  # how a text of each kind falls into pieces
    "characters": re.compile(r"[\s\S]"),
    "abc": re.compile(r"\S+ ?|\s"),
    "words": re.compile(r"\S+ ?|\s"),
    # a word with its apostrophes, "don't", but without a genitive's; a mark; a blank line, which parts two texts
    "prose": re.compile(r" ?\w+(?:['’](?!s\b)\w+)*|['’]s\b| ?(?:\.\.+|[^\w\s])|\n\n|\s"),
}
TEXT_ENDS = {"prose": "\n\n"}  # the piece after which another text begins, where that is not every line end


@dataclass(frozen=True)
class Corpus:
    """One text in three parts. `test` is its end; `dev`, 2 % of it, lies before that."""

    name: str
    title: str
    kind: str
    train: str
    dev: str
    test: str
    weight: float = 1.0
    whole: str = ""  # the text as it was before any of it was left out


def read_corpora(root: Path, names: Iterable[str] | None = None) -> list[Corpus]:
    """The named corpora of a folder (by default all of the character network), without what another one holds out.

    Shakespeare's plays hold the tiny selection: whatever stands in a dev or test part is taken out of every train part.
    "ptb" and "reviews" lie in folders of their own and are read alone. Raises InputError for a name that is none or a
    file that is missing.
    """
    known = {source.name: source for source in SOURCES if source.files}
    wanted = list(known if names is None else names)
    if len(wanted) == 1 and wanted[0] in READERS:
        return [READERS[wanted[0]](root)]
    for name in wanted:
        if name not in known:
            raise InputError(f"There is no corpus {name!r}. Choose one of {', '.join(known)}.")
    corpora = [
        split_text(known[name], "".join(read_text(root / file) for file in known[name].files)) for name in wanted
    ]
    return without_leaks(corpora)


def read_text(file: Path) -> str:
    """A text file in UTF-8, gzipped if its name says so. Raises InputError when it is missing or no text."""
    try:
        content = file.read_bytes()
        return (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8").replace("\r\n", "\n")
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}): name a text file that exists.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not text in UTF-8: convert it first.") from error


def split_text(source: Source, text: str) -> Corpus:
    """Cut the end off for `test` and 2 % before it for `dev`, at line ends. Raises InputError for a short text."""
    dev_at, test_at = (
        _line_start(text, int(len(text) * share)) for share in (0.98 - source.held_out, 1 - source.held_out)
    )
    if len(text) < 2000 or not 0 < dev_at < test_at < len(text):
        raise InputError(
            f"The text {source.name!r} is too short, or one line: give at least 2,000 characters in lines."
        )
    parts = (text[:dev_at], text[dev_at:test_at], text[test_at:])
    return Corpus(source.name, source.title, source.kind, *parts, source.weight, text)


def _line_start(text: str, place: int) -> int:
    return text.find("\n", place) + 1


def without_leaks(corpora: Sequence[Corpus], block: int = 20, shortest: int = 30) -> list[Corpus]:
    """Leave out every block of lines of a train part that shares a long line with another corpus's dev or test part."""
    held_out = {
        c.name: {s for s in map(str.strip, (c.dev + c.test).split("\n")) if len(s) >= shortest} for c in corpora
    }
    cleaned = []
    for corpus in corpora:
        if corpus.kind != "characters":
            cleaned.append(corpus)
            continue
        others = set().union(*(lines for name, lines in held_out.items() if name != corpus.name))
        lines = corpus.train.splitlines(keepends=True)
        blocks = (lines[at : at + block] for at in range(0, len(lines), block))
        kept = "".join("".join(b) for b in blocks if not any(line.strip() in others for line in b))
        cleaned.append(Corpus(**{**vars(corpus), "train": kept}))
    return cleaned


def read_penn_treebank(root: Path) -> Corpus:
    """The standard split of Mikolov et al. (2010): ptb.{train,valid,test}.txt, with a line end as a word."""
    parts = (read_text(root / f"ptb.{part}.txt") for part in ("train", "valid", "test"))
    return Corpus("ptb", "Penn Treebank", "words", *(re.sub(r" *\n ?", "\n", part.lstrip()) for part in parts))


def read_reviews(root: Path) -> Corpus:
    """The training reviews of IMDB (Maas et al. 2011), train.tsv.gz: id, label, review; the last 5 % for test.

    Shuffled, since the file is sorted by label, and each once. A line of a review is a line, a blank one ends it.
    """
    rows = read_text(root / "train.tsv.gz").splitlines()[1:]
    reviews = list(dict.fromkeys(_clean_review(row.split("\t", 2)[-1]) for row in rows))
    Random(1).shuffle(reviews)
    dev_at, test_at = (int(len(reviews) * share) for share in (0.93, 0.95))
    parts = (reviews[:dev_at], reviews[dev_at:test_at], reviews[test_at:])
    texts = ["".join(review + "\n\n" for review in part) for part in parts]
    return Corpus("reviews", "Film reviews, by the word", "prose", *texts, whole="".join(texts))


def _clean_review(review: str) -> str:
    """One line per paragraph, single spaces."""
    lines = (" ".join(line.split()) for line in review.split("<br />"))
    return "\n".join(line for line in lines if line)


READERS = {"ptb": read_penn_treebank, "reviews": read_reviews}


# --- pieces ------------------------------------------------------------------------------------------------------


def split_pieces(text: str, kind: str) -> list[str]:
    """The text in pieces; joined they are the text."""
    if kind == "words":  # a word is the same at the end of a line
        return [p if p == "\n" else p.rstrip() + " " for p in _PIECES[kind].findall(text)]
    return list(text) if kind == "characters" else _PIECES[kind].findall(text)


def build_vocabulary(corpora: Sequence[Corpus], min_count: int = 5, largest: int | None = None) -> tuple[str, ...]:
    """The special tokens, a tag per corpus, and every piece seen `min_count` times or more, the frequent ones first.

    At most `largest` pieces; of prose then the characters too, which spell what has no piece.
    """
    counts: Counter[str] = Counter()
    letters: Counter[str] = Counter()
    for corpus in corpora:
        counts.update(split_pieces(corpus.train, corpus.kind))
        letters.update(corpus.train if corpus.kind == "prose" else "")
    tags = [tag_of(corpus.name) for corpus in corpora]
    frequent = [piece for piece, count in counts.most_common(largest) if count >= min_count]
    frequent += [letter for letter, count in letters.most_common() if count >= min_count]
    return (*SPECIAL_TOKENS, *tags, *dict.fromkeys(frequent))


def tag_of(name: str) -> str:
    """The token that a text of this corpus begins with."""
    return f"<{name}>"


def to_ids(text: str, kind: str, index: Mapping[str, int]) -> Tensor:
    """(T,) ids of the text's known pieces; <unk> for those that the vocabulary lacks."""
    return torch.tensor([index.get(piece, UNK) for piece in known_pieces(text, kind, index)], dtype=torch.long)


def known_pieces(text: str, kind: str, index: Mapping[str, int]) -> list[str]:
    """The text in pieces, of prose in pieces that the vocabulary knows. Only a character can be unknown there."""
    pieces = split_pieces(text, kind)
    if kind != "prose":
        return pieces
    spelt = {piece: spell(piece, index) for piece in set(pieces)}
    return [part for piece in pieces for part in spelt[piece]]


def spell(piece: str, index: Mapping[str, int]) -> list[str]:
    """A piece as the longest known ones, from left to right (WordPiece, Wu et al. 2016); a character each at least."""
    parts, at = [], 0
    while at < len(piece):
        end = next((end for end in range(len(piece), at + 1, -1) if piece[at:end] in index), at + 1)
        parts.append(piece[at:end])
        at = end
    return parts


# --- lanes -------------------------------------------------------------------------------------------------------


class Lanes(Dataset):
    """Chunks for stateful truncated BPTT: item i goes on in every lane where item i - 1 stopped.

    A lane reads a stretch of `stretch` chunks from a random place of a random corpus, begun with the corpus's tag and
    an empty state, then jumps to the next stretch. An epoch is `stretches` of them, drawn anew from seed and epoch.
    Items: tokens (B, chunk + 1), of which the first `chunk` are read and the last `chunk` predicted; fresh: whether the
    state is to be emptied before.
    """

    def __init__(
        self, texts: Sequence[Tensor], tags: Sequence[int], weights: Sequence[float], lanes: int, chunk: int,
        stretch: int = 16, stretches: int = 4, line_end: int | None = None, seed: int = 1,
    ):  # fmt: skip
        self.texts, self.tags, self.weights = texts, tags, torch.tensor(weights, dtype=torch.float)
        self.lanes, self.chunk, self.stretch, self.stretches, self.seed = lanes, chunk, stretch, stretches, seed
        self.starts = [(text == line_end).nonzero().flatten() + 1 for text in texts] if line_end is not None else None
        self.shortest = stretch * chunk
        if any(len(text) <= self.shortest for text in texts):
            raise InputError(f"A corpus is shorter than the {self.shortest:,} pieces that a lane reads in one go.")
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the epoch's stretches: the same for the same seed and epoch."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        choice = torch.multinomial(self.weights, self.lanes * self.stretches, replacement=True, generator=generator)
        rows = torch.stack([self._draw(number, generator) for number in choice.tolist()])
        self.rows = rows.view(self.lanes, self.stretches, -1)

    def _draw(self, number: int, generator: torch.Generator) -> Tensor:
        """(1 + stretch * chunk,) ids: the tag and a stretch, from a line's start where that is known."""
        text = self.texts[number]
        start = int(torch.randint(len(text) - self.shortest + 1, (), generator=generator))
        if self.starts is not None and len(self.starts[number]):
            place = int(torch.searchsorted(self.starts[number], start, right=True)) - 1
            start = int(self.starts[number][place]) if place >= 0 else 0
        return torch.cat([text.new_tensor([self.tags[number]]), text[start : start + self.shortest]])

    def __len__(self) -> int:
        return self.stretches * self.stretch

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        stretch, place = divmod(item, self.stretch)
        at = place * self.chunk
        return {"tokens": self.rows[:, stretch, at : at + self.chunk + 1], "fresh": torch.tensor(place == 0)}
