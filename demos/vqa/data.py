"""Questions about photos, in their official layouts, and as batches for training.

DAQUAR (Malinowski & Fritz 2014): all_qa_pairs.txt, {train,test}_images_list.txt, images/.
VQA on COCO photos (Antol et al. 2015; Goyal et al. 2017): vqa_*.{train,dev,test}.tsv with the columns image, question,
answer, or the official v2_OpenEnded_*_questions.json with v2_*_annotations.json beside it.
Generated questions: made from the captions of a collection (see demos.vqa.generate).
"""

import csv
import json
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from core.errors import InputError
from core.input.tokenizers import BOS, EOS, UNK, pad
from core.training.augmentation import FreshStemMaps
from core.training.captioned_photos import CaptionedPhoto, photos_by_stem
from demos.vqa.description import TYPES, Description
from demos.vqa.generate import QuestionGenerator
from demos.vqa.statements import Statements
from demos.vqa.text import normalise, normalise_answer, training_ids

DAQUAR_DEV = 0.12  # of the training images are kept for choosing


@dataclass(frozen=True)
class Question:
    """A question with the answers that people gave to it, or that their captions give."""

    photo: Path
    question: str
    answers: tuple[str, ...]
    type: str  # one of TYPES
    source: str  # "human yes/no", "daquar", "generated", "vqa"


def guess_type(question: str) -> str:
    """The type of a question by its first words, for sets that do not say it."""
    text = normalise(question)
    if re.match(r"(is|are|was|were|do|does|did|can|could|would|will|has|have|should)\b", text):
        return "yes/no"
    if re.match(r"(how many|what number|what is the number)\b", text):
        return "number"
    if re.search(r"\bcolor\b", text):
        return "color"
    if text.startswith("where"):
        return "location"
    return "activity" if re.search(r"\bdoing\b", text) else "object"


def read_daquar(root: Path) -> dict[str, list[Question]]:
    """{"train" | "dev" | "test": questions}; dev is every eighth training photo or so. Raises InputError."""
    files = {split: root / f"{split}_images_list.txt" for split in ("train", "test")}
    pairs = root / "all_qa_pairs.txt"
    for file in (*files.values(), pairs):
        if not file.exists():
            raise InputError(f"{file} is missing: name a folder in DAQUAR's layout.")
    photos = photos_by_stem(root)
    split_of = {name: split for split, file in files.items() for name in file.read_text().split()}
    train = sorted(name for name, split in split_of.items() if split == "train")
    split_of |= dict.fromkeys(random.Random(1).sample(train, round(len(train) * DAQUAR_DEV)), "dev")
    lines = pairs.read_text(encoding="utf-8").splitlines()
    if len(lines) % 2:
        raise InputError(f"{pairs} has a question without an answer: question and answer lines must take turns.")
    questions = defaultdict(list)
    for question, answer in zip(lines[::2], lines[1::2], strict=True):
        name = re.search(r"\bimage\d+\b", question)
        if name and name[0] in split_of and name[0] in photos:
            text = normalise(question)
            made = Question(photos[name[0]], text, (answer.strip(),), guess_type(text), "daquar")
            questions[split_of[name[0]]].append(made)
    return dict(questions)


def read_yes_no(root: Path) -> dict[str, list[Question]]:
    """{"train" | "dev" | "test": human yes/no questions} of a COCO folder."""
    photos = photos_by_stem(root)
    found = {}
    for split in ("train", "dev", "test"):
        with (root / f"vqa_yes_no.{split}.tsv").open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            found[split] = [
                Question(photos[Path(r["image"]).stem], r["question"], (r["answer"],), "yes/no", "human yes/no")
                for r in rows
                if Path(r["image"]).stem in photos
            ]
    return found


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
        return [
            Question(files[a["image_id"]], asked[a["question_id"]]["question"],
                     tuple(x["answer"] for x in a["answers"]), guess_type(asked[a["question_id"]]["question"]), "vqa")
            for a in answered
            if a["image_id"] in files
        ]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{questions} and {annotations} cannot be read as VQA questions ({error!r}).") from error


