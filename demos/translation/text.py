"""From what somebody typed to what the network reads: sentences, and words that are copied rather than translated."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from transformers import PreTrainedTokenizerFast

from demos.translation.data import COPY, normalise
from demos.translation.markup import Element, take_out

MAX_WORDS = 50  # of a sentence; longer ones are cut, at a comma where there is one
LONGEST_WORD = 45  # letters; what is longer is no word of these languages

_END = re.compile(r"""(?<=[.!?…])(["'“”»)\]]*)\s+(?=[^\w\s]*[^\Wa-z_])""")
_ABBREVIATION = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Mme|Mlle|Hr|Fr|Nr|No|vs|bzw|ca|[A-Z]|[a-z]\.[a-z]|z\.B)\.$", re.I
)
_LONGEST_ABBREVIATION = 6  # characters, with the full stop and the space before it
_WORD = re.compile(
    r"https?://\S*\w|(?<!\S)\S[^\s@]*@\S+\w"  # addresses; those with @ begin after a space, or all of it is read often
    r"|\d+(?:[.,:]\d+)+"  # 1,250 and 7:30
    r"|\w(?:[\w'-]*\w)?"
    r"|[^\w\s]+"
)


@dataclass(frozen=True)
class Source:
    """A sentence as the network reads it."""

    text: str  # with COPY for each word that is to be copied
    copied: tuple[str, ...]  # those words, in order
    elements: tuple[Element, ...] = ()  # HTML that stood in the sentence

    @property
    def only_copies(self) -> bool:
        """Whether there is nothing to translate."""
        return not any(c.isalpha() for c in self.text.replace(COPY, ""))


def split_sentences(line: str) -> list[str]:
    """The sentences of a line, none longer than MAX_WORDS words. None for a blank line."""
    sentences, start = [], 0
    for end in _END.finditer(line):
        last = end.end(1)
        if not _ABBREVIATION.search(line, max(start, last - _LONGEST_ABBREVIATION), last):
            sentences.append(line[start:last])
            start = end.end()
    sentences.append(line[start:])
    return [part for sentence in sentences for part in _cut(sentence.split())]


def _cut(words: Sequence[str]) -> list[str]:
    """At most MAX_WORDS words at a time; cut after a comma in the second half where there is one."""
    parts = []
    while len(words) > MAX_WORDS:
        places = [n for n in range(MAX_WORDS // 2, MAX_WORDS) if words[n][-1] in ",;:"]
        end = places[-1] + 1 if places else MAX_WORDS
        parts.append(" ".join(words[:end]))
        words = words[end:]
    return [*parts, " ".join(words)] if words else parts


def alphabet_of(tokenizer: PreTrainedTokenizerFast) -> frozenset[str]:
    """The characters that a tokenizer knows."""
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return frozenset(piece for piece in pieces if len(piece) == 1) - {COPY}


def prepare(
    sentence: str,
    language: str,
    alphabet: frozenset[str],
    pieces: Callable[[str], int],
    known: frozenset[str] = frozenset(),
) -> Source:
    """Normalise a sentence, take its HTML out and put COPY in place of what the network cannot know.

    alphabet: the characters that the tokenizer knows; pieces: into how many tokens it cuts a word; known: words
    (casefolded) that the network can translate, however they look. Capitals throughout become lower case: the
    network's words are not spelt so.
    """
    text, elements = take_out(normalise(sentence))
    if text.isupper() and sum(map(str.isalpha, text)) > 4:
        text = text.capitalize()
    copied: list[str] = []

    def replace(match: re.Match) -> str:
        word = match[0]
        if word[0].isalnum():
            # German spells every noun with a capital
            name = language != "de" and match.start() and word[0].isupper()
            name = name and (len(word) > LONGEST_WORD or pieces(word) > 2)
            if word.casefold() in known or not (name or _is_foreign(word, alphabet, pieces)):
                return word
            copied.append(word)
            return COPY
        parts = []  # punctuation stays, other signs are copied
        for plain, signs in groupby(word, key=alphabet.__contains__):
            run = "".join(signs)
            parts.append(run if plain else COPY)
            copied.extend([] if plain else [run])
        return "".join(parts)

    return Source(_WORD.sub(replace, text), tuple(copied), elements)


def _is_foreign(word: str, alphabet: frozenset[str], pieces: Callable[[str], int]) -> bool:
    """Whether a word is better copied: an address, a long number, letters or a spelling never seen in training."""
    if len(word) > LONGEST_WORD or not set(word) <= alphabet or "://" in word or "@" in word:
        return True
    digits = sum(map(str.isdigit, word))
    if digits:
        return digits > 2 or digits < len(word)
    parts = re.split(r"['-]", word)  # the tokenizer cuts "J'ai" and "vas-tu" there, which makes nobody's name of them
    return any(len(part) > 3 and pieces(part) > len(part) / 2 for part in parts)
