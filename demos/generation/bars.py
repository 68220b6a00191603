"""The bars of a folk tune in ABC tokens, read one token at a time: how full each is and whether it adds up.

    G 2 A /2 B /2 | c > d (3 e f g [ C E ] 2 :|

A length stands after its note, a dot's pair of notes has > or < between them, (3 is a triplet. All values are in
eighths, the unit that the corpus writes its notes in.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

METER = re.compile(r"M:(\d+)/(\d+)")
_TOKEN = re.compile(r"\S+")
_NOTE = re.compile(r"(?:\^\^?|__?|=)?[A-Ga-g][,']*$|[zx]$")
_LENGTH = re.compile(r"(?=\d|/)(\d*(?:/\d*)*)([<>]?)$")
_BAR_LINE = re.compile(r"[:|\[\]]*\|[:|\]\d]*$|\|?:+\|?$|::$")
_TUPLETS = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}  # (p: p notes in the time of so many; any other p in the time of 2


def kind_of(token: str) -> str:
    """ "note", "length", "dot" (broken rhythm), "tuplet", "[", "]", "bar line", or "" for anything else."""
    if token in ("[", "]"):
        return token
    if token in ("<", ">"):
        return "dot"
    for kind, pattern in (("bar line", _BAR_LINE), ("note", _NOTE), ("length", _LENGTH)):
        if pattern.match(token):
            return kind
    return "tuplet" if token.startswith("(") and token[1:2] in "23456789" and len(token) == 2 else ""


def length_of(token: str) -> Fraction:
    """ "3" -> 3, "/2" -> 1/2, "3/2" -> 3/2, "/" -> 1/2, "2>" -> 2"""
    top, *rest = token.rstrip("<>").split("/")
    value = Fraction(int(top or 1))
    for part in rest:
        value /= int(part or 2) or 1
    return value


def full_bar(meter: str) -> Fraction | None:
    """Eighths of a bar of "M:6/8"; None where there is no such field."""
    found = METER.search(meter)
    return Fraction(8 * int(found[1]), int(found[2])) if found and int(found[1]) and int(found[2]) else None


class Bar(NamedTuple):
    """A bar as far as it was read."""

    full: Fraction
    filled: Fraction = Fraction(0)  # the sum of its notes
    value: Fraction = Fraction(0)  # of the last note, contained in `filled`
    unit: Fraction = Fraction(0)  # what a length would multiply; 0: no length may follow
    left: int = 0  # notes that the tuplet still lacks
    factor: Fraction = Fraction(1)  # of their values
    chord: int = -1  # notes of the chord that is open; -1: none is
    waiting: bool = False  # after > or <, for the second note of the pair
    wanted: Fraction = Fraction(0)  # the written value that the second note must share with the first
    starts: bool = True  # whether a part starts here, so that the bar may be a pick-up
    after: str = ""  # the bar line just before, while nothing else was read

    def read(self, token: str) -> "Bar":
        """The bar after a token, or the next one after a bar line. What is no music changes nothing."""
        kind = kind_of(token)
        if kind == "bar line":
            starts = ends_part(token) or (self.starts and not self.filled)
            return Bar(self.full, starts=starts, after=token)
        bar = self._replace(after="")
        if kind == "tuplet":
            left = int(token[1])
            return bar._replace(left=left, factor=Fraction(_TUPLETS.get(left, 2), left), unit=Fraction(0))
        if kind == "[":
            return bar._replace(chord=0, unit=Fraction(0))
        if kind == "]" and self.chord >= 0:
            return bar._replace(chord=-1, unit=self.value)
        if kind == "note" and self.chord > 0:  # a chord is as long as its first note
            return bar._replace(chord=self.chord + 1, unit=Fraction(0))
        if kind == "note":
            unit = self.factor if self.left else Fraction(1)
            return bar._replace(
                filled=self.filled + unit, value=unit, unit=unit, left=max(0, self.left - 1),
                chord=min(1, 2 * self.chord + 1),  # -1 without a chord, 1 for its first note
                waiting=False, wanted=self.wanted if self.waiting else Fraction(0),
            )  # fmt: skip
        if kind == "length" and self.unit:
            value = self.unit * length_of(token)
            bar = bar._replace(filled=self.filled - self.value + value, value=value, unit=Fraction(0))
            return bar.read(token[-1]) if token[-1] in "<>" else bar
        if kind == "dot" and self.value:
            return bar._replace(waiting=True, wanted=self.value, unit=Fraction(0))
        return bar

    def fits(self, ends: bool) -> bool:
        """Whether it may be closed: it is full or empty, or a pick-up at the start or end of a part."""
        return self.filled in (0, self.full) or (self.filled < self.full and (self.starts or ends))


def ends_part(bar_line: str) -> bool:
    """Whether a bar line ends a part of the tune: a repeat, or a double line."""
    return ":" in bar_line or "]" in bar_line or "||" in bar_line


@dataclass(frozen=True)
class BarReport:
    """What is to be said of a tune's bars."""

    bars: int
    wrong: int  # bars that are neither full nor, at the start or end of a part, a pick-up

    @property
    def complete(self) -> bool:
        """Whether there are bars, and all of them add up."""
        return self.bars > 0 and not self.wrong


def check_bars(tune: str) -> BarReport:
    """Add up every bar against the meter. The first and last bars of a part, and of the tune, may be pick-ups."""
    full = full_bar(tune)
    if full is None:
        return BarReport(0, 0)
    music = "\n".join(line for line in tune.split("\n") if not re.match(r"\s*[A-Z]:", line))
    bar, closed = Bar(full), []  # the bars that hold anything, and whether a part ends with them
    for token in _TOKEN.findall(music):
        if kind_of(token) == "bar line" and bar.filled:
            closed.append((bar, ends_part(token)))
        bar = bar.read(token)
    if bar.filled:
        closed.append((bar, True))
    last = len(closed) - 1
    return BarReport(len(closed), sum(not bar.fits(ends or n == last) for n, (bar, ends) in enumerate(closed)))
