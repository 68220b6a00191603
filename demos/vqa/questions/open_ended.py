"""Open-ended questions from captions: the four kinds of Ren et al. 2015, and activities."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from demos.vqa.questions.description import Description, Generated, Phrasing, activity_of, sports_in, subject_of
from demos.vqa.questions.lexicon import GROUPS, MASS, PEOPLE, PLURAL_PEOPLE, ROOMS, SCENES, plural, with_article
from demos.vqa.questions.phrases import NounPhrase

_PLACES = ("place", "furniture", "outdoor", "kitchen", "vehicle", "bathroom")
_VAGUE_VERBS = ("doing", "using", "making", "taking", "overlooking", "looking", "showing", "getting", "posing", "going")
_KINDS = {  # group: ways to ask which one it is
    "animal": ("what animal is this", "what kind of animal is this", "what animal is in the picture",
               "what type of animal is shown", "which animal is that"),
    "vehicle": ("what kind of vehicle is this", "what vehicle is shown", "what type of vehicle is in the picture"),
    "food": ("what food is shown", "what kind of food is this", "what is being eaten", "what food is in the photo"),
}  # fmt: skip
_SEVERAL = 0  # in a count: more than one
_SHARE_OF_ONES, _SHARE_OF_NONE = 0.15, 0.2
_TOO_GENERAL = {"bird", "fruit", "vegetable", "dessert", "meat"}  # right, but seldom the best answer; kept for animals


def open_questions(d: Description, say: Phrasing) -> Iterator[Generated]:
    """All open-ended questions that the captions answer without contradiction."""
    for maker in (_colours, _numbers, _objects, _kinds, _locations, _activities, _scenes):
        yield from maker(d, say)


def _colours(d: Description, say: Phrasing) -> Iterator[Generated]:
    seen: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    example: dict[str, NounPhrase] = {}
    for phrase in d.phrases:
        if phrase.colours and phrase.noun not in PEOPLE and phrase.group != "place":
            seen[phrase.noun].add(phrase.colours)
            example[phrase.noun] = phrase
    owners = _wearers(d)
    for noun, colours in seen.items():
        if len(colours) > 1:
            continue
        be, the = subject_of(example[noun])
        name = the.removeprefix("the ")
        ways = [
            f"what color {be} {the}",
            f"what color {be} {the}",
            f"what is the color of {the}",
            f"what colour {be} {the}",
        ]
        if example[noun].group == "clothing" and noun in owners:
            owner_be, owner = owners[noun]
            ways += [f"what color {name} {owner_be} {owner} wearing", f"what color {be} {owner}'s {name}"]
        yield Generated(say(*ways), " and ".join(next(iter(colours))), "color")


def _wearers(d: Description) -> dict[str, tuple[str, str]]:
    """{piece of clothing: who wears it}"""
    return {
        clause.target.noun: subject_of(clause.subject)
        for clause in d.clauses
        if clause.target and clause.subject.noun in PEOPLE and (clause.verb == "wearing" or clause.preposition == "in")
    }


def _numbers(d: Description, say: Phrasing) -> Iterator[Generated]:
    """How many of each thing there are, where captions agree.

    Two or more of them have to say the same number; one that names a single one of several is forgiven. Most things
    that captions speak of are alone, and "1" would be the answer to nearly everything: of those a share is asked for,
    and of the photos on which nobody mentions people.
    """
    if not d.has(PEOPLE) and say.random.random() < _SHARE_OF_NONE:
        yield Generated(_how_many("people", say), "0", "number")
    for noun, numbers in _counts(d).items():
        several = Counter({number: times for number, times in numbers.items() if number > 1})
        if several:
            (number, times), *others = several.most_common()
            agreed = times >= 2 and sum(t for _, t in others) <= times // 3 and numbers[1] <= times // 2
        else:
            number = 1
            agreed = numbers[1] >= 3 and not numbers[_SEVERAL] and say.random.random() < _SHARE_OF_ONES
        if not agreed or noun in MASS or noun in PLURAL_PEOPLE - {"people"} or noun in GROUPS["place"]:
            continue
        yield Generated(_how_many(plural(noun), say), str(number), "number")


def _how_many(things: str, say: Phrasing) -> str:
    ways = ("are there", "are in the picture", "are shown", "can you see", "are in the photo", "")
    return say(*(f"how many {things} {way}".strip() for way in ways))


def _counts(d: Description) -> dict[str, Counter]:
    """{noun: in how many captions there are so many of it}; _SEVERAL: more than one, nobody says how many."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for parsed in d.parses:
        named: dict[str, list[int]] = defaultdict(list)
        for phrase in parsed.phrases:
            number = phrase.number or (_SEVERAL if phrase.plural else 1)
            named[phrase.noun].append(number)
            if phrase.noun in PEOPLE - {"people"}:
                named["people"].append(2 if phrase.noun == "couple" else number)
        for noun, numbers in named.items():
            total = sum(numbers) if noun == "people" else max(numbers)
            counts[noun][_SEVERAL if _SEVERAL in numbers else total] += 1
    return counts


