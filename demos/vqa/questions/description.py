"""What the captions of one photo say together, and how questions about it are phrased."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from demos.vqa.questions.lexicon import PLURAL_ONLY, SPORTS, plural
from demos.vqa.questions.phrases import Clause, NounPhrase, Parse, clauses, parse

TYPES = ("yes/no", "object", "number", "color", "location", "activity")


@dataclass(frozen=True)
class Generated:
    """A question made from captions, not asked by a person."""

    question: str
    answer: str
    type: str  # one of TYPES


class Description:
    """All captions of one photo, read."""

    def __init__(self, captions: Sequence[str]):
        self.parses: list[Parse] = [parse(caption) for caption in captions]
        self.words = frozenset(word for p in self.parses for word in p.words)
        self.mentioned = frozenset(noun for p in self.parses for noun in p.mentioned)
        self.phrases: list[NounPhrase] = [phrase for p in self.parses for phrase in p.phrases]
        self.clauses: list[Clause] = [clause for p in self.parses for clause in clauses(p)]

    def captions_with(self, noun: str) -> int:
        """How many captions name it."""
        return sum(noun in p.mentioned for p in self.parses)

    def has(self, nouns: Sequence[str] | frozenset[str] | set[str]) -> bool:
        """Whether any of them is named."""
        return not self.mentioned.isdisjoint(nouns)

    def contains(self, *words: str) -> bool:
        """Whether any of the words occurs."""
        return not self.words.isdisjoint(words)


class Phrasing:
    """Chooses one of several ways to ask."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def __call__(self, *ways: str) -> str:
        text = self.random.choice(ways)
        return text[0].upper() + text[1:] + "?"


def subject_of(phrase: NounPhrase) -> tuple[str, str]:
    """("is", "the man") or ("are", "the dogs"): a question turns them round."""
    if phrase.noun in ("people", "men") or phrase.noun in PLURAL_ONLY - {"crowd"}:
        return "are", f"the {phrase.noun}"
    if phrase.plural and phrase.noun not in ("crowd", "couple", "family", "group of people"):
        return "are", f"the {plural(phrase.noun)}"
    return "is", f"the {phrase.noun}"


def activity_of(clause: Clause) -> str:
    """What the subject does, as people answer: "surfing", "playing tennis", "eating pizza"."""
    thing = clause.target.noun if clause.target and not clause.preposition else ""
    if clause.verb == "riding" and thing:
        return {"wave": "surfing", "surfboard": "surfing", "skateboard": "skateboarding", "ski": "skiing",
                "snowboard": "snowboarding"}.get(thing, f"riding {thing}")  # fmt: skip
    if clause.verb in ("playing", "eating", "flying", "cutting", "brushing", "throwing", "drinking") and thing:
        return f"{clause.verb} {'frisbee' if thing == 'frisbee' else thing}"
    return clause.verb


def sports_in(description: Description) -> set[str]:
    """The sports that the captions speak of."""
    return {sport for sport, words in SPORTS.items() if description.contains(*words)}
