"""Whole captions as yes/no questions: "Is the man riding a horse down a street?", for training only.

People ask about anything that a photo may show, in more words than the generator's lists know. What they said of one
photo is true there; what they said of another one with the same subject, and with something in it that nobody mentioned
here, is not: those are foils as in FOIL-COCO (Shekhar et al. 2017), written by people instead of by a rule.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from demos.vqa.questions.description import Description, Generated, Phrasing, subject_of
from demos.vqa.questions.lexicon import PEOPLE, related
from demos.vqa.questions.phrases import Parse, is_verb, parse
from demos.vqa.questions.yes_no import QUIET_VERBS, is_mentioned

_CUTS = frozenset(("in", "on", "at", "near", "by", "with", "while", "and", "next", "down", "through", "over", "behind",
                   "from", "as", "during", "along", "across", "beside"))  # fmt: skip
_LONGEST = 12  # words; people's questions have 6 on average
_TRIES = 8  # other photos that are looked at for a foil


@dataclass(frozen=True)
class Statement:
    """Something said of a subject: ("is", "the man"), ("riding", "a", "horse")."""

    subject: str  # noun
    start: tuple[str, str]
    rest: tuple[str, ...]


def statement(parsed: Parse) -> Statement | None:
    """What a caption says of the thing that it begins with; None where it is not that plain."""
    if not parsed.phrases or parsed.phrases[0].start:
        return None
    first = parsed.phrases[0]
    place = first.end
    if parsed.words[place : place + 1] in (("is",), ("are",)):
        place += 1
    rest = parsed.words[place:]
    if not rest or not (is_verb(rest[0]) or rest[0] in _CUTS - {"and", "as", "while", "with"}):
        return None
    return Statement(first.noun, subject_of(first), rest)


class Statements:
    """Makes questions from whole captions; `collection`, {photo: captions}, is where foils come from."""

    def __init__(self, collection: Mapping[str, Sequence[str]]):
        self._by_subject: dict[str, list[Statement]] = defaultdict(list)
        for captions in collection.values():
            for caption in captions:
                if said := statement(parse(caption)):
                    self._by_subject[said.subject].append(said)

    def questions(self, d: Description, say: Phrasing) -> Iterator[Generated]:
        """One question with "yes", and one with "no" about the same subject, for each caption that allows it."""
        for said in filter(None, map(statement, d.parses)):
            foil = self._foil(said.subject, d, say)
            if foil is None:  # only pairs, or the subject would give the answer away
                continue
            yield Generated(_ask(said.start, _cut(said.rest, say), say), "yes", "yes/no")
            yield Generated(_ask(said.start, foil, say), "no", "yes/no")

    def _foil(self, subject: str, d: Description, say: Phrasing) -> tuple[str, ...] | None:
        """What was said of such a subject on another photo, and is not so here."""
        others = self._by_subject[subject]
        here = set().union(d.mentioned, *(related(noun) for noun in d.mentioned))
        for other in say.random.sample(others, min(_TRIES, len(others))):
            rest = _cut(other.rest, say)
            if _contradicts(rest, here, d.words):
                return rest
        return None


def _contradicts(rest: tuple[str, ...], here: set[str], said_here: frozenset[str]) -> bool:
    """Whether it speaks of a thing or an action that people would have mentioned if it were on the photo."""
    new = parse(" ".join(rest)).mentioned - here
    verb = rest[0]
    acts = is_verb(verb) and verb not in QUIET_VERBS and verb not in said_here
    return acts or any(is_mentioned(noun) and noun not in PEOPLE for noun in new)


def _cut(rest: tuple[str, ...], say: Phrasing) -> tuple[str, ...]:
    """A random beginning of it that is a phrase of its own."""
    ends = [n for n, word in enumerate(rest) if n > 1 and word in _CUTS] + [len(rest)]
    return rest[: say.random.choice(ends)][:_LONGEST]


def _ask(start: tuple[str, str], rest: tuple[str, ...], say: Phrasing) -> str:
    be, the = start
    return say(" ".join((be, the, *rest)))
