"""HTML in a text. The network never sees it; its attention says where each tag belongs in the translation.

A target word stands in every element that most of its attention lay in, so that what is bold stays bold wherever the
word order puts it, and the tags of the result are always nested.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile

import numpy as np

from demos.translation.alignment import Alignment

_TAG = re.compile(r"<(/?)([a-zA-Z][^\s<>/]*)[^<>]*>")


@dataclass(frozen=True)
class Element:
    """Tags and what they enclose; places count the characters of the text before them, without spaces."""

    opening: str
    closing: str  # "" for a tag without a partner
    start: int
    end: int


def take_out(text: str) -> tuple[str, tuple[Element, ...]]:
    """The text without its tags, and the tags, the outer before the inner."""
    plain, end, open_, elements = "", 0, [], []
    for match in _TAG.finditer(text):
        before = text[end : match.start()]
        plain += before
        end = match.end()
        if plain[-1:].isalnum() and text[end : end + 1].isalnum():
            plain += " "  # "one<br>two" is no word
        place, (tag, closes, name) = _count(plain), match.group(0, 1, 2)
        partner = next((n for n in reversed(range(len(open_))) if closes and open_[n][0] == name), None)
        if partner is None:
            elements.append(Element(tag, "", place, place))
            open_ += [] if closes else [(name, len(elements) - 1)]
        else:
            number = open_[partner][1]
            elements[number] = Element(elements[number].opening, tag, elements[number].start, place)
            open_ = open_[:partner]
    return " ".join((plain + text[end:]).split()), tuple(elements)


def put_back(text: str, elements: Sequence[Element], alignment: Alignment) -> str:
    """The translation with the tags of its source; `text` is written with the alignment's target words."""
    if not elements:
        return text
    ends = list(accumulate(map(len, alignment.source)))
    places, at = [], 0  # of the target words in the text
    for word in alignment.target:
        at = max(at, text.find(word, at))
        places.append((at, min(at + len(word), len(text))))
        at = places[-1][1]
    around = [e for e in elements if e.start < e.end and places]
    stacks = _enclosed(around, alignment, ends)
    inserts: list[tuple[int, str]] = []
    before: list[Element] = []
    for place, stack in zip([*places, (len(text), len(text))], [*stacks, []], strict=True):
        shared = len(list(takewhile(lambda pair: pair[0] is pair[1], zip(before, stack, strict=False))))
        inserts += [(at, e.closing) for e in reversed(before[shared:])]
        inserts += [(place[0], e.opening) for e in stack[shared:]]
        before, at = stack, place[1]
    for e in elements:
        if e not in around:
            inserts.append((_lone_place(e, alignment, ends, places, len(text)), e.opening + e.closing))
    parts, done = [], 0
    for at, tag in sorted(inserts, key=lambda insert: insert[0]):
        parts += [text[done:at], tag]
        done = at
    return "".join([*parts, text[done:]])


def _enclosed(elements: list[Element], alignment: Alignment, ends: list[int]) -> list[list[Element]]:
    """For each target word the elements that most of its attention lay in; each element has a word at least."""
    if not elements:
        return [[] for _ in alignment.target]
    middles = np.array([end - len(word) / 2 for end, word in zip(ends, alignment.source, strict=True)])
    inside = np.array([(e.start < middles) & (middles < e.end) for e in elements])  # (elements, source words)
    share = alignment.weights @ inside.T / alignment.weights.sum(1, keepdims=True).clip(1e-6)
    chosen = share > 0.5
    chosen[share.argmax(0), range(len(elements))] = True
    return [[e for e, yes in zip(elements, row, strict=True) if yes] for row in chosen]


def _lone_place(e: Element, alignment: Alignment, ends: list[int], places: list[tuple[int, int]], length: int) -> int:
    """Before the target word that looks most at the source word after the tag."""
    following = next((n for n, end in enumerate(ends) if end > e.start), None)
    if following is None or not places:
        return length
    return places[int(alignment.weights[:, following].argmax())][0] if e.start else 0


def _count(text: str) -> int:
    return sum(not c.isspace() for c in text)
