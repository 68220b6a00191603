"""Questions about photos, in their official layouts.

VQA on COCO photos (Antol et al. 2015; Goyal et al. 2017): vqa_yes_no.{train,dev,test}.tsv and questions.{dev,test}.tsv
with the columns image, question, answer, or the official v2_OpenEnded_*_questions.json with v2_*_annotations.json.
Generated questions: made from the captions of a collection (see demos.vqa.questions).
"""

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError
from core.training.captioned_photos import CaptionedPhoto, photos_by_stem, read_collection
from demos.vqa.questions.description import Description
from demos.vqa.questions.generate import QuestionGenerator
from demos.vqa.questions.statements import Statements
from demos.vqa.text import normalise, normalise_answer


@dataclass(frozen=True)
class Question:
    """A question with the answers that people gave to it, or that their captions give."""

    photo: Path
    question: str
    answers: tuple[str, ...]
    type: str  # one of TYPES, or "other"
    source: str  # "human yes/no", "people", "generated", "vqa"


def read_people(root: Path, split: str) -> dict[str, list[Question]]:
    """{source: people's questions about the photos of a COCO folder}; a source whose file is missing is left out.

    "human yes/no": vqa_yes_no.SPLIT.tsv, half of the answers "yes". "people": questions.SPLIT.tsv, of any kind.
    """
    files = {"human yes/no": root / f"vqa_yes_no.{split}.tsv", "people": root / f"questions.{split}.tsv"}
    photos = photos_by_stem(root) if any(file.exists() for file in files.values()) else {}
    return {source: _read_table(file, photos, source) for source, file in files.items() if file.exists()}


def _read_table(file: Path, photos: Mapping[str, Path], source: str) -> list[Question]:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Question(photos[stem], row["question"], (row["answer"],), answer_type(row["answer"]), source)
        for row in rows
        if (stem := Path(row["image"]).stem) in photos
    ]


def answer_type(answer: str) -> str:
    """The type of a question of people as VQA tells it, by its answer: "yes/no", "number" or "other"."""
    answer = normalise_answer(answer)
    return "yes/no" if answer in ("yes", "no") else "number" if answer.isdecimal() else "other"


def balanced(questions: Sequence[Question]) -> list[Question]:
    """Those that are asked, in the same words, of photos with either answer.

    Where an answer was "yes" every time, a network learns that it always is. In VQA v2 it is not: whoever balanced it
    asked the same of a photo that looks much the same and has the other answer (Goyal et al. 2017). If that photo is
    not among these, they teach the opposite of what is right for it.
    """
    answers: dict[str, set[str]] = defaultdict(set)
    for question in questions:
        answers[normalise(question.question)].update(question.answers)
    return [question for question in questions if len(answers[normalise(question.question)]) > 1]


def read_vqa(questions: Path, annotations: Path, photos: Path) -> list[Question]:
    """The official VQA layout, with ten human answers a question. Raises InputError when it cannot be read."""
    try:
        asked = {q["question_id"]: q for q in json.loads(questions.read_text(encoding="utf-8"))["questions"]}
        answered = json.loads(annotations.read_text(encoding="utf-8"))["annotations"]
        files = {int(re.findall(r"\d+", stem)[-1]): file for stem, file in photos_by_stem(photos).items()}
        found = []
        for one in answered:
            if one["image_id"] in files:
                answers = tuple(x["answer"] for x in one["answers"])
                ((usual, _),) = Counter(answers).most_common(1)
                question = asked[one["question_id"]]["question"]
                found.append(Question(files[one["image_id"]], question, answers, answer_type(usual), "vqa"))
        return found
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{questions} and {annotations} cannot be read as VQA questions ({error!r}).") from error


def generated_questions(
    photos: Sequence[CaptionedPhoto], seed: int = 1, phrasings: int = 1, statements: bool = False
) -> list[Question]:
    """Questions from the captions of a split; each fact is asked for in up to `phrasings` ways.

    statements: whole captions as questions too (see demos.vqa.questions.statements).
    """
    collection = {photo.path.name: photo.captions for photo in photos}
    generator = QuestionGenerator(collection, seed)
    whole = Statements(collection) if statements else None
    found = []
    for photo in photos:
        made = dict.fromkeys(m for _ in range(phrasings) for m in generator.questions(photo.captions))
        if whole:
            made |= dict.fromkeys(whole.questions(Description(photo.captions), generator.say))
        answers = defaultdict(set)
        for item in made:
            answers[item.question].add(item.answer)
        found += [
            Question(photo.path, item.question, (item.answer,), item.type, "generated")
            for item in made
            if len(answers[item.question]) == 1
        ]
    return found


def read_training_questions(root: Path, phrasings: int) -> dict[str, list[Question]]:
    """{"train" | "dev": questions} of a folder of COCO or Flickr8k: generated ones, and people's yes/no questions where
    they are. Training photos get each generated question in up to `phrasings` ways.
    """
    collection = read_collection(root)
    made = {
        "train": generated_questions(collection["train"], phrasings=phrasings, statements=True),
        "dev": generated_questions(collection["dev"]),
    }
    human = {split: read_people(root, split).get("human yes/no", []) for split in made}
    human["train"] = balanced(human["train"])
    return {split: [*human[split], *found] for split, found in made.items()}
