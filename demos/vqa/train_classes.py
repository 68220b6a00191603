"""The stage of the VQA recipe that trains classes for frequent answers, beside a network that stays as it is.

What the CNN sees on each training photo never changes then, so it is computed once, and the classifiers learn from that
within minutes.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from core.checkpoint import load_tokenizer
from core.errors import InputError
from core.input.tokenizers import UNK, pad
from core.training.augmentation import FreshStemMaps
from core.training.loop import Loss, TrainingConfig, train
from core.training.recipes import StageRun
from demos.vqa.batches import WORD_DROPOUT, grids
from demos.vqa.classifier import ClassifierEnsemble, Tokens
from demos.vqa.data import Question, read_training_questions
from demos.vqa.model import VQA
from demos.vqa.text import normalise, normalise_answer, training_ids

GENERATED_WEIGHT = 0.25  # of the answer to a generated question, when frequent answers are chosen: they are so many
GENERATED_PER_PHOTO = 4
DETECTOR_WEIGHT = 0.1  # of the detectors' loss, a sum over all answers


@dataclass(frozen=True)
class Classes:
    """Every photo is seen whole and as a random view. Dev's accuracy among classes chooses the epoch."""

    start: str = ""  # the network: an earlier stage, a folder or a Hub id
    data: tuple[str, ...] = ("coco",)  # folders of COCO or Flickr8k
    phrasings: int = 2  # ways to ask for each generated answer
    least: float = 3.0  # times that an answer has to be given for a class of its own
    language_prior: float = 0.75  # share that the network takes away from yes and no from now on
    test_size: int = 288  # pixels a side at which it sees photos from now on
    batch_size: int = 24  # photos
    blind: float = 0.15  # share of photos that are kept from the classifiers
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=4, learning_rate=5e-3, schedule="linear", warmup_steps=50, weight_decay=0.05, clip_norm=2.0,
            patience=99, precision="no",
        )
    )  # fmt: skip

    def run(self, stage: StageRun) -> None:
        """See core.training.recipes.Stage."""
        set_seed(self.training.seed)
        start = stage.checkpoint(self.start)
        model, tokenizer = VQA.from_pretrained(start), load_tokenizer(start)
        questions: dict[str, list[Question]] = defaultdict(list)
        for root in stage.datasets(self.data):
            for split, found in read_training_questions(root, self.phrasings).items():
                questions[split] += few_generated(found, self.training.seed)
        answers = answer_classes(questions["train"], tokenizer, self.least)
        if not answers:
            raise InputError(f"No answer was given {self.least:g} times: give more questions, or a smaller `least`.")
        classifier = replace(model.config.classifier, answers=answers)
        settings = {"language_prior": self.language_prior, "test_size": self.test_size}
        model = model.with_untrained("frequent", classifier=classifier, **settings).eval()
        photos, dev = (encode_photos(model, tokenizer, questions[split]) for split in ("train", "dev"))
        model.frequent.fit_axes(torch.stack([photo.places for photo in photos[::4]]))
        view = FreshStemMaps(model.config.encoder, model.config.test_size)
        photos += encode_photos(model, tokenizer, questions["train"], view)
        photos, dev = (with_features(model.frequent, found) for found in (photos, dev))

        def save(classifier: ClassifierEnsemble) -> None:
            model.frequent.load_state_dict(classifier.state_dict())  # another object where weights are averaged
            model.save_pretrained(stage.best, eight_bits=True)
            tokenizer.save_pretrained(stage.best)

        evaluate = partial(class_accuracy, dev=dev)
        loader = self.loader(photos)
        train(model.frequent, loader, class_loss, self.training, stage.folder, evaluate, save, resume=stage.resume)

    def loader(self, photos: Sequence["AskedPhoto"]) -> DataLoader:
        """Batches of photos in random order."""
        gather = partial(collate, blind=self.blind, word_dropout=WORD_DROPOUT)
        size = min(self.batch_size, len(photos))
        return DataLoader(photos, size, shuffle=True, drop_last=True, collate_fn=gather)


@dataclass(frozen=True)
class AskedPhoto:
    """What there is to see on a photo, and the questions about it with the classes of their answers."""

    places: Tensor  # (P, D) float16
    questions: list[list[int]]
    classes: list[int]