def generated_questions(
    photos: Sequence[CaptionedPhoto], seed: int = 1, phrasings: int = 1, statements: bool = False
) -> list[Question]:
    """Questions from the captions of a split; each fact is asked for in up to `phrasings` ways.

    statements: whole captions as questions too (see demos.vqa.statements).
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


# --- batches for training ----------------------------------------------------------------------------------------

PER_PHOTO = 8  # questions about a photo in one batch
MAX_TRAINED_ANSWER = 3  # words; longer answers (lists of things in DAQUAR) would make every batch longer
WORD_DROPOUT = 0.06  # of the question's words become <unk>, as words that a visitor uses may be
_WEIGHTS = {"yes/no": 1.0, "object": 2.5, "number": 1.2, "color": 2.5, "location": 1.2, "activity": 1.2}


@dataclass(frozen=True)
class Item:
    """A question in tokens."""

    question: list[int]
    answer: list[int]  # from <bos> to <eos>
    type: int
    generated: bool


class QuestionedPhotos(Dataset):
    """Item n: (stem map of a random view, whether it is mirrored, questions) of the nth photo that has any."""

    def __init__(self, questions: Sequence[Question], stem_map: FreshStemMaps, tokenizer):
        asked = training_ids(tokenizer, [normalise(q.question) for q in questions])
        answers = training_ids(tokenizer, [normalise_answer(q.answers[0]) for q in questions])
        self.stem_map = stem_map
        by_photo: dict[Path, list[Item]] = defaultdict(list)
        for q, question, answer in zip(questions, asked, answers, strict=True):
            if question and 0 < len(answer) <= MAX_TRAINED_ANSWER and UNK not in answer:
                item = Item(question, [BOS, *answer, EOS], TYPES.index(q.type), q.source == "generated")
                by_photo[q.photo].append(item)
        self.photos = sorted(by_photo.items())

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> tuple[Tensor, bool, list[Item]]:
        path, items = self.photos[index]
        mirrored = random.random() < 0.5
        return self.stem_map(path, mirrored), mirrored, items


class Collate:
    """Items -> stem_maps (B, C, h, w), questions (B * k, T), answers (B * k, A), types (B * k,), seen (B,).

    Where a photo is mirrored, `mirror` changes the tokens of what is said about it. `blind` is the share of the photos
    that are kept from the network: so it learns what can be answered without looking.
    """

    def __init__(self, mirror: dict[int, int], blind: float = 0.15, per_photo: int = PER_PHOTO):
        self.mirror = mirror
        self.blind, self.per_photo = blind, per_photo

    def __call__(self, items: list) -> dict[str, Tensor]:
        maps, questions, answers, types = [], [], [], []
        for stem_map, flip, asked in items:
            maps.append(stem_map)
            for item in choose(asked, self.per_photo):
                question = [UNK if random.random() < WORD_DROPOUT else token for token in item.question]
                questions.append([self.mirror.get(t, t) for t in question] if flip else question)
                answers.append([self.mirror.get(t, t) for t in item.answer] if flip else item.answer)
                types.append(item.type)
        return {
            "stem_maps": torch.stack(maps),
            "questions": pad(questions),
            "answers": pad(answers),
            "types": torch.tensor(types),
            "seen": (torch.rand(len(items)) >= self.blind).float(),
        }


def choose(items: list[Item], count: int) -> list[Item]:
    """`count` questions about a photo: those of people first, then generated ones, the rarer types more often."""
    human = [item for item in items if not item.generated]
    chosen = random.sample(human, min(len(human), count))
    made = [item for item in items if item.generated]
    if made and len(chosen) < count:
        numbers = defaultdict(int)
        for item in made:
            numbers[item.type] += 1
        # weighted sampling without replacement (Efraimidis & Spirakis 2006)
        keys = [random.random() ** (numbers[i.type] ** 0.5 / _WEIGHTS[TYPES[i.type]]) for i in made]
        ranked = sorted(range(len(made)), key=keys.__getitem__, reverse=True)
        chosen += [made[n] for n in ranked[: count - len(chosen)]]
    return chosen + random.choices(chosen, k=count - len(chosen))
