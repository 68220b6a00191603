"""Balanced yes/no questions from captions. A "no" asks about what often goes with what is there: a hard negative."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from demos.vqa.questions.description import Description, Generated, Phrasing, activity_of, sports_in, subject_of
from demos.vqa.questions.lexicon import (
    COLOURS,
    GROUP,
    GROUPS,
    INDOOR,
    MASS,
    OUTDOOR,
    PEOPLE,
    PLURAL_ONLY,
    SCENES,
    plural,
    related,
    with_article,
)

# Groups of things that people mention when they are there: only of these is silence taken for "no".
_MENTIONED = ("animal", "vehicle", "food", "sport", "building")
_ALSO = ("couch", "bed", "toilet", "laptop", "refrigerator", "umbrella", "fire hydrant", "stop sign", "clock", "snow",
         "bench", "television", "vase", "suitcase", "teddy bear", "bathtub", "oven", "traffic light")  # fmt: skip
_OFTEN_SILENT = {"water", "building", "store", "shop", "house", "ball", "net", "wave", "trick", "ramp", "meat", "fruit",
                 "vegetable", "milk", "juice", "onion", "coffee", "tea", "dessert", "glove"}  # fmt: skip
_NOT_ASKED = {"couple", "crowd", "family", "group of people", "trick", "rider", "men"}
QUIET_VERBS = ("standing", "looking", "holding", "wearing", "smiling", "posing", "using", "watching", "having")
_PRESENCES = 3  # things to ask for in one photo, and as many that are not there
_CHECKED_PHOTO = ("in the picture", "in the photo", "in this image", "here", "", "", "")


class Cooccurrence:
    """What goes with what in a collection of captions."""

    def __init__(self, collection: Mapping[str, Sequence[str]]):
        together: dict[str, Counter] = defaultdict(Counter)
        actions: dict[str, Counter] = defaultdict(Counter)
        for captions in collection.values():
            description = Description(captions)
            for noun in sorted(description.mentioned):
                together[noun].update(sorted(description.mentioned - {noun}))
            for clause in description.clauses:
                if clause.verb:
                    actions[clause.subject.noun][activity_of(clause)] += 1
        # how often each noun is there at all; what is often where the noun is; what such a thing does, with its object
        self.frequency = Counter({noun: others.total() + 1 for noun, others in together.items()})
        self.company = {
            noun: [n for n, _ in others.most_common(60) if is_mentioned(n)] for noun, others in together.items()
        }
        self.actions = {noun: counts.most_common(25) for noun, counts in actions.items()}


def is_mentioned(noun: str) -> bool:
    """Whether people who describe a photo name such a thing when it is there."""
    return (GROUP[noun] in _MENTIONED or noun in _ALSO) and noun not in _OFTEN_SILENT


def yes_no_questions(d: Description, known: Cooccurrence, say: Phrasing) -> Iterator[Generated]:
    """As many questions with "no" as with "yes", about one thing each."""
    for maker in (_presence, _colours, _actions, _scenes, _conditions):
        for question, answer in maker(d, known, say):
            yield Generated(question, answer, "yes/no")


def _presence(d: Description, known: Cooccurrence, say: Phrasing) -> Iterator[tuple[str, str]]:
    there = sorted({phrase.noun for phrase in d.phrases if phrase.group != "place"} - _NOT_ASKED)
    say.random.shuffle(there)
    there = there[:_PRESENCES]
    for noun in there:
        yield _is_there(d, noun, say), "yes"
    avoid = set().union(*(related(noun) for noun in d.mentioned))
    absent: list[str] = []
    for noun in there:
        if hard := _hard_negative(noun, avoid | set(absent), known, say):
            absent.append(hard)
    if not d.has(PEOPLE):
        absent = ["person", *absent[1:]]
    for noun in absent:
        yield _is_there(d, noun, say), "no"


def _hard_negative(noun: str, avoid: set[str], known: Cooccurrence, say: Phrasing) -> str | None:
    """Something of the same kind, or that is often where the noun is, and that nobody mentioned here."""
    kin = [n for n in GROUPS[GROUP[noun]] if is_mentioned(n)]
    company = known.company.get(noun, [])
    for pool in (kin, company) if say.random.random() < 0.5 else (company, kin):
        weighted = [(n, known.frequency[n] + 1) for n in pool if n not in avoid and n not in PEOPLE]
        if weighted:
            names, weights = zip(*weighted, strict=True)
            return say.random.choices(names, weights)[0]
    return None


def _is_there(d: Description, noun: str, say: Phrasing) -> str:
    where = say.random.choice(_CHECKED_PHOTO)
    many = "people" if noun == "person" else plural(noun)
    one = with_article(noun)
    if noun in MASS or noun in PLURAL_ONLY:
        be = "are" if noun in PLURAL_ONLY else "is"
        ways = [f"{be} there any {noun} {where}", f"{be} there {noun} {where}", f"do you see any {noun} {where}"]
    else:
        ways = [f"is there {one} {where}", f"is there {one} {where}", f"are there any {many} {where}",
                f"are there {many} {where}", f"do you see {one} {where}", f"can you see any {many} {where}",
                f"is {one} visible"]  # fmt: skip
        if noun == "person":
            ways = [f"are there any people {where}", f"is there a person {where}", f"is anyone {where or 'there'}"]
    return " ".join(say(*(way.strip() for way in ways)).split())


def _colours(d: Description, known: Cooccurrence, say: Phrasing) -> Iterator[tuple[str, str]]:
    seen = defaultdict(set)
    example = {}
    for phrase in d.phrases:
        if phrase.colours and phrase.noun not in PEOPLE:
            seen[phrase.noun].update(phrase.colours)
            example[phrase.noun] = phrase
    for noun, colours in seen.items():
        if len(colours) > 1:
            continue
        be, the = subject_of(example[noun])
        if say.random.random() < 0.5:
            yield say(f"{be} {the} {next(iter(colours))}"), "yes"
        else:
            others = [c for c in COLOURS[:9] if c not in colours]
            yield say(f"{be} {the} {say.random.choice(others)}"), "no"


def _actions(d: Description, known: Cooccurrence, say: Phrasing) -> Iterator[tuple[str, str]]:
    verbs = {clause.verb for clause in d.clauses} | {word for word in d.words if word.endswith("ing")}
    for clause in d.clauses:
        if not clause.verb or clause.subject.group not in ("person", "animal"):
            continue
        be, the = subject_of(clause.subject)
        if say.random.random() < 0.5:
            thing = ""
            if clause.target and not clause.preposition:
                thing = plural(clause.target.noun) if clause.target.plural else with_article(clause.target.noun)
            yield say(" ".join(f"{be} {the} {clause.verb} {thing}".split())), "yes"
            continue
        other = [
            (action, times)
            for action, times in known.actions.get(clause.subject.noun, [])
            if action and action.split()[0] not in verbs and action.split()[0] not in QUIET_VERBS
            and not set(action.split()[1:]) & d.mentioned and not _same_sport(action, d)
        ]  # fmt: skip
        if other and clause.verb not in QUIET_VERBS:
            actions, times = zip(*other, strict=True)
            yield say(f"{be} {the} {say.random.choices(actions, times)[0]}"), "no"


def _same_sport(action: str, d: Description) -> bool:
    sports = sports_in(d)
    return bool(sports) and (action in sports or action.split()[0] in ("playing", "riding", "jumping", *sports))


def _scenes(d: Description, known: Cooccurrence, say: Phrasing) -> Iterator[tuple[str, str]]:
    here = [scene for scene in SCENES if d.captions_with(scene) >= 2]
    avoid = set().union(set(), *(related(noun) for noun in d.mentioned))
    if here:
        yield _is_this(say, say.random.choice(here)), "yes"
        others = [scene for scene in SCENES if scene not in avoid]
        yield _is_this(say, say.random.choice(others)), "no"
    inside, outside = d.has(INDOOR), d.has(OUTDOOR)
    if inside != outside and say.random.random() < 0.5:
        asked = say.random.choice(("indoors", "outdoors", "inside", "outside"))
        answer = "yes" if (asked in ("indoors", "inside")) == inside else "no"
        yield say(f"is this {asked}", f"is this photo taken {asked}", f"was this picture taken {asked}"), answer


def _is_this(say: Phrasing, scene: str) -> str:
    one = with_article(scene)
    return say(f"is this {one}", f"is this {one}", f"could this be {one}", f"was this taken at {one}")


def _conditions(d: Description, known: Cooccurrence, say: Phrasing) -> Iterator[tuple[str, str]]:
    """Rain, sun, night and black-and-white photos: seldom said, so seldom asked, or all answers would be "no"."""
    rare = say.random.random()
    if d.contains("rain", "raining", "rainy"):
        yield say("is it raining", "is it rainy", "is it raining outside"), "yes"
    elif rare < 0.02 and d.has(OUTDOOR):
        yield say("is it raining", "is it rainy", "is it raining outside"), "no"
    if d.contains("sunny"):
        yield say("is it sunny", "is the sun shining", "is it a sunny day"), "yes"
        yield say("is it raining", "is it cloudy", "is it dark"), "no"
    elif d.contains("cloudy", "overcast", "rainy"):
        yield say("is it sunny", "is the sun shining", "is it a sunny day"), "no"
    if d.contains("night", "nighttime"):
        yield say("is it night", "is it night time", "is it dark outside", "was this taken at night"), "yes"
        yield say("is it daytime", "is it day time"), "no"
    elif d.contains("day", "daytime", "sunny"):
        yield say("is it night", "is it night time", "was this taken at night"), "no"
        yield say("is it daytime", "is it day time"), "yes"
    if " ".join(sorted(d.words & {"black", "white", "photo", "photograph", "picture"})).startswith("black photo"):
        yield say("is this a black and white photo", "is this photo black and white", "is the photo in color"), "yes"