def collate(photos: Sequence[AskedPhoto], blind: float = 0.0, word_dropout: float = 0.0) -> dict[str, Tensor]:
    """places (B, P, D), visible (B,), questions (N, T), the photo of each (N,) and its class (N,).

    `blind` is the share of the photos that are kept from the classifiers, `word_dropout` that of the words that become
    <unk>.
    """
    tokens = pad([question for photo in photos for question in photo.questions])
    hidden = torch.rand(tokens.shape) < word_dropout
    return {
        "places": torch.stack([photo.places for photo in photos]).float(),
        "visible": (torch.rand(len(photos)) >= blind).float(),
        "questions": tokens.masked_fill(hidden & (tokens > UNK), UNK),
        "rows": torch.tensor([n for n, photo in enumerate(photos) for _ in photo.questions]),
        "classes": torch.tensor([number for photo in photos for number in photo.classes]),
    }


def class_loss(model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
    """Label-smoothed cross-entropy of each member's classes, and of its detector: the photo shows what was answered
    about it and nothing else."""
    rows, classes, visible = batch["rows"], batch["classes"], batch["visible"]
    found = model(batch["questions"], rows, batch["places"], visible)
    answered = classes < found[0][1].size(1)
    shown = torch.zeros_like(found[0][1])
    shown[rows[answered], classes[answered]] = 1.0
    named = sum(nn.functional.cross_entropy(logits, classes, label_smoothing=0.1) for logits, _ in found)
    detected = sum(
        nn.functional.binary_cross_entropy_with_logits(there, shown, visible.unsqueeze(1), reduction="sum")
        for _, there in found
    ) / len(visible)
    return Loss(named + DETECTOR_WEIGHT * detected, {"named": named.item(), "detected": detected.item()})


def answer_classes(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerFast, least: float
) -> tuple[Tokens, ...]:
    """Answers that were given `least` times or more, the most frequent first.

    Yes and no are the decoder's: a bag of words learns by heart which questions were answered so (below chance on dev).
    """
    answers = training_ids(tokenizer, [normalise_answer(q.answers[0]) for q in questions])
    yes_no = {tuple(ids) for ids in training_ids(tokenizer, ["yes", "no"])}
    given: Counter[Tokens] = Counter()
    for answer, question in zip(answers, questions, strict=True):
        if answer and UNK not in answer and tuple(answer) not in yes_no:
            given[tuple(answer)] += GENERATED_WEIGHT if question.source == "generated" else 1.0
    return tuple(answer for answer, times in given.most_common() if times >= least)


def few_generated(questions: Sequence[Question], seed: int) -> list[Question]:
    """All questions of people, and at most GENERATED_PER_PHOTO generated ones about each photo."""
    draw = random.Random(seed)
    made: dict[Path, list[Question]] = defaultdict(list)
    for question in questions:
        if question.source == "generated":
            made[question.photo].append(question)
    kept = [q for found in made.values() for q in draw.sample(found, min(len(found), GENERATED_PER_PHOTO))]
    return [q for q in questions if q.source != "generated"] + kept


def encode_photos(
    model: VQA,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[Question],
    view: FreshStemMaps | None = None,
) -> list[AskedPhoto]:
    """The grid features of each photo (see batches.grids) and its questions, those that have a word."""
    asked = training_ids(tokenizer, [normalise(q.question) for q in questions])
    answers = training_ids(tokenizer, [normalise_answer(q.answers[0]) for q in questions])
    classes = {answer: number for number, answer in enumerate(model.config.classifier.answers)}
    by_photo: dict[Path, list[tuple[list[int], int]]] = defaultdict(list)
    for q, question, answer in zip(questions, asked, answers, strict=True):
        if question:
            by_photo[q.photo].append((question, classes.get(tuple(answer), len(classes))))
    return [
        AskedPhoto(grid.half(), *map(list, zip(*by_photo[photo], strict=True)))
        for photo, grid in zip(by_photo, grids(model, list(by_photo), view), strict=True)
    ]


@torch.no_grad()
def with_features(classifier: ClassifierEnsemble, photos: Sequence[AskedPhoto]) -> list[AskedPhoto]:
    """The photos with the features that the classifiers see in place of the grid features."""
    return [replace(photo, places=classifier.features(photo.places).half()) for photo in photos]


@torch.inference_mode()
def class_accuracy(classifier: ClassifierEnsemble, dev: Sequence[AskedPhoto], batch_size: int = 24) -> dict[str, float]:
    """Of the dev questions whose answer has a class, the share for which it is the likeliest, in percent."""
    classifier.eval()
    hits: list[Tensor] = []
    for start in range(0, len(dev), batch_size):
        batch = collate(dev[start : start + batch_size])
        said = classifier(batch["questions"], batch["rows"], batch["places"], batch["visible"])
        best = sum(logits.softmax(1) for logits, _ in said)[:, :-1].argmax(1)
        hits.append((best == batch["classes"])[batch["classes"] < said[0][1].size(1)])
    return {"accuracy": 100 * torch.cat(hits).float().mean().item()}
