"""Short texts in which "not" and "but" decide, made from SST, which holds too few for a network to learn them from.

In SST's training sentences nobody says "not bad". But its words and sentences are rated, and what negation and contrast
do to a rating is known: "not" turns it and weakens it, and of two clauses the one that "but" leads to counts (Socher et
al. 2013, sections 5.3 and 5.4). A fifth of the words, and all sentences of dev and test, stay out of what is made for
training.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice

from demos.sentiment.data import FINE, Corpus, Example, polarity

Sides = Sequence[Sequence[Example]]  # the negative and the positive ones

LONGEST = 12  # words of a clause
HELD_OUT = 5  # every fifth adjective is for dev and test

_SUBJECTS = (
    "it", "this", "the film", "this film", "the movie", "this movie", "the plot", "the story", "the acting",
    "the cast", "the script", "the ending", "the whole thing", "the second half", "the dialogue", "the book",
)  # fmt: skip
_PLAIN = (  # the last five, too: here "never" and "not" only stress the word
    "{a}", "{s} is {a}", "{s} was {a}", "{s} is so {a}", "not only {a} but also {b}", "nothing but {a}", "very {a}",
    "I have never been so {a}", "I've never seen anything so {a}", "never was {s} more {a}",
    "{s} could not be more {a}", "{s} couldn't be more {a}",
)  # fmt: skip
_NEGATED = (
    "not {a}", "not {a} at all", "not so {a}", "{s} is not {a}", "{s} isn't {a}", "{s} was not {a}",
    "{s} wasn't {a} at all", "{s} is not {a} at all", "{s} is never {a}", "{s} is anything but {a}",
    "{s} is far from {a}", "{s} is hardly {a}", "{s} does not seem {a}", "{s} isn't {a} or {b}",
    "{s} could not be less {a}", "{s} was never once {a}",
    "I don't think {s} is {a}", "I can't say that {s} was {a}",
)  # fmt: skip
_CONTRASTED = (  # of words, then of clauses: the second decides
    "{s} is {a}, but {b}", "I expected {s} to be {a}, but it is {b}", "I thought {s} would be {a}, but it was {b}",
    "{s} starts out {a} and ends up {b}", "{s} looks {a}, yet it is {b}", "although {s} is {a}, it is {b}",
)  # fmt: skip
_CLAUSES = (
    "{a}, but {b}", "{a} but {b}", "although {a}, {b}", "{b}, although {a}", "{b}, even though {a}", "{a}. Still, {b}",
    "{a}; however, {b}",
)  # fmt: skip
_CUES = frozenset(["is", "are", "was", "were", "so", "too", "very", "really", "quite"])
_NO_ADJECTIVES = frozenset(["not", "least", "below", "very", "simply", "absolutely", "care", "love"])


def contrasts(corpus: Corpus, split: str, count: int, seed: int = 1) -> list[Example]:
    """`count` made texts for one split of SST: plain, negated, contrasted words, contrasted clauses, a quarter each.

    None where the corpus has too little to make them from.
    """
    rng = random.Random(f"{split} {seed}")
    negative, positive = by_polarity(adjectives(corpus))
    words = [
        [word for number, word in enumerate(side) if (number % HELD_OUT > 0) == (split == "train")]
        for side in (negative, positive)
    ]
    clauses = by_polarity([e for e in getattr(corpus, split) if len(e.text.split()) <= LONGEST])
    if not (all(words) and all(clauses)):
        return []
    kinds = cycle((("plain", _PLAIN, words), ("negated", _NEGATED, words), ("contrasted", _CONTRASTED, words),
                   ("contrasted", _CLAUSES, clauses)))  # fmt: skip
    return [_make(rng, *kind) for kind in islice(kinds, count)]


def _make(rng: random.Random, kind: str, templates: Sequence[str], sides: Sides) -> Example:
    """A text of one kind, filled with two examples: {a} and {b} of its templates."""
    side = rng.randrange(2)
    a, b = rng.choice(sides[1 - side if kind == "contrasted" else side]), rng.choice(sides[side])
    classes = {"plain": a.classes, "negated": ((3,), (1,))[side], "contrasted": ((0, 1), (3, 4))[side]}[kind]
    template, subject = rng.choice(templates), rng.choice(_SUBJECTS)
    text = template.format(s=subject, a=a.text.rstrip(" .!?"), b=b.text.rstrip(" .!?"))
    return Example(text + rng.choice(("", ".", ".", "!")), classes)


def by_polarity(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """The negative and the positive ones."""
    sides = [polarity(e.classes, len(FINE)) for e in examples]
    negative, positive = ([e for e, s in zip(examples, sides, strict=True) if s == side] for side in (0, 1))
    return negative, positive


def adjectives(corpus: Corpus) -> list[Example]:
    """The rated single words that the training sentences use as one says what something is: "is", "so", "too" ..."""
    used: Counter[str] = Counter()
    for example in corpus.train:
        words = re.findall(r"[a-z']+|[.,]", example.text.lower())
        following = zip(words, words[1:], words[2:], strict=False)
        used.update(word for cue, word, after in following if cue in _CUES and after in (",", ".", "and", "but"))
    rated = {p.text.lower(): Example(p.text.lower(), p.classes) for p in corpus.phrases if p.text.isalpha()}
    return [rated[word] for word in sorted(rated) if used[word] and word not in _NO_ADJECTIVES]
