"""Units that track something one can name: quotes, brackets, the place in the line (Karpathy et al. 2015).

A unit is chosen by its correlation with a signal over the first half of a text and scored on the second.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SHORTEST = 120  # characters


@dataclass(frozen=True)
class Unit:
    """The unit that follows a signal best."""

    signal: str
    number: int  # layer * H + unit
    score: float  # |correlation| on the second half of the text
    values: np.ndarray  # (T,) tanh of its cell, turned so that it grows with the signal


def _inside(opening: str, closing: str) -> Callable[[str], list[float]]:
    def signal(text: str) -> list[float]:
        depth, depths = 0, []
        for c in text:
            if opening == closing:
                depth = (1 - depth) if c == opening else depth
            else:
                depth = max(0, depth + (c in opening) - (c in closing))
            depths.append(float(min(depth, 3)))
        return depths

    return signal


def _column(text: str) -> list[float]:
    columns, column = [], 0
    for c in text:
        column = 0 if c == "\n" else column + 1
        columns.append(float(min(column, 80)))
    return columns


SIGNALS: dict[str, Callable[[str], list[float]]] = {
    "place in the line": _column,
    "inside quotation marks": _inside('"', '"'),
    "inside round brackets": _inside("(", ")"),
    "inside curly brackets": _inside("{", "}"),
    "inside $ ... $": _inside("$", "$"),
    "inside a comment": lambda text: _inside("\1", "\2")(text.replace("/*", " \1").replace("*/", " \2")),
    "capital letter": lambda text: [float(c.isupper()) for c in text],
}


def best_units(text: str, cells: np.ndarray) -> list[Unit]:
    """The best unit for each signal that varies in both halves of a text, best score first. cells: (T, units)."""
    found = []
    half = len(text) // 2
    for name, signal in SIGNALS.items():
        wanted = np.array(signal(text), dtype=np.float32)
        if len(text) < SHORTEST or min(wanted[:half].std(), wanted[half:].std()) < 1e-3:
            continue
        first = correlation(cells[:half], wanted[:half])
        number = int(np.abs(first).argmax())
        score = correlation(cells[half:, [number]], wanted[half:])[0] * np.sign(first[number])
        found.append(Unit(name, number, float(score), cells[:, number] * np.sign(first[number])))
    return sorted(found, key=lambda unit: -unit.score)


def correlation(cells: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(T, units) and (T,) -> Pearson's correlation of each unit."""
    cells, wanted = cells - cells.mean(0), wanted - wanted.mean()
    norms = np.sqrt((cells**2).sum(0) * (wanted**2).sum())
    return (wanted @ cells) / np.maximum(norms, 1e-9)
