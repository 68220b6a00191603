"""Questions from captions, after Ren et al. 2015, "Exploring Models and Data for Image Question Answering".

People described the photo; turning what they said around gives questions whose answers are known: "a man rides a brown
horse" -> "What color is the horse?" "brown". All captions of a photo are read together, so that what another caption
contradicts is not asked for. Beside Ren's four kinds (object, number, colour, location) there are activities and
balanced yes/no questions. Each is phrased at random in one of the ways in which people ask.

    python -m demos.vqa generate-questions CAPTIONS [--out FILE]
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from core.errors import InputError
from core.training.captioned_photos import read_captions
from demos.vqa.questions.description import Description, Generated, Phrasing
from demos.vqa.questions.open_ended import open_questions
from demos.vqa.questions.yes_no import Cooccurrence, yes_no_questions


class QuestionGenerator:
    """Makes questions for one photo at a time.

    collection: {photo: captions} of many photos, from which it learns which things go together: that makes the "no"
    answers hard. The same seed gives the same questions.
    """

    def __init__(self, collection: Mapping[str, Sequence[str]], seed: int = 1):
        self.known = Cooccurrence(collection)
        self.say = Phrasing(seed)

    def questions(self, captions: Sequence[str]) -> list[Generated]:
        """All questions that the captions of one photo answer, each once, in a random phrasing."""
        description = Description(captions)
        made = [*open_questions(description, self.say), *yes_no_questions(description, self.known, self.say)]
        answers = defaultdict(set)
        for item in made:
            answers[item.question].add(item.answer)
        return [item for item in dict.fromkeys(made) if len(answers[item.question]) == 1]


def generate(collection: Mapping[str, Sequence[str]], seed: int = 1) -> Iterator[dict[str, str]]:
    """One record per question, always labelled as generated."""
    generator = QuestionGenerator(collection, seed)
    for photo, captions in collection.items():
        for made in generator.questions(captions):
            yield {"image": photo, **vars(made), "source": "generated from captions"}


# --- command line ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `generate-questions`."""
    help_text = "COCO's captions_*.json, {photo: [captions]} as JSON, Flickr8k.token.txt, or captions one a line"
    parser.add_argument("captions", type=Path, help=help_text)
    parser.add_argument("--out", type=Path, help="file for JSON Lines (default: standard output)")
    parser.add_argument("--seed", type=int, default=1)


def main(options: argparse.Namespace) -> None:
    """Write one JSON object per question."""
    captions = read_captions(options.captions)
    if not captions:
        raise InputError(f"{options.captions} holds no caption: name a file of captions.")
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in generate(captions, options.seed))
    if options.out is None:
        sys.stdout.writelines(lines)
        return
    with options.out.open("w", encoding="utf-8") as out:
        out.writelines(lines)
