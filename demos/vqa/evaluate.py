"""The published figures of the VQA network: accuracies per type, VQA soft accuracy, WUPS; beside the blind model's."""

import argparse
import json
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
from core.decoding.search import Beam
from core.errors import InputError
from core.input.image import load_image
from core.input.tokenizers import pad
from core.metrics import load_wordnet, soft_accuracy, wups
from core.training.captioned_photos import read_collection
from demos.vqa.data import Question, generated_questions, read_daquar, read_vqa, read_yes_no
from demos.vqa.frequent import Answering
from demos.vqa.model import VQA, Thought
from demos.vqa.predict import BLIND, MAX_ANSWER, SEEING, VQAPredictor
from demos.vqa.text import normalise, normalise_answer, training_ids

Look = Callable[[Path], Tensor]  # from a photo to its stem map (C, h, w)


@torch.inference_mode()
def think_about(model: VQA, look: Look, photos: Sequence[Path], questions: Sequence[list[int]], blind: bool) -> Thought:
    """What the network makes of N questions in tokens, each about a photo; or without it."""
    different = list(dict.fromkeys(photos))
    grids = model.grid(torch.stack([look(photo) for photo in different]))
    scene = model.look(grids, grids.new_full((len(different),), 0.0 if blind else 1.0))
    return model.think(scene[torch.tensor([different.index(photo) for photo in photos])], pad(questions))


def _best_texts(tokenizer: PreTrainedTokenizerFast, answering: Answering, beam: Beam) -> list[str]:
    found = answering.best(beam, 1)
    return [tokenizer.decode(best[0][0], skip_special_tokens=True) for best in found]


def dev_scores(
    model: VQA,
    tokenizer: PreTrainedTokenizerFast,
    sets: Sequence[tuple[list[Question], Look]],
    generated: int,
) -> dict[str, float]:
    """Mean accuracy over the sources of questions first, then each one's, and the blind model's on people's yes/no."""
    model.eval()
    hits: dict[str, list[bool]] = defaultdict(list)
    for questions, look in sets:
        human = [q for q in questions if q.source != "generated"]
        made = [q for q in questions if q.source == "generated"]
        chosen = human + random.Random(1).sample(made, min(len(made), generated))
        for blind in (False, True):
            asked = [q for q in chosen if not blind or q.source == "human yes/no"]
            for question, answer in zip(*_answers(model, tokenizer, asked, look, blind), strict=True):
                name = f"{question.source}{', blind' * blind}"
                hits[name].append(answer == normalise_answer(question.answers[0]))
    figures = {name: 100 * sum(right) / len(right) for name, right in hits.items()}
    seeing = [value for name, value in figures.items() if not name.endswith("blind")]
    return {"mean": sum(seeing) / len(seeing), **figures}


def _answers(
    model: VQA, tokenizer, questions: Sequence[Question], look: Look, blind: bool
) -> tuple[list[Question], list[str]]:
    """Questions in the order of their photos, and the answers to them."""
    ordered = sorted(questions, key=lambda q: q.photo)
    tokens = training_ids(tokenizer, [normalise(q.question) for q in ordered])
    answers: list[str] = []
    for start in range(0, len(ordered), 64):
        photos = [q.photo for q in ordered[start : start + 64]]
        thought = think_about(model, look, photos, tokens[start : start + 64], blind)
        answers += _best_texts(tokenizer, model.answering(thought), Beam(1, max_length=MAX_ANSWER))
    return ordered, answers


# --- from the photo files, as a visitor's questions go -----------------------------------------------------------


def answer_all(predictor: VQAPredictor, questions: Sequence[Question]) -> Iterator[tuple[Question, str, str]]:
    """Each question with the network's answer, and its answer without the photo."""
    by_photo = defaultdict(list)
    for question in questions:
        by_photo[question.photo].append(question)
    for photo, asked in tqdm(by_photo.items(), unit="photo", disable=not sys.stderr.isatty()):
        scene = predictor.scene(load_image(photo))
        for start in range(0, len(asked), 32):
            chunk = asked[start : start + 32]
            yield from zip(chunk, *_answer_chunk(predictor, scene, chunk), strict=True)