def _objects(d: Description, say: Phrasing) -> Iterator[Generated]:
    """ "A man holding a kite": what is the man holding; "a cat on a bed": what is on the bed, what is the cat on."""
    answers: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for clause in d.clauses:
        subject, target = clause.subject, clause.target
        if target is None:
            continue
        be, the = subject_of(subject)
        person = subject.noun in PEOPLE
        if clause.verb and not clause.preposition and clause.verb not in _VAGUE_VERBS:
            answers[(f"what {be} {the} {clause.verb}",)].add(target.noun)
            if person:
                answers[(f"what is the person {clause.verb}",)].add(target.noun)
                what = with_article(target.noun) if say.random.random() < 0.5 else f"the {target.noun}"
                if not target.plural and clause.verb != "wearing":
                    answers[(f"who is {clause.verb} {what}",)].add(subject.noun)
        elif clause.preposition in ("on", "in") and not target.plural and target.group in _PLACES:
            where = f"{clause.preposition} the {target.noun}"
            if clause.verb in ("sitting", "standing", "riding", "laying", "lying", "sleeping", "resting") and (
                target.group != "place"
            ):
                answers[(f"what {be} {the} {clause.verb} {clause.preposition}",)].add(target.noun)
            if not person and subject.group not in ("place", "building"):
                verb = f"{clause.verb} " if clause.verb else ""
                answers[f"what is {verb}{where}", f"what is {where}", f"what's {where}"].add(subject.noun)
    for ways, nouns in answers.items():
        if len(nouns) == 1:
            yield Generated(say(*ways), next(iter(nouns)), "object")


def _kinds(d: Description, say: Phrasing) -> Iterator[Generated]:
    """Which animal, vehicle, food or sport it is, where there is only one."""
    for group, ways in _KINDS.items():
        kinds = {phrase.noun for phrase in d.phrases if phrase.group == group}
        if len(kinds) == 1:
            (noun,) = kinds
            if d.captions_with(noun) >= 3 and (noun not in _TOO_GENERAL or group == "animal"):
                yield Generated(say(*ways), noun, "object")
    if (len(sports := sports_in(d)) == 1 and not sports & {"skiing", "frisbee"}) or sports == {"skiing"}:
        ways = ("what sport is this", "what sport is being played", "what game are they playing", "what sport is shown")
        if sports & {"skiing", "surfing", "skateboarding", "snowboarding"}:
            ways = ("what sport is this", "what sport is shown", "what sport is the person doing")
        yield Generated(say(*ways), next(iter(sports)), "object")


def _locations(d: Description, say: Phrasing) -> Iterator[Generated]:
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    verbs: dict[tuple[str, str], str] = {}
    for clause in d.clauses:
        if clause.preposition not in ("in", "on", "at", "inside", "under") or clause.target is None:
            continue
        if clause.target.group in _PLACES and clause.subject.group != "place" and clause.verb != "wearing":
            who = subject_of(clause.subject)
            places[who].add(clause.target.noun)
            verbs[who] = clause.verb
    for (be, the), nouns in places.items():
        if len(nouns) == 1:
            verb = verbs[be, the]
            ways = [f"where {be} {the}", f"where {be} {the} {verb}" if verb else f"where {be} {the} located"]
            yield Generated(say(ways[0], *ways), next(iter(nouns)), "location")


def _activities(d: Description, say: Phrasing) -> Iterator[Generated]:
    doing: dict[tuple[str, str], Counter] = defaultdict(Counter)
    for clause in d.clauses:
        if (
            clause.verb
            and clause.subject.group in ("person", "animal")
            and clause.verb not in ("wearing", *_VAGUE_VERBS)
        ):
            doing[subject_of(clause.subject)][activity_of(clause)] += 1
    for (be, the), activities in doing.items():
        best, times = activities.most_common(1)[0]
        if times >= 2 or len(activities) == 1:
            yield Generated(say(f"what {be} {the} doing", f"what {be} {the} doing in the picture"), best, "activity")


def _scenes(d: Description, say: Phrasing) -> Iterator[Generated]:
    scenes = [(d.captions_with(scene), scene) for scene in SCENES if d.captions_with(scene) >= 2]
    if len(scenes) != 1:
        return
    scene = scenes[0][1]
    ways = [
        "where was this picture taken",
        "where is this",
        "where are they" if d.has(PEOPLE) else "where is this photo taken",
    ]
    if scene in ROOMS:
        ways += ["what room is this", "what room is this", "which room of the house is this"]
    yield Generated(say(*ways), scene, "location")
