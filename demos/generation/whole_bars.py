"""Sampling held to a form: which pieces may come next in a folk tune, so that every bar adds up to its meter.

The corpus states a tune's meter before its notes, and the notes' values are in the tokens. A piece is allowed when the
bar can still be filled exactly after it: no note that overflows the bar, no bar line while it is short, no triplet
broken off. Pick-ups, repeats and first and second endings stay possible. The network chooses among what is allowed by
its own probabilities.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from demos.generation.bars import Bar, ends_part, full_bar, kind_of, length_of

_FIELD = re.compile(r"[A-Z]:")
_CHORD = 4  # notes at most
_FIRST = ("|", "|:")  # what a tune may begin with
_AFTER_REPEAT = ("|2", "|:")  # what may follow ":|" at once; no other bar lines come together


class Place(NamedTuple):
    """Where a text has come to."""

    bar: Bar | None = None  # None: outside a tune, or in one without a meter
    at: str = "line"  # "line" start, in a "field", in the "music", at its "end", on the line "under" it


class WholeBars:
    """The state machine over a vocabulary's pieces. Holds no state itself: a Place goes in and comes out."""

    def __init__(self, vocabulary: Sequence[str]):
        self.size = len(vocabulary)
        self.line_ends = [n for n, piece in enumerate(vocabulary) if piece == "\n"]
        self.fields = [n for n, piece in enumerate(vocabulary) if _FIELD.match(piece) or piece == " "]
        self.music = [(n, piece) for n, piece in enumerate(vocabulary) if kind_of(piece.strip())]
        tokens = {piece.strip() for piece in vocabulary if piece.endswith(" ")}  # others are of other corpora
        lengths = {length_of(token) for token in tokens if kind_of(token) == "length"}
        self.lengths = tuple(sorted({Fraction(1), *lengths} - {0}))
        self.allowed = lru_cache(maxsize=20_000)(self._allowed)
        self._fills = lru_cache(maxsize=20_000)(self._fill)

    def read(self, place: Place, piece: str) -> Place:
        """The place after a piece."""
        token = piece.strip()
        if piece == "\n":
            return (
                Place() if place.at in ("line", "under") else Place(place.bar, "line" if self._bare(place) else "under")
            )
        if not token:
            return place
        if place.at in ("line", "field") and _FIELD.match(token):
            full = full_bar(token)
            return Place(Bar(full) if full else place.bar, "field")
        return Place(place.bar and place.bar.read(token), "music" if piece.endswith(" ") else "end")

    @staticmethod
    def _bare(place: Place) -> bool:
        """Whether the line that ends here is one of the header's."""
        return place.bar is None or place.at == "field"

    def _allowed(self, place: Place) -> np.ndarray | None:
        """(V,) which pieces may follow; None where all may: outside the music, or where a bar is past saving."""
        bar = place.bar
        if bar is None or place.at == "field" or not self._possible(bar):
            return None
        mask = np.zeros(self.size, dtype=bool)
        if place.at in ("end", "under"):  # of the music: a blank line follows
            mask[self.line_ends] = True
        else:
            mask[self.fields] = place.at == "line"
            mask[[number for number, piece in self.music if self._may(bar, piece)]] = True
        return mask if mask.any() else None

    def _may(self, bar: Bar, piece: str) -> bool:
        """Whether a piece of music keeps the bar possible. One without a space after it ends the tune."""
        token, last = piece.strip(), not piece.endswith(" ")
        kind = kind_of(token)
        whole, then = self._settled(bar), bar.read(token)
        if kind == "bar line" and "|" in token:
            if not bar.filled:
                return not last and (token in _AFTER_REPEAT if bar.after == ":|" else token in _FIRST and not bar.after)
            return whole and not bar.left and bar.fits(ends_part(token) or last)
        if last:
            return False
        if kind == "note":
            return (bar.chord < _CHORD if bar.chord >= 0 else whole or bar.waiting) and self._possible(then)
        if kind == "length":
            return bar.chord < 0 < bar.unit and (self._possible(then) if then.waiting else self._settled(then))
        if kind == "]":
            return bar.chord > 1 and self._possible(then)
        if kind in ("dot", "tuplet", "["):
            free = kind == "dot" or not bar.left
            return whole and free and then != bar and self._possible(then)
        return False

    def _settled(self, bar: Bar) -> bool:
        """Whether the rest of the bar can be filled with the last note as it is."""
        if bar.chord >= 0 or bar.waiting or (bar.wanted and bar.wanted != bar.value):
            return False
        return self._fills(bar.full - bar.filled, bar.left, bar.factor)

    def _possible(self, bar: Bar) -> bool:
        """Whether the bar can be filled at all: after the open chord, the pair's second note, or a length."""
        room = bar.full - bar.filled
        if bar.chord == 0 or bar.waiting:
            unit = bar.factor if bar.left else Fraction(1)
            values = [unit * length for length in self.lengths if not bar.waiting or unit * length == bar.wanted]
            return any(self._fills(room - value, max(0, bar.left - 1), bar.factor) for value in values)
        if self._settled(bar._replace(chord=-1)):
            return True
        values = (bar.unit * length for length in self.lengths if bar.unit)
        return any(
            self._fills(room + bar.value - value, bar.left, bar.factor) for value in values if bar.wanted in (0, value)
        )

    def _fill(self, room: Fraction, left: int, factor: Fraction) -> bool:
        """Whether notes of the known lengths can fill the room exactly, the first `left` of them in a tuplet."""
        if room < 0:
            return False
        if left:
            return any(self._fills(room - factor * length, left - 1, factor) for length in self.lengths)
        return not room or any(self._fills(room - length, 0, Fraction(1)) for length in self.lengths)
