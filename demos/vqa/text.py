"""Questions as people type them -> tokens that the network knows: spelling, contractions, unknown words."""

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache

from transformers import PreTrainedTokenizerFast

from core.errors import InputError
from core.input.text import clean_text
from core.input.tokenizers import UNK, encode

MAX_QUESTION = 10_000  # characters that are accepted at all
MAX_WORDS = 24  # that are read; questions people ask have 6 on average, and 99 % at most 15
MAX_CHOICE = 200  # characters of an answer to choose from

_SPELLINGS = (
    (re.compile(r"\bcolour"), "color"),
    (re.compile(r"\bgrey"), "gray"),
    (re.compile(r"’"), "'"),
    (re.compile(r"\b(what|who|where|how|that|it|there|he|she)'s\b"), r"\1 is"),
    (re.compile(r"\b(is|are|was|were|do|does|did|can|could|would|has|have)n't\b"), r"\1"),  # a "no" stays a "no"
    (re.compile(r"_"), " "),
)
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
}
_ENDINGS = (
    ("ies", "y"),
    ("es", ""),
    ("s", ""),
    ("ing", ""),
    ("ing", "e"),
    ("ed", ""),
    ("ed", "e"),
    ("er", ""),
    ("ly", ""),
)


def normalise(text: str) -> str:
    """Lower case, American spelling, no contractions."""
    text = text.lower()
    for pattern, replacement in _SPELLINGS:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def normalise_answer(text: str) -> str:
    """An answer in the form that is trained on and compared: "A Garbage_bin, Sofa" -> "garbage bin and sofa"."""
    parts = [normalise(part) for part in text.split(",")]
    words = " and ".join(part for part in parts if part).strip(" .!").split()
    words = words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words
    return " ".join(_NUMBERS.get(word, word) for word in words) if len(words) == 1 else " ".join(words)


@dataclass(frozen=True)
class ParsedText:
    """A text in the tokens that the network knows."""

    ids: tuple[int, ...]  # without <bos> and <eos>
    read_as: dict[str, str]  # words that it does not know: the ones it takes them for
    unknown: tuple[str, ...]  # words for which it has nothing


class QuestionParser:
    """Texts -> token ids. A word that the vocabulary lacks is read as its singular or stem, else as the word spelt most
    like it, else as <unk>, which training prepared the network for (word dropout)."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.tokenizer = tokenizer
        self.vocabulary = frozenset(tokenizer.get_vocab())
        self._nearest = lru_cache(maxsize=4096)(self._find_nearest)

    def question(self, text: object) -> ParsedText:
        """Read a visitor's question. Raises InputError when there is no word in it, or it is far too long."""
        read = self._read(normalise(clean_text(text, MAX_QUESTION, "question")))
        if not read.ids:
            raise InputError("There is no word in the question: ask in English, for example “What color is the bus?”")
        if all(token == UNK for token in read.ids):
            raise InputError("None of these words is known: ask in English, for example “What color is the bus?”")
        return ParsedText(read.ids[:MAX_WORDS], read.read_as, read.unknown)

    def answer(self, text: object) -> ParsedText:
        """Read an answer that a visitor offers. Raises InputError when there is no word in it."""
        read = self._read(normalise_answer(clean_text(text, MAX_CHOICE, "choice")))
        if not read.ids:
            raise InputError(f"There is no word in the choice {str(text)!r}: write each choice in English.")
        return ParsedText(read.ids[:MAX_WORDS], read.read_as, read.unknown)

    def _read(self, text: str) -> ParsedText:
        backend = self.tokenizer.backend_tokenizer
        normal = backend.normalizer.normalize_str(text)
        words, read_as, unknown = [], {}, []
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal)[: 4 * MAX_WORDS]:
            known = [word] if word in self.vocabulary else self._nearest(word)
            if not known:
                unknown.append(word)
            elif known != [word]:
                read_as[word] = " ".join(known)
            words += known or ["<unk>"]
        ids = tuple(self.tokenizer.convert_tokens_to_ids(words)) if words else ()
        return ParsedText(ids, read_as, tuple(unknown))

    def _find_nearest(self, word: str) -> list[str]:
        for ending, instead in _ENDINGS:
            if word.endswith(ending) and len(word) > len(ending) + 2:
                stem = word.removesuffix(ending)
                for candidate in (stem + instead, stem[:-1] if stem[-1:] == stem[-2:-1] else ""):
                    if candidate in self.vocabulary:
                        return [candidate]
        if word + "s" in self.vocabulary:
            return [word + "s"]
        parts = [part for part in re.split("['-]", word) if part in self.vocabulary]
        if len(parts) > 1 or (parts and parts[0] != word):
            return parts
        for cut in range(3, len(word) - 2):  # "surfboarder" is no compound, "teddybear" is
            if word[:cut] in self.vocabulary and word[cut:] in self.vocabulary:
                return [word[:cut], word[cut:]]
        if len(word) < 5 or len(word) > 30 or not word.isascii():
            return []
        return difflib.get_close_matches(word, self.vocabulary, n=1, cutoff=0.83)


def mirrored_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[int, int]:
    """What tokens become in what is said of a photo's mirror image: left is right, right is left."""
    left, right = tokenizer.convert_tokens_to_ids(["left", "right"])
    return {left: right, right: left}


def training_ids(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    """Token ids of normalised texts without <bos> and <eos>; words outside the vocabulary are <unk>."""
    return [ids[1:-1] for ids in encode(tokenizer, texts, MAX_WORDS)]
