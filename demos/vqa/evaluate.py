"""The published figures of the VQA network: VQA's soft accuracy, all and per type, with the photo and without it."""

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder
from core.decoding.search import Beam, greedy_search
from core.errors import InputError
from core.input.image import load_image
from core.input.tokenizers import pad
from core.metrics import soft_accuracy
from core.metrics.records import report
from core.training.captioned_photos import read_collection
from demos.vqa.data import Question, generated_questions, read_people, read_vqa
from demos.vqa.model import VQA, PhotoFeatures
from demos.vqa.predict import MAX_ANSWER, VQAPredictor
from demos.vqa.text import normalise, normalise_answer, training_ids

DEV_GENERATED = 1500  # of the dev photos' generated questions are answered after each epoch of a training

StemMap = Callable[[Path], Tensor]  # from a photo file to its stem map (C, h, w)
Answered = tuple[Question, str, str]  # the network's answer, and its answer without the photo


# --- while a network is trained ----------------------------------------------------------------------------------


def dev_accuracies(
    model: VQA, tokenizer: PreTrainedTokenizerFast, sets: Sequence[tuple[Sequence[Question], StemMap]]
) -> dict[str, float]:
    """Mean accuracy over the sources of questions first, then each one's, by the decoder alone."""
    model.eval()
    hits: dict[str, list[bool]] = defaultdict(list)
    for questions, stem_map in sets:
        made = [q for q in questions if q.source == "generated"]
        chosen = [q for q in questions if q.source != "generated"]
        chosen += random.Random(1).sample(made, min(len(made), DEV_GENERATED))
        asked = sorted(chosen, key=lambda q: q.photo)
        for question, answer in zip(asked, _greedy(model, tokenizer, asked, stem_map), strict=True):
            hits[question.source].append(answer == normalise_answer(question.answers[0]))
    figures = {source: 100 * sum(right) / len(right) for source, right in hits.items()}
    return {"mean": sum(figures.values()) / len(figures), **figures}


@torch.inference_mode()
def _greedy(
    model: VQA, tokenizer: PreTrainedTokenizerFast, questions: Sequence[Question], stem_map: StemMap
) -> Iterator[str]:
    """The decoder's likeliest answers, by greedy search; neighbours about the same photo share it."""
    tokens = training_ids(tokenizer, [normalise(q.question) for q in questions])
    for start in range(0, len(questions), 64):
        files = [q.photo for q in questions[start : start + 64]]
        different = list(dict.fromkeys(files))
        photos = model.features(model.grid(torch.stack([stem_map(file) for file in different])))
        rows = torch.tensor([different.index(file) for file in files])
        encoded = model.encode(photos[rows], pad(tokens[start : start + 64]))
        found = greedy_search(model.decoder, encoded.memory, MAX_ANSWER)
        yield from _texts(tokenizer, [hypothesis.tokens for hypothesis in found])


def _texts(tokenizer: PreTrainedTokenizerFast, answers: Sequence[Sequence[int]]) -> list[str]:
    return [tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]


# --- from the photo files, as a visitor's questions go -----------------------------------------------------------


def answer_all(predictor: VQAPredictor, questions: Sequence[Question]) -> Iterator[Answered]:
    """Each question with the network's answers, photo by photo."""
    by_photo = defaultdict(list)
    for question in questions:
        by_photo[question.photo].append(question)
    for file, asked in tqdm(by_photo.items(), unit="photo", disable=not sys.stderr.isatty()):
        photo = predictor.photo_features(load_image(file))
        for start in range(0, len(asked), 32):
            chunk = asked[start : start + 32]
            yield from zip(chunk, *_answer_chunk(predictor, photo, chunk), strict=True)


@torch.inference_mode()
def _answer_chunk(predictor: VQAPredictor, photo: PhotoFeatures, questions: Sequence[Question]) -> Iterator[list[str]]:
    """The answers to questions about one photo with it, then those without."""
    tokens = pad([predictor.parser.question(q.question).ids for q in questions])
    encoded = predictor.model.encode_pairs(photo[torch.zeros(len(questions), dtype=torch.long)], tokens)
    best = predictor.distribution(encoded).best(Beam(5, max_length=MAX_ANSWER, n_best=1))
    return (_texts(predictor.tokenizer, answers) for answers in best)


def accuracies(answered: Sequence[Answered]) -> dict[str, Any]:
    """Soft accuracy in percent, with the photo and without it ("blind"), over all questions and per type."""
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for question, seeing, blind in answered:
        humans = [normalise_answer(answer) for answer in question.answers]
        pair = (soft_accuracy(seeing, humans), soft_accuracy(blind, humans))
        scores["all"].append(pair)
        scores[question.type].append(pair)
    figures = {}
    for name, pairs in scores.items():
        right = [round(100 * sum(values) / len(pairs), 2) for values in zip(*pairs, strict=True)]
        figures[name] = {"questions": len(pairs), "accuracy": right[0], "blind": right[1]}
    return {**figures.pop("all"), "per type": figures}


# --- command line ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    help_text = "folder of COCO; or of photos, with --questions and --annotations"
    parser.add_argument("--data", type=Path, required=True, help=help_text)
    parser.add_argument("--questions", type=Path, help="v2_OpenEnded_mscoco_*_questions.json of the official VQA set")
    parser.add_argument("--annotations", type=Path, help="v2_mscoco_*_annotations.json")
    parser.add_argument("--split", choices=["dev", "test"], default="test")
    parser.add_argument("--source", help='only "people", "human yes/no" or "generated" questions')
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--save", action="store_true", help="also write the figures to the checkpoint's metrics.json")


def main(options: argparse.Namespace) -> None:
    """Print one JSON line of figures per source of questions."""
    sources = read_sources(options)
    source = options.checkpoint or checkpoint_folder("vqa")
    predictor = VQAPredictor.from_pretrained(source)
    for name, questions in sources.items():
        about = {"data": options.data.name, "split": options.split, "source": name}
        report(about, accuracies(list(answer_all(predictor, questions))), source if options.save else None)


def read_sources(options: argparse.Namespace) -> dict[str, list[Question]]:
    """{source: its questions}. Raises InputError for options that do not go together, or a source that there is not."""
    if bool(options.questions) != bool(options.annotations):
        raise InputError("The official VQA set needs both --questions and --annotations.")
    if options.questions:
        return {"vqa": read_vqa(options.questions, options.annotations, options.data)}
    sources = read_people(options.data, options.split)
    sources["generated"] = generated_questions(read_collection(options.data)[options.split])
    if options.source and options.source not in sources:
        raise InputError(f"{options.data} has no {options.source!r} questions: choose one of {', '.join(sources)}.")
    return {options.source: sources[options.source]} if options.source else sources