@torch.inference_mode()
def _answer_chunk(predictor: VQAPredictor, scene: Any, chunk: Sequence[Question]) -> list[list[str]]:
    tokens = [predictor.reader.question(q.question).ids for q in chunk]
    rows = torch.tensor([SEEING] * len(chunk) + [BLIND] * len(chunk))
    thought = predictor.model.think(scene[rows], pad([*tokens, *tokens]))
    beam = Beam(5, max_length=MAX_ANSWER, n_best=1)
    texts = _best_texts(predictor.tokenizer, predictor.answering(thought), beam)
    return [texts[: len(chunk)], texts[len(chunk) :]]


def accuracies(answered: Sequence[tuple[Question, str, str]]) -> dict[str, Any]:
    """Soft accuracy in percent, of the seeing and the blind model, over all questions and per type."""
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


def wups_figures(answered: Sequence[tuple[Question, str, str]]) -> dict[str, float]:
    """WUPS@0.9 and WUPS@0.0 in percent, of the seeing and the blind model. Raises ModelError without WordNet."""
    wordnet = load_wordnet()
    references = [_parts(normalise_answer(question.answers[0])) for question, *_ in answered]
    figures = {}
    for name, place in (("", 1), (", blind", 2)):
        answers = [_parts(item[place]) for item in answered]
        for threshold in (0.9, 0.0):
            value = 100 * wups(answers, references, threshold, wordnet)
            figures[f"WUPS@{threshold}{name}"] = round(value, 2)
    return figures


def _parts(answer: str) -> list[str]:
    """ "pillow and blanket" -> pillow, blanket"""
    return sorted(set(answer.split(" and ")))


# --- command line ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    help_text = "folder of DAQUAR or COCO; or of photos, with --questions and --annotations"
    parser.add_argument("--data", type=Path, required=True, help=help_text)
    parser.add_argument("--questions", type=Path, help="v2_OpenEnded_mscoco_*_questions.json of the official VQA set")
    parser.add_argument("--annotations", type=Path, help="v2_mscoco_*_annotations.json")
    parser.add_argument("--split", choices=["dev", "test"], default="test")
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--save", metavar="NAME", help="also write the figures to the checkpoint's metrics.json")


def main(options: argparse.Namespace) -> None:
    """Print one JSON line of figures per source of questions."""
    sources = _sources(options)
    predictor = VQAPredictor.from_pretrained(options.checkpoint)
    for source, questions in sources.items():
        answered = list(answer_all(predictor, questions))
        about = {"data": options.save or options.data.name, "split": options.split, "source": source}
        record = {**about, **accuracies(answered)}
        if source == "daquar":
            record |= wups_figures(answered)
        _report(options, record)


def _sources(options: argparse.Namespace) -> dict[str, list[Question]]:
    """{source: its questions}"""
    if bool(options.questions) != bool(options.annotations):
        raise InputError("The official VQA set needs both --questions and --annotations.")
    if options.questions:
        return {"vqa": read_vqa(options.questions, options.annotations, options.data)}
    if (options.data / "all_qa_pairs.txt").exists():
        return {"daquar": read_daquar(options.data)[options.split]}
    made = {"generated": generated_questions(read_collection(options.data)[options.split])}
    if not (options.data / f"vqa_yes_no.{options.split}.tsv").exists():
        return made
    return {"human yes/no": read_yes_no(options.data)[options.split], **made}


def _report(options: argparse.Namespace, record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)
    if options.save:
        file = Path(options.checkpoint or checkpoint_folder("vqa")) / "metrics.json"
        content = json.loads(file.read_text()) if file.exists() else {"evaluations": []}
        keys = ("data", "split", "source")
        kept = [e for e in content["evaluations"] if any(e.get(k) != record.get(k) for k in keys)]
        content["evaluations"] = [*kept, record]
        file.write_text(json.dumps(content, indent=2) + "\n")
