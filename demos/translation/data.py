"""Readers for parallel text in its official layouts, and batches of it.

Multi30k (Elliott et al. 2016): {train,val,test_2016_flickr,test_2017_flickr}.{en,de,fr,cs}, line by line.
Tatoeba as manythings.org packs it: fra.txt, English TAB French (TAB attribution). All plain or gzip.
"""

import gzip
import hashlib
import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from core.errors import InputError
from core.input.tokenizers import EOS, encode, pad
from core.training.batches import batches_by_length

LANGUAGES = {"en": "English", "de": "German", "fr": "French", "cs": "Czech"}
PAIRS = (("en", "de"), ("de", "en"), ("en", "fr"), ("fr", "en"), ("en", "cs"), ("cs", "en"))
COPY = "\ue000"  # stands for a word that is to be copied; a private-use character, so nobody's text has it
SOURCE_TAGS = 2  # tokens before a source's text: its language, and the one to write
TAGS = tuple(f"<from-{code}>" for code in LANGUAGES) + tuple(f"<to-{code}>" for code in LANGUAGES)

MULTI30K_SPLITS = {
    "train": "train",
    "dev": "val",
    "test2016": "test_2016_flickr",
    "test2017": "test_2017_flickr",
    "captions": "captions",  # not Multi30k's own: a stage of the recipe writes them
}
TATOEBA_TEST, TATOEBA_DEV = 2000, 1000  # English sentences

_REPLACED = str.maketrans({"’": "'", "‘": "'", "\u200b": None, "\xad": None, COPY: None})
_WORD = re.compile(r"[^\W_](?:[\w'-]*[^\W_])?")


@dataclass(frozen=True)
class SentencePair:
    """A sentence and its translation."""

    source: str  # language codes
    target: str
    text: str
    translation: str


@dataclass(frozen=True)
class TestItem:
    """A sentence with all its accepted translations."""

    text: str
    references: tuple[str, ...]


