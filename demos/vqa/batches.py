"""Questions about photos as batches for training: every photo in another random view, some of them kept back."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from core.input.image import load_image
from core.input.tokenizers import BOS, EOS, UNK, pad
from core.training.augmentation import FreshStemMaps
from demos.vqa.data import Question
from demos.vqa.model import VQA
from demos.vqa.questions.description import TYPES
from demos.vqa.text import normalise, normalise_answer, training_ids

MAX_TRAINED_ANSWER = 3  # words; longer answers would make every batch longer
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

    def __init__(self, questions: Sequence[Question], stem_map: FreshStemMaps, tokenizer: PreTrainedTokenizerFast):
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
    """Items -> stem_maps (B, C, h, w), questions (B * k, T), answers (B * k, A), types (B * k,), visible (B,).

    mirrored: {token: what it becomes} in what is said about a photo that is mirrored. blind: share of the photos that
    are kept from the network, so that it learns what can be answered without looking. per_photo: questions, k.
    """

    def __init__(self, mirrored: Mapping[int, int], blind: float, per_photo: int):
        self.mirrored = mirrored
        self.blind, self.per_photo = blind, per_photo

    def __call__(self, items: list) -> dict[str, Tensor]:
        maps, questions, answers, types = [], [], [], []
        for stem_map, flip, asked in items:
            maps.append(stem_map)
            for item in choose(asked, self.per_photo):
                question = [UNK if random.random() < WORD_DROPOUT else token for token in item.question]
                questions.append([self.mirrored.get(t, t) for t in question] if flip else question)
                answers.append([self.mirrored.get(t, t) for t in item.answer] if flip else item.answer)
                types.append(item.type)
        return {
            "stem_maps": torch.stack(maps),
            "questions": pad(questions),
            "answers": pad(answers),
            "types": torch.tensor(types),
            "visible": (torch.rand(len(items)) >= self.blind).float(),
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


# --- for stages that leave the CNN as it is ----------------------------------------------------------------------


@torch.inference_mode()
def grids(
    model: VQA, files: Sequence[Path], view: FreshStemMaps | None = None, batch_size: int = 16
) -> Iterator[Tensor]:
    """(P, D) grid features of each photo: as a visitor's are seen, or of a random view each."""
    for start in tqdm(range(0, len(files), batch_size), desc="grid features", unit="batch"):
        batch = files[start : start + batch_size]
        if view is None:
            maps = model.stem_maps([load_image(file) for file in batch])
        else:
            maps = torch.stack([view(file, mirrored=False) for file in batch])
        yield from model.grid(maps)
