"""HTML in a text. The network never sees it; its attention says where each tag belongs in the translation.

A target word stands in every element that most of its attention lay in, so that what is bold stays bold wherever the
word order puts it, and the tags of the result are always nested.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from itertools import accumulate, takewhile

import numpy as np

from demos.translation.alignment import Alignment


@dataclass(frozen=True)
class Element:
    """Tags and what they enclose; places count the characters of the text before them, without spaces."""

    opening: str
    closing: str  # "" for a tag without a partner
    start: int
    end: int


@dataclass(frozen=True)
class _Tag:
    start: int  # place of its first character in the text
    end: int  # and of the character after it
    name: str  # lower case
    closes: bool


class _Tags(HTMLParser):
    """The tags of one line. Comments, entities and what no tag is stay text."""

    CDATA_CONTENT_ELEMENTS = ()  # what a <script> holds is text like any other

    def __init__(self, line: str):
        super().__init__()
        self.line, self.found = line, []
        try:
            self.feed(line)  # not close(): it would read an unfinished tag at the end again and again
        except AssertionError:  # "<![" and nothing that Python's parser knows: the rest is text
            return

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self._keep(len(self.get_starttag_text()), tag, closes=False)

    def handle_endtag(self, tag: str) -> None:
        start = self.getpos()[1]
        if self.line.startswith("</", start):  # for "<br/>" it is called, too
            self._keep(self.line.index(">", start) + 1 - start, tag, closes=True)

    def _keep(self, length: int, name: str, closes: bool) -> None:
        start = self.getpos()[1]
        self.found.append(_Tag(start, start + length, name, closes))


def take_out(text: str) -> tuple[str, tuple[Element, ...]]:
    """The text without its tags, on one line, and the tags, the outer before the inner. In linear time."""
    text = " ".join(text.split())
    parts, last, count, end = [], "", 0, 0  # last: character so far; count: of them all, without spaces
    elements: list[Element] = []
    open_: list[tuple[str, int]] = []  # names, and the places of their elements in the list
    names: Counter[str] = Counter()  # of those
    for tag in _Tags(text).found if "<" in text else ():
        before = text[end : tag.start]
        parts.append(before)
        last = before[-1:] or last
        count += len(before) - before.count(" ")
        end = tag.end
        if last.isalnum() and text[end : end + 1].isalnum():
            parts.append(last := " ")  # "one<br>two" is no word
        whole = text[tag.start : end]
        if tag.closes and names[tag.name]:
            name = None
            while name != tag.name:  # what was opened since then and never closed stays alone
                name, number = open_.pop()
                names[name] -= 1
            elements[number] = replace(elements[number], closing=whole, end=count)
        else:
            if not tag.closes:
                open_.append((tag.name, len(elements)))
                names[tag.name] += 1
            elements.append(Element(whole, "", count, count))
    return " ".join("".join([*parts, text[end:]]).split()), tuple(elements)


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
    alone = [e for e in elements if not (e.start < e.end and places)]
    stacks = _enclosed(around, alignment, ends)
    inserts: list[tuple[int, str]] = []
    before: list[Element] = []
    for place, stack in zip([*places, (len(text), len(text))], [*stacks, []], strict=True):
        shared = len(list(takewhile(lambda pair: pair[0] is pair[1], zip(before, stack, strict=False))))
        inserts += [(at, e.closing) for e in reversed(before[shared:])]
        inserts += [(place[0], e.opening) for e in stack[shared:]]
        before, at = stack, place[1]
    inserts += [(_lone_place(e, alignment, ends, places, len(text)), e.opening + e.closing) for e in alone]
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
