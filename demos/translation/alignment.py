"""Which source word each target word came from: attention of pieces, put together to words."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Alignment:
    """Which source words each target word was made from."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    weights: np.ndarray = field(repr=False, compare=False)  # (target words, source words), rows sum to at most 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"source": self.source, "target": self.target, "weights": self.weights.round(3).tolist()}


def align(source: list[str], target: list[str], weights: np.ndarray) -> Alignment:
    """(T, S) attention of target pieces over source pieces -> the same word by word.

    Weights are added over the pieces of a source word and averaged over those of a target word.
    """
    columns, rows = group_words(source), group_words(target)
    by_word = np.stack([weights[:, where].sum(1) for _, where in columns], 1) if columns else weights[:, :0]
    merged = np.stack([by_word[where].mean(0) for _, where in rows]) if rows else by_word[:0]
    return Alignment(tuple(word for word, _ in columns), tuple(word for word, _ in rows), merged)


def group_words(pieces: list[str]) -> list[tuple[str, list[int]]]:
    """Words and the places of their pieces. Punctuation stands alone, but for apostrophe and hyphen within a word."""
    words: list[tuple[str, list[int]]] = []
    after_sign = True
    for place, piece in enumerate(pieces):
        text, starts = piece.lstrip("▁"), piece.startswith("▁")
        sign = bool(text) and not any(c.isalnum() for c in text) and text not in "'-"
        if words and not words[-1][0]:
            words[-1] = (text, [*words[-1][1], place])  # "▁" alone before this piece
        elif starts or sign or after_sign:
            words.append((text, [place]))
        else:
            words[-1] = (words[-1][0] + text, [*words[-1][1], place])
        after_sign = sign
    return words
