"""The last stage of the VQA recipe: classes for frequent answers, beside a network that stays as it is.

What the CNN sees on each training photo never changes then, so it is computed once, and the classifier learns from that
within minutes.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from core.fast.precision import inference_dtype
from core.input.image import load_image
from core.input.tokenizers import UNK, pad
from core.networks.encoders import shared_encoder
from core.training.loop import Loss, TrainingConfig
from demos.vqa.data import WORD_DROPOUT, Question
from demos.vqa.evaluate import Look
from demos.vqa.frequent import FrequentAnswers, Tokens, frequent_answers
from demos.vqa.model import VQA
from demos.vqa.text import mirror, normalise, normalise_answer, training_ids

GENERATED_WEIGHT = 0.25  # of the answer to a generated question, when frequent answers are chosen: they are so many
MADE = 4  # generated questions a photo
DETECTOR_WEIGHT = 0.1  # of the detectors' loss, a sum over all answers
BATCH = 24  # photos
CONFIG = TrainingConfig(
    epochs=4, learning_rate=5e-3, schedule="linear", warmup_steps=50, weight_decay=0.05, clip_norm=2.0, patience=99
)


@dataclass(frozen=True)
class SeenPhoto:
    """What there is to see on a photo, and the questions about it with the classes of their answers."""

    places: Tensor  # (P, D) float16
    questions: list[list[int]]
    classes: list[int]


class _Examples(Dataset):
    """Item n: a photo of all sets one after the other; those of set n come `repeats[n]` times."""

    def __init__(self, sets: Sequence[Sequence[SeenPhoto]], repeats: Sequence[int]):
        self.photos = [photo for found, times in zip(sets, repeats, strict=True) for photo in [*found] * times]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> SeenPhoto:
        return self.photos[index]


def collate(photos: Sequence[SeenPhoto], blind: float = 0.0, hide: float = 0.0) -> dict[str, Tensor]:
    """places (B, P, D), seen (B,), questions (N, T), the photo of each (N,) and its class (N,).

    `blind` is the share of the photos that are kept from the classifier, `hide` that of the words that become <unk>.
    """
    tokens = pad([question for photo in photos for question in photo.questions])
    hidden = torch.rand(tokens.shape) < hide
    return {
        "places": torch.stack([photo.places for photo in photos]).float(),
        "seen": (torch.rand(len(photos)) >= blind).float(),
        "questions": tokens.masked_fill(hidden & (tokens > UNK), UNK),
        "rows": torch.tensor([n for n, photo in enumerate(photos) for _ in photo.questions]),
        "classes": torch.tensor([number for photo in photos for number in photo.classes]),
    }


def class_loss(model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
    """Label-smoothed cross-entropy of each glance's classes, and of its detector: the photo shows what was answered
    about it and nothing else."""
    rows, classes, seen = batch["rows"], batch["classes"], batch["seen"]
    found = model(batch["questions"], rows, batch["places"], seen)
    answered = classes < found[0][1].size(1)
    shown = torch.zeros_like(found[0][1])
    shown[rows[answered], classes[answered]] = 1.0
    named = sum(nn.functional.cross_entropy(logits, classes, label_smoothing=0.1) for logits, _ in found)
    detected = sum(
        nn.functional.binary_cross_entropy_with_logits(there, shown, seen.unsqueeze(1), reduction="sum")
        for _, there in found
    ) / len(seen)
    return Loss(named + DETECTOR_WEIGHT * detected, {"named": named.item(), "detected": detected.item()})


class WholeStemMaps:
    """Stem maps of photo files as a visitor's are."""

    def __init__(self, model: VQA):
        self.model, self.encoder = model, shared_encoder(model.config.encoder, inference_dtype())

    @torch.inference_mode()
    def __call__(self, path: Path) -> Tensor:
        """(C, h, w) float32"""
        config = self.model.config
        pixels = self.encoder.preprocess([load_image(path)], config.photo_size, config.test_size)
        return self.encoder.stem(pixels)[0].float()


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


@torch.inference_mode()
def see(
    model: VQA,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[Question],
    look: Look,
    mirrored: bool = False,
    batch_size: int = 16,
) -> list[SeenPhoto]:
    """The grid features of each photo and its questions, those that have a word in the vocabulary.

    Where `look` shows photos `mirrored`, left is right in what is said about them.
    """
    model.eval()
    swapped = mirror(tokenizer) if mirrored else {}
    tokens, answers = (
        [[swapped.get(token, token) for token in ids] for ids in training_ids(tokenizer, texts)]
        for texts in ([normalise(q.question) for q in questions], [normalise_answer(q.answers[0]) for q in questions])
    )
    by_photo: dict[Path, list[tuple[list[int], int]]] = defaultdict(list)
    for q, asked, answer in zip(questions, tokens, answers, strict=True):
        if asked:
            by_photo[q.photo].append((asked, model.class_of.get(tuple(answer), len(model.class_of))))
    photos, found = sorted(by_photo), []
    for start in tqdm(range(0, len(photos), batch_size), desc="what is seen", unit="batch"):
        paths = photos[start : start + batch_size]
        grids = model.grid(torch.stack([look(path) for path in paths])).half()
        asked = [map(list, zip(*by_photo[path], strict=True)) for path in paths]
        found += [SeenPhoto(grid, *each) for grid, each in zip(grids, asked, strict=True)]
    return found


def adapted(classifier: FrequentAnswers, sets: Sequence[Sequence[SeenPhoto]]) -> list[list[SeenPhoto]]:
    """The photos with the features that the classifier sees in place of the grid features."""
    with torch.no_grad():
        return [[replace(photo, places=classifier.features(photo.places).half()) for photo in found] for found in sets]


@torch.inference_mode()
def class_accuracy(classifier: FrequentAnswers, dev: Sequence[Sequence[SeenPhoto]]) -> dict[str, float]:
    """Of the dev questions whose answer has a class, the share for which it is the likeliest, in percent."""
    classifier.eval()
    hits: list[Tensor] = []
    for found in dev:
        for start in range(0, len(found), BATCH):
            batch = collate(found[start : start + BATCH])
            said = classifier(batch["questions"], batch["rows"], batch["places"], batch["seen"])
            best = sum(logits.softmax(1) for logits, _ in said)[:, :-1].argmax(1)
            hits.append((best == batch["classes"])[batch["classes"] < said[0][1].size(1)])
    return {"accuracy": 100 * torch.cat(hits).float().mean().item()}


def class_loader(sets: Sequence[Sequence[SeenPhoto]], repeats: Sequence[int], blind: float) -> DataLoader:
    """Batches of photos of all sets; those of set n come `repeats[n]` times an epoch."""
    examples = _Examples(sets, repeats)
    gather = partial(collate, blind=blind, hide=WORD_DROPOUT)
    return DataLoader(examples, min(BATCH, len(examples)), shuffle=True, drop_last=True, collate_fn=gather)
