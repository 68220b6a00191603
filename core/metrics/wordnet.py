"""WUPS (Malinowski & Fritz 2014): accuracy of answers that forgives near misses, by their distance in WordNet.

Reads WordNet's own noun files (Miller 1995), as Debian's package wordnet-base puts them into /usr/share/wordnet;
another folder is named by $WORDNET.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from core.errors import ModelError
from core.metrics.text import check_aligned

FOLDER = "/usr/share/wordnet"
FAR = 0.1  # what a similarity below the threshold is multiplied by


class WordNet:
    """The nouns of WordNet and what they are kinds of."""

    def __init__(self, folder: Path):
        self._synsets: dict[str, list[str]] = {}  # lemma: ids of its meanings
        self._hypernyms: dict[str, list[str]] = {}  # id: what it is a kind (or an instance) of
        for line in _lines(folder / "index.noun"):
            fields = line.split()
            self._synsets[fields[0]] = fields[-int(fields[2]) :]
        for line in _lines(folder / "data.noun"):
            self._hypernyms[line[:8]] = _pointers(line)
        self._irregular = dict(line.split()[:2] for line in _lines(folder / "noun.exc"))
        self.similarity = lru_cache(maxsize=100_000)(self._similarity)
        self._ancestors = lru_cache(maxsize=None)(self._find_ancestors)
        self._depth = lru_cache(maxsize=None)(self._find_depth)

    def synsets(self, noun: str) -> list[str]:
        """Ids of the meanings of a noun; a plural has those of its singular."""
        name = noun.lower().replace(" ", "_")
        forms = [name, self._irregular.get(name, "")]
        forms += [name[: -len(end)] + to for end, to in (("s", ""), ("es", ""), ("ies", "y")) if name.endswith(end)]
        return next((self._synsets[form] for form in forms if form in self._synsets), [])

    def _similarity(self, a: str, b: str) -> float:
        """Wu & Palmer's (1994) similarity of two nouns, from 0 to 1: that of their closest meanings."""
        if a == b:
            return 1.0
        return max((self._wup(x, y) for x in self.synsets(a) for y in self.synsets(b)), default=0.0)

    def _wup(self, x: str, y: str) -> float:
        up_x, up_y = self._ancestors(x), self._ancestors(y)
        common = up_x.keys() & up_y.keys()
        if not common:
            return 0.0
        meeting = max(common, key=lambda synset: (self._depth(synset), synset))
        depth = self._depth(meeting)
        return 2 * depth / (up_x[meeting] + up_y[meeting] + 2 * depth)

    def _find_ancestors(self, synset: str) -> dict[str, int]:
        """{id: steps up to it} of a meaning and all it is a kind of."""
        found, level = {synset: 0}, [synset]
        while level:
            level = [up for below in level for up in self._hypernyms[below] if up not in found]
            found |= dict.fromkeys(level, max(found.values()) + 1)
        return found

    def _find_depth(self, synset: str) -> int:
        """Number of meanings on the longest way from the root, which is at depth 1."""
        return 1 + max((self._depth(up) for up in self._hypernyms[synset]), default=0)


@lru_cache(maxsize=1)
def load_wordnet() -> WordNet:
    """WordNet from $WORDNET or Debian's folder. Raises ModelError where it is not installed."""
    folder = Path(os.environ.get("WORDNET") or FOLDER)
    if not (folder / "data.noun").exists():
        raise ModelError(f"WUPS needs WordNet, which is not in {folder}: run `apt-get install wordnet-base`.")
    return WordNet(folder)


def wups(
    answers: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    threshold: float,
    wordnet: WordNet | None = None,
) -> float:
    """Mean WUPS, from 0 to 1, of answers that are sets of words ("pillow, blanket").

    A similarity below the threshold counts a tenth: 0.9 is strict, 0.0 counts every similarity as it is.
    """
    check_aligned(answers, references)
    wordnet = wordnet or load_wordnet()

    def near(a: str, b: str) -> float:
        similarity = wordnet.similarity(a, b)
        return similarity if similarity >= threshold else FAR * similarity

    def covered(words: Sequence[str], by: Sequence[str]) -> float:
        product = 1.0
        for word in words:
            product *= max((near(word, other) for other in by), default=0.0)
        return product

    scores = [min(covered(a, r), covered(r, a)) for a, r in zip(answers, references, strict=True)]
    return sum(scores) / len(scores)


def _lines(file: Path) -> list[str]:
    """Without the licence at the head, whose lines begin with a space."""
    return [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith(" ")]


def _pointers(line: str) -> list[str]:
    """Hypernyms in a line of data.noun: id, file, type, number of words, words with a digit each, pointers."""
    fields = line.partition(" | ")[0].split()
    start = 4 + 2 * int(fields[3], 16)
    pointers = fields[start + 1 : start + 1 + 4 * int(fields[start])]
    return [
        pointers[n + 1] for n in range(0, len(pointers), 4) if pointers[n] in ("@", "@i") and pointers[n + 2] == "n"
    ]
