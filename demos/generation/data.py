"""Corpora for language models, their pieces, and the batches of segments that truncated BPTT reads.

A piece is what the network reads and writes one at a time: a character; in folk tunes an ABC token with the space after
it; in prose a word or a mark with the space before it, and the parts of a rare word, so that none is unknown. Pieces
joined are the text again, whatever their kind.
"""

import gzip
import lzma
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    # a word with its apostrophes, "don't", but without a genitive's; a mark; a blank line, which parts two texts
    "prose": re.compile(r" ?\w+(?:['’](?!s\b)\w+)*|['’]s\b| ?(?:\.\.+|[^\w\s])|\n\n|\s"),
}
TEXT_ENDS = {"prose": "\n\n"}  # the piece after which another text begins, where that is not every line end


@dataclass(frozen=True)
class Corpus:
    """One text in three parts. `test` is its end; `dev`, 2 % of it, lies before that."""

    source: Source
    train: str
    dev: str
    test: str
    whole: str = ""  # the text as it was before any of it was left out

    @property
    def name(self) -> str:
        """Of its source."""
        return self.source.name

    @property
    def kind(self) -> str:
        """Of its pieces."""
        return self.source.kind


def read_corpora(data: Path, names: Iterable[str] | None = None) -> list[Corpus]:
    """The named corpora (default: all) from the folder of the data sets, each without what another one holds out.

    Shakespeare's plays hold the tiny selection: whatever stands in a dev or test part is taken out of every train part.
    Raises InputError for a name that is none or a file that is missing.
    """
    known = {source.name: source for source in SOURCES}
    wanted = list(known if names is None else names)
    for name in wanted:
        if name not in known:
            raise InputError(f"There is no corpus {name!r}. Choose one of {', '.join(known)}.")
    return without_leaks([_read_corpus(known[name], data) for name in wanted])


def _read_corpus(source: Source, data: Path) -> Corpus:
    text = "".join(read_text(data / file) for file in source.files)
    return split_reviews(source, text) if source.kind == "prose" else split_text(source, text)


def read_text(file: Path) -> str:
    """A text in UTF-8: the file, or the one with .gz or .xz after its name. Raises InputError for none, or no text."""
    found = next((each for end in ("", ".gz", ".xz") if (each := Path(f"{file}{end}")).is_file()), file)
    try:
        with {".gz": gzip.open, ".xz": lzma.open}.get(found.suffix, open)(found, "rb") as content:
            return content.read().decode("utf-8").replace("\r\n", "\n")
    except (OSError, EOFError, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file} cannot be read ({reason}): name a text file that exists.") from error
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
    return Corpus(source, *parts, text)


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
        cleaned.append(replace(corpus, train=kept))
    return cleaned


def split_reviews(source: Source, table: str) -> Corpus:
    """The training reviews of IMDB (Maas et al. 2011), a table of id, label and review; the last 5 % for test.

    Shuffled, since the file is sorted by label, and each once. A line of a review is a line, a blank one ends it.
    """
    rows = table.splitlines()[1:]
    reviews = list(dict.fromkeys(_clean_review(row.split("\t", 2)[-1]) for row in rows))
    Random(1).shuffle(reviews)
    dev_at, test_at = (int(len(reviews) * share) for share in (0.93, 0.95))
    parts = (reviews[:dev_at], reviews[dev_at:test_at], reviews[test_at:])
    texts = ["".join(review + "\n\n" for review in part) for part in parts]
    return Corpus(source, *texts, whole="".join(texts))


def _clean_review(review: str) -> str:
    """One line per paragraph, single spaces."""
    lines = (" ".join(line.split()) for line in review.split("<br />"))
    return "\n".join(line for line in lines if line)


# --- pieces ------------------------------------------------------------------------------------------------------


def split_pieces(text: str, kind: str) -> list[str]:
    """The text in pieces; joined they are the text."""
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


# --- batches -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BpttConfig:
    """How stateful truncated back-propagation through time reads texts."""

    batch_size: int = 64  # rows of text side by side
    segment: int = 128  # pieces of a row in one batch: as far back as gradients go
    segments: int = 16  # that a row reads of an excerpt, one after the other, its state carried on
    excerpts: int = 4  # that a row reads in an epoch

    @property
    def excerpt(self) -> int:
        """Pieces of an excerpt."""
        return self.segments * self.segment


class BpttBatches(Dataset):
    """Batches of BPTT segments: in item i every row goes on where it stopped in item i - 1.

    A row reads an excerpt of a random place of a random text, begun with the tag of its corpus and an empty state, then
    jumps to the next. An epoch's excerpts are drawn anew from seed and epoch. Items: tokens (B, segment + 1), of which
    the first `segment` are read and the last `segment` predicted; fresh: whether the state is to be emptied before.

    texts: ids (T,) of each corpus. weights: how much of each to read, relatively. line_end: the id after which an
    excerpt is to begin. Raises InputError for a text that is shorter than an excerpt.
    """

    def __init__(
        self, texts: Sequence[Tensor], tags: Sequence[int], weights: Sequence[float], config: BpttConfig,
        line_end: int | None = None, seed: int = 1,
    ):  # fmt: skip
        self.texts, self.tags, self.weights = texts, tags, torch.tensor(weights, dtype=torch.float)
        self.config, self.seed = config, seed
        self.starts = [(text == line_end).nonzero().flatten() + 1 for text in texts] if line_end is not None else None
        if any(len(text) <= config.excerpt for text in texts):
            raise InputError(f"A corpus is shorter than the {config.excerpt:,} pieces of an excerpt.")
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the epoch's excerpts: the same for the same seed and epoch."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        count = self.config.batch_size * self.config.excerpts
        choice = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        excerpts = torch.stack([self._draw(number, generator) for number in choice.tolist()])
        self.excerpts = excerpts.view(self.config.batch_size, self.config.excerpts, -1)

    def _draw(self, number: int, generator: torch.Generator) -> Tensor:
        """(1 + pieces,) ids: the tag and an excerpt of a text, from a line's start where that is known."""
        text, length = self.texts[number], self.config.excerpt
        start = int(torch.randint(len(text) - length + 1, (), generator=generator))
        if self.starts is not None and len(self.starts[number]):
            place = int(torch.searchsorted(self.starts[number], start, right=True)) - 1
            start = int(self.starts[number][place]) if place >= 0 else 0
        return torch.cat([text.new_tensor([self.tags[number]]), text[start : start + length]])

    def __len__(self) -> int:
        return self.config.excerpts * self.config.segments

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        excerpt, place = divmod(item, self.config.segments)
        at = place * self.config.segment
        tokens = self.excerpts[:, excerpt, at : at + self.config.segment + 1]
        return {"tokens": tokens, "fresh": torch.tensor(place == 0)}
