"""The last stage of the VQA recipe: classes for frequent answers, beside a network that stays as it is.

What the network's hops see for each training question never changes then, so it is computed once, with the photo and
without it, and the classifier learns from that within minutes.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from core.text import UNK, pad
from core.training import Loss, TrainingConfig
from demos.vqa.data import WORD_DROPOUT, Question
from demos.vqa.evaluate import Look, think_about
from demos.vqa.frequent import FrequentAnswers, Tokens, frequent_answers
from demos.vqa.model import VQA
from demos.vqa.text import normalise, normalise_answer, training_ids

GENERATED_WEIGHT = 0.25  # of the answer to a generated question, when frequent answers are chosen: they are so many
MADE = 4  # generated questions a photo
VIEWS = 2  # random views of each training photo that are seen
CONFIG = TrainingConfig(epochs=12, learning_rate=2e-3, schedule="linear", warmup_steps=1, weight_decay=0.2, patience=12)


@dataclass(frozen=True)
class SeenQuestions:
    """N questions, what the network sees for each, and the class of the answer."""

    questions: list[list[int]]
    seeing: Tensor  # (N, hops * W) float16
    blind: Tensor  # the same without the photo
    classes: Tensor  # (N,)

    def __len__(self) -> int:
        return len(self.questions)


class _Examples(Dataset):
    """Item n: (question, what was seen, class), of all sets one after the other; each comes `repeats` times.

    `blind` is the share of the questions that are learnt without the photo.
    """

    def __init__(self, sets: Sequence[SeenQuestions], repeats: Sequence[int], blind: float):
        self.sets, self.blind = sets, blind
        self.places = [(s, n) for s, times in enumerate(repeats) for _ in range(times) for n in range(len(sets[s]))]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[list[int], Tensor, Tensor]:
        number, row = self.places[index]
        chosen = self.sets[number]
        seen = chosen.blind if torch.rand(()) < self.blind else chosen.seeing
        return chosen.questions[row], seen[row], chosen.classes[row]


def _collate(items: list[tuple[list[int], Tensor, Tensor]]) -> dict[str, Tensor]:
    questions, seen, classes = zip(*items, strict=True)
    tokens = pad(questions)
    hidden = torch.rand(tokens.shape) < WORD_DROPOUT
    return {
        "questions": tokens.masked_fill(hidden & (tokens > UNK), UNK),
        "seen": torch.stack([vector.float() for vector in seen]),
        "classes": torch.stack(classes),
    }


def class_loss(model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
    """Label-smoothed cross-entropy of the classes."""
    logits = model(batch["questions"], batch["seen"]).float()
    return Loss(nn.functional.cross_entropy(logits, batch["classes"], label_smoothing=0.1))


def answer_classes(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerFast, least: float
) -> tuple[Tokens, ...]:
    """Answers that were given `least` times or more, the most frequent first.

    Yes and no are the decoder's: a bag of words learns by heart which questions were answered so (below chance on dev).
    """
    answers = training_ids(tokenizer, [normalise_answer(q.answers[0]) for q in questions])
    yes_no = {tuple(ids) for ids in training_ids(tokenizer, ["yes", "no"])}
    kept = [
        (tuple(answer), GENERATED_WEIGHT if q.source == "generated" else 1.0)
        for answer, q in zip(answers, questions, strict=True)
        if answer and UNK not in answer and tuple(answer) not in yes_no
    ]
    return frequent_answers(kept, least)


def thin(questions: Sequence[Question], seed: int) -> list[Question]:
    """All questions of people, and at most MADE generated ones about each photo."""
    draw = random.Random(seed)
    made: dict[Path, list[Question]] = defaultdict(list)
    for question in questions:
        if question.source == "generated":
            made[question.photo].append(question)
    kept = [q for found in made.values() for q in draw.sample(found, min(len(found), MADE))]
    return [q for q in questions if q.source != "generated"] + kept


def with_classes(model: VQA, classes: tuple[Tokens, ...]) -> VQA:
    """The same network with an untrained classifier of these answers, in place of any that it has."""
    grown = VQA(replace(model.config, frequent=classes))
    kept = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("frequent.")}
    grown.load_state_dict(grown.state_dict() | kept)
    return grown


@torch.inference_mode()
def see(
    model: VQA,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[Question],
    look: Look,
) -> SeenQuestions:
    """What the network sees for each question that has a word and an answer in the vocabulary."""
    model.eval()
    ordered = sorted(questions, key=lambda q: q.photo)
    tokens = training_ids(tokenizer, [normalise(q.question) for q in ordered])
    answers = training_ids(tokenizer, [normalise_answer(q.answers[0]) for q in ordered])
    rest = len(model.class_of)
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    kept = [n for n, question in enumerate(tokens) if question]
    for start in tqdm(range(0, len(kept), 96), desc="what is seen", unit="batch"):
        batch = kept[start : start + 96]
        photos, asked = [ordered[n].photo for n in batch], [tokens[n] for n in batch]
        for parts, blind in zip(found, (False, True), strict=True):
            parts.append(think_about(model, look, photos, asked, blind).glimpses.half())
    classes = torch.tensor([model.class_of.get(tuple(answers[n]), rest) for n in kept])
    return SeenQuestions([tokens[n] for n in kept], torch.cat(found[0]), torch.cat(found[1]), classes)


@torch.inference_mode()
def class_accuracy(classifier: FrequentAnswers, dev: Sequence[SeenQuestions]) -> dict[str, float]:
    """Of the dev questions whose answer has a class, the share for which it is the likeliest, in percent."""
    classifier.eval()
    rest = classifier.classes.out_features - 1
    hits: list[Tensor] = []
    for one in dev:
        for start in range(0, len(one), 512):
            rows = slice(start, start + 512)
            best = classifier(pad(one.questions[rows]), one.seeing[rows].float())[:, :-1].argmax(1)
            hits.append((best == one.classes[rows])[one.classes[rows] != rest])
    return {"accuracy": 100 * torch.cat(hits).float().mean().item()}


def class_loader(sets: Sequence[SeenQuestions], repeats: Sequence[int], blind: float) -> DataLoader:
    """Batches of 512 questions of all sets; those of set n come `repeats[n]` times an epoch."""
    return DataLoader(_Examples(sets, repeats, blind), 512, shuffle=True, drop_last=True, collate_fn=_collate)