def normalise(text: str) -> str:
    """Composed characters, straight apostrophes, single ordinary spaces: what the network reads and writes."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_REPLACED).split())


# --- reading -----------------------------------------------------------------------------------------------------


def read_multi30k(root: Path, split: str) -> dict[str, list[str]]:
    """{language: lines} of a split, for the languages that it has. Raises InputError when there are no two of them."""
    lines = {}
    for code in LANGUAGES:
        name = f"{MULTI30K_SPLITS[split]}.{code}"
        file = next((f for f in (root / f"{name}.gz", root / name) if f.exists()), None)
        if file is not None:
            lines[code] = _read(file).splitlines()
    if len(lines) < 2:
        raise InputError(f"{root} lacks {MULTI30K_SPLITS[split]}.en.gz and its translations: name a Multi30k folder.")
    if len({len(each) for each in lines.values()}) > 1:
        raise InputError(f"The {split} files in {root} differ in length: they must be aligned line by line.")
    return lines


def multi30k_pairs(root: Path, split: str) -> list[SentencePair]:
    """All pairs of a split, in every direction of PAIRS."""
    lines = {code: [normalise(line) for line in each] for code, each in read_multi30k(root, split).items()}
    return [
        SentencePair(source, target, *texts)
        for source, target in PAIRS
        if {source, target} <= lines.keys()
        for texts in zip(lines[source], lines[target], strict=True)
        if all(texts)
    ]


@dataclass(frozen=True)
class Tatoeba:
    """English-French sentence pairs, split by English sentence."""

    train: list[tuple[str, str]]  # (English, French)
    dev: list[tuple[str, str]]
    test: list[tuple[str, str]]

    def pairs(self) -> list[SentencePair]:
        """The training pairs, both ways."""
        there = [SentencePair("en", "fr", *map(normalise, pair)) for pair in self.train]
        return there + [SentencePair("fr", "en", p.translation, p.text) for p in there]

    def items(self, split: str, source: str) -> list[TestItem]:
        """One item per English sentence of a split ("dev" or "test"). All its French translations are references.

        From French, the first translation is the source, and every English sentence that the collection pairs with it
        is a reference.
        """
        pairs = {"dev": self.dev, "test": self.test}[split]
        french, english = defaultdict(list), defaultdict(list)
        for en, fr in pairs:
            french[en].append(fr)
        for en, fr in (*self.train, *self.dev, *self.test):
            english[normalise(fr)].append(en)
        if source == "en":
            return [TestItem(en, tuple(references)) for en, references in french.items()]
        return [TestItem(fr[0], tuple(english[normalise(fr[0])])) for fr in french.values()]


def read_tatoeba(file: Path) -> Tatoeba:
    """Held out are 2,000 (test) and 1,000 (dev) English sentences, the first by their SHA-256, with all translations.

    Training gets no pair whose English or French, but for case and punctuation, is held out. Raises InputError when
    the file cannot be read or is too small to be split.
    """
    rows = [line.split("\t") for line in _read(file).splitlines()]
    pairs = list(dict.fromkeys((row[0].strip(), row[1].strip()) for row in rows if len(row) >= 2))
    english = sorted({en for en, _ in pairs}, key=lambda text: hashlib.sha256(text.encode()).digest())
    if len(english) < 2 * (TATOEBA_TEST + TATOEBA_DEV):
        raise InputError(f"{file} holds only {len(english)} English sentences: name Tatoeba's fra.txt (or fra.txt.gz).")
    split_of = dict.fromkeys(english[:TATOEBA_TEST], "test")
    split_of |= dict.fromkeys(english[TATOEBA_TEST : TATOEBA_TEST + TATOEBA_DEV], "dev")
    held_out = {letters(text) for en, fr in pairs if en in split_of for text in (en, fr)}
    parts: dict[str, list] = {"train": [], "dev": [], "test": []}
    for en, fr in pairs:
        if en in split_of:
            parts[split_of[en]].append((en, fr))
        elif not {letters(en), letters(fr)} & held_out:
            parts["train"].append((en, fr))
    return Tatoeba(**parts)


def letters(text: str) -> str:
    """What makes two sentences the same: words without case and punctuation."""
    return " ".join(_WORD.findall(normalise(text).casefold()))


def _read(file: Path) -> str:
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rt", encoding="utf-8") as lines:
            return lines.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read ({error}): name a text file, plain or gzip.") from error


# --- noise: what visitors type, and what they write about ---------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """Regularisation of the text itself; probabilities."""

    copied: float = 0.15  # of each name, number or foreign word that both sides share: COPY stands for it
    lower: float = 0.06  # of each source: all in lower case, as people type
    bare: float = 0.06  # of each source: without its final punctuation


def with_copies(text: str, translation: str, chance: Callable[[], bool]) -> tuple[str, str]:
    """COPY in place of words that stand once on both sides, unchanged: those for which `chance()` says so.

    So the network learns where a word goes that it need not know. Short lower-case words ("in", "on") are no names.
    """
    left, right = _WORD.findall(text), _WORD.findall(translation)
    for word in sorted(set(left) & set(right)):
        name = len(word) > 3 or any(c.isdigit() or c.isupper() for c in word)
        if name and left.count(word) == right.count(word) == 1 and chance():
            text, translation = (
                re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", COPY, t, count=1) for t in (text, translation)
            )
    return text, translation


# --- batches for training ----------------------------------------------------------------------------------------


def encode_sources(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], pairs: Iterable[tuple[str, str]]
) -> list[list[int]]:
    """Token ids of each text for its (source, target) languages: both tags, the text, <eos>."""
    tags = {code: tokenizer.convert_tokens_to_ids([f"<from-{code}>", f"<to-{code}>"]) for code in LANGUAGES}
    return [
        [tags[source][0], tags[target][1], *ids[1:-1], EOS]
        for ids, (source, target) in zip(encode(tokenizer, texts), pairs, strict=True)
    ]


class Rounds(Dataset):
    """Batches of one round at a time; `set_epoch` draws the next.

    A round has `shares[n]` pairs of corpus n. Every corpus is gone through in shuffled passes, so that all its pairs
    come equally often, however rounds and passes fall. Nearly all sources of a batch have the same length, so that the
    encoder can run without padding. Item: {"source": (B, S), "target": (B, T)}.
    """

    def __init__(
        self,
        corpora: Sequence[Sequence[SentencePair]],
        shares: Sequence[int],
        tokenizer: PreTrainedTokenizerFast,
        batch_tokens: int = 4096,
        noise: Noise | None = None,
        seed: int = 1,
        max_tokens: int = 60,
    ):
        self.corpora, self.shares, self.tokenizer = corpora, shares, tokenizer
        self.batch_tokens, self.noise, self.seed, self.max_tokens = batch_tokens, noise or Noise(), seed, max_tokens
        self.number = -1
        self.set_epoch(0)

    def set_epoch(self, number: int) -> None:
        """Make round `number` the current one."""
        if number == self.number:
            return
        self.number = number
        chance = random.Random(f"{self.seed} {number}")
        self.batches = self._batches(self._examples(chance), chance)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sources, targets = zip(*self.batches[index], strict=True)
        return {"source": pad(sources), "target": pad(targets)}

    def _pairs(self) -> list[SentencePair]:
        chosen = []
        for place, (corpus, share) in enumerate(zip(self.corpora, self.shares, strict=True)):
            first, order, order_pass = self.number * share, [], -1
            for position in range(first, first + share):
                number, offset = divmod(position, len(corpus))
                if number != order_pass:
                    order, order_pass = list(range(len(corpus))), number
                    random.Random(f"{self.seed} {place} {number}").shuffle(order)
                chosen.append(corpus[order[offset]])
        return chosen

    def _examples(self, chance: random.Random) -> list[tuple[list[int], list[int]]]:
        noise, texts, translations = self.noise, [], []
        pairs = self._pairs()
        for pair in pairs:
            text, translation = with_copies(pair.text, pair.translation, lambda: chance.random() < noise.copied)
            if chance.random() < noise.lower:
                text = text.lower()
            if chance.random() < noise.bare:
                text = text.rstrip(" .!?") or text
            texts.append(text)
            translations.append(translation)
        sources = encode_sources(self.tokenizer, texts, [(p.source, p.target) for p in pairs])
        targets = encode(self.tokenizer, translations)
        examples = list(zip(sources, targets, strict=True))
        return [example for example in examples if max(map(len, example)) <= self.max_tokens]

    def _batches(self, examples: list, chance: random.Random) -> list[list]:
        """Neighbours in length, `batch_tokens` target (or source) tokens a batch, in random order."""
        chance.shuffle(examples)  # those of equal lengths meet others each time
        lengths = [(len(source), len(target)) for source, target in examples]
        batches = [[examples[n] for n in batch] for batch in batches_by_length(lengths, None, self.batch_tokens)]
        chance.shuffle(batches)
        return batches
