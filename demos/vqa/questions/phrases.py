"""Noun phrases and simple clauses in captions, found with word lists: "two brown dogs", "a man riding a horse"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from demos.vqa.questions.lexicon import (
    ADJECTIVES,
    COLOURS,
    DETERMINERS,
    GROUP,
    LONGEST_NAME,
    NOT_VERBS,
    NUMBERS,
    PLURAL_PEOPLE,
    SURFACE,
    words,
)

PREPOSITIONS = words("""
    in on at near by under behind beside above over inside of with to from through across along against around
    between onto into beneath next outside while up down off for toward towards during among and or as who
    that which is are was were has have can
""")
_COUPLE = re.compile(r"\ba couple (of )?(?=\w+s\b|people|men|women|children)")
_WORD = re.compile(r"[a-z0-9]+(?:['’-][a-z0-9]+)*")


@dataclass(frozen=True)
class NounPhrase:
    """A thing that a caption names: words[start:end]."""

    start: int
    end: int
    noun: str  # singular: "fire truck"
    plural: bool
    number: int | None  # as the caption says it; None where it does not
    colours: tuple[str, ...]

    @property
    def group(self) -> str:
        """What kind of thing it is."""
        return GROUP[self.noun]


@dataclass(frozen=True)
class Clause:
    """Something a thing does: "a man riding a horse" -> man, riding, horse."""

    subject: NounPhrase
    verb: str  # "riding"; "" for "a cat on a chair"
    preposition: str  # "on"; "" before a direct object or the end
    target: NounPhrase | None


@dataclass(frozen=True)
class Parse:
    """One caption, read."""

    words: tuple[str, ...]
    phrases: tuple[NounPhrase, ...]
    mentioned: frozenset[str]  # all nouns in it, also those inside of other names


@lru_cache(maxsize=100_000)
def parse(caption: str) -> Parse:
    """Find the noun phrases of a caption."""
    words = tuple(_WORD.findall(_COUPLE.sub("two ", caption.lower().replace("grey", "gray"))))
    phrases, mentioned, place = [], set(), 0
    while place < len(words):
        found = _noun_at(words, place)
        if not found:
            place += 1
            continue
        end = place
        while found:  # "train station clock": the last of a chain of nouns is what it is about
            noun, many, end = found
            mentioned.add(noun)
            found = _noun_at(words, end)
        if _ends_here(words, end):
            phrases.append(_phrase(words, place, end, noun, many))
        place = end
    return Parse(words, tuple(p for p in phrases if p), frozenset(mentioned))


def clauses(parsed: Parse) -> Iterator[Clause]:
    """Subject, verb and object (or place) wherever they stand side by side."""
    starts = {phrase.start: phrase for phrase in parsed.phrases}
    for subject in parsed.phrases:
        place = subject.end
        if parsed.words[place : place + 1] in (("is",), ("are",)):
            place += 1
        verb = parsed.words[place] if place < len(parsed.words) and is_verb(parsed.words[place]) else ""
        place += bool(verb)
        preposition = ""
        if parsed.words[place : place + 1] and parsed.words[place] in ("on", "in", "at", "with", "inside", "under"):
            preposition = parsed.words[place]
            place += 1
        target = starts.get(place)
        if verb or (preposition and target):
            yield Clause(subject, verb, preposition, target)


def is_verb(word: str) -> bool:
    """Whether a word is a present participle ("riding") as far as its form tells."""
    return len(word) > 4 and word.endswith("ing") and word not in NOT_VERBS


def _noun_at(words: tuple[str, ...], place: int) -> tuple[str, bool, int] | None:
    """(noun, plural, its end) of the longest name that begins here."""
    for length in range(min(LONGEST_NAME, len(words) - place), 0, -1):
        if found := SURFACE.get(" ".join(words[place : place + length])):
            if found[0] == "orange" and words[place + 1 : place + 2] and _is_colour(words, place + 1):
                return None
            return (*found, place + length)
    return None


def _is_colour(words: tuple[str, ...], after: int) -> bool:
    """Whether the "orange" before words[after] is the colour: "an orange cat", "orange and white"."""
    if words[after] == "and":
        return words[after + 1 : after + 2] and words[after + 1] in COLOURS
    return words[after] not in PREPOSITIONS


def _ends_here(words: tuple[str, ...], end: int) -> bool:
    """Whether the name is over: an unknown word after it may belong to it ("a dog sled")."""
    if end == len(words):
        return True
    word = words[end]
    return (
        word in PREPOSITIONS or word in DETERMINERS or word in NUMBERS or is_verb(word) or word.endswith(("ed", "ly"))
    )


def _phrase(words: tuple[str, ...], start: int, end: int, noun: str, many: bool) -> NounPhrase | None:
    """Take in the adjectives and the number before the noun. None after a word that could change what it means."""
    colours: list[str] = []
    number = None
    while start and (words[start - 1] in ADJECTIVES or words[start - 1] in COLOURS or words[start - 1] == "and"):
        if words[start - 1] == "and" and not (colours and start > 1 and words[start - 2] in COLOURS):
            break
        start -= 1
        if words[start] in COLOURS:
            colours.insert(0, words[start])
    if start and words[start - 1] in NUMBERS:
        start -= 1
        number = NUMBERS[words[start]]
    elif start and words[start - 1] in ("a", "an", "one") and not many:
        number = 1
    if start and words[start - 1] in DETERMINERS:
        start -= 1
    before = words[start - 1] if start else ""
    if before and not (before in PREPOSITIONS or is_verb(before) or before in DETERMINERS or before.endswith("ed")):
        many_or_verb = before.endswith("s") or before in ("there", "photo", "then", "it", "his", "her", "one")
        if not many_or_verb:
            return None
    return NounPhrase(start, end, noun, many or (number or 1) > 1 or noun in PLURAL_PEOPLE, number, tuple(colours))
