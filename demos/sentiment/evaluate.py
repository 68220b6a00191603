"""The published figures of the sentiment networks: accuracy per data set, F1, and calibration."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from core.errors import InputError
from core.metrics import accuracy, expected_calibration_error, precision_recall_f1
from demos.sentiment.contrasts import contrasts
from demos.sentiment.data import Corpus, Example, batches_by_length, padded, polarity, read_corpus, token_ids
from demos.sentiment.model import SentimentClassifier

CONTRASTS = 1000  # made texts


@torch.inference_mode()
def predict_logits(
    model: SentimentClassifier, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], longest: int | None = None
) -> Tensor:
    """(N, C) logits of texts as `plain` leaves them, not yet divided by the temperature."""
    model.eval()
    ids = token_ids(tokenizer, texts, longest or model.config.max_tokens)
    logits = torch.empty(len(ids), len(model.config.class_names))
    batches = list(batches_by_length([len(row) for row in ids], 128, 16384))
    for rows in tqdm(batches, unit="batch", disable=not sys.stderr.isatty(), leave=False):
        logits[rows] = model(**padded([ids[row] for row in rows])).logits.float()
    return logits


def positive_probability(probabilities: Tensor) -> Tensor:
    """(..., C) probabilities of the classes from worst to best -> (...,) that of the better half, neutral left out."""
    half = probabilities.size(-1) // 2
    worse, better = probabilities[..., :half].sum(-1), probabilities[..., -half:].sum(-1)
    return better / (worse + better)


def scores(probabilities: Tensor, examples: Sequence[Example]) -> dict[str, float]:
    """Percentages: accuracy of negative or positive over the texts that are either, with macro F1 and calibration
    error; and, where every text has one of five classes, accuracy over them."""
    count = probabilities.size(1)
    actual = [polarity(example.classes, count) for example in examples]
    rows = [row for row, value in enumerate(actual) if value is not None]
    positive = positive_probability(probabilities[rows])
    predicted, known = (positive > 0.5).long().tolist(), [actual[row] for row in rows]
    right = [p == k for p, k in zip(predicted, known, strict=True)]
    error = expected_calibration_error(torch.maximum(positive, 1 - positive).tolist(), right)
    figures = {"accuracy": accuracy(predicted, known), "F1": precision_recall_f1(predicted, known)[1].f1, "ECE": error}
    if count == 5 and all(len(example.classes) == 1 for example in examples):
        best = probabilities.argmax(1).tolist()
        fine = [example.classes[0] for example in examples]
        confidence = probabilities.max(1).values.tolist()
        figures["five-class accuracy"] = accuracy(best, fine)
        hits = [p == k for p, k in zip(best, fine, strict=True)]
        figures["five-class ECE"] = expected_calibration_error(confidence, hits)
    return {name: 100 * value for name, value in figures.items()}


def dev_scores(
    model: SentimentClassifier,
    tokenizer: PreTrainedTokenizerFast,
    corpora: Sequence[Corpus],
    calibration: bool = False,
) -> dict[str, float]:
    """The mean accuracy first, then those of each dev set (and with `calibration` their calibration errors)."""
    figures = {}
    for corpus in corpora:
        logits = predict_logits(model, tokenizer, [e.text for e in corpus.dev])
        found = scores((logits / model.config.temperature).softmax(1), corpus.dev)
        figures |= {f"{corpus.name} {k}": v for k, v in found.items() if calibration or "accuracy" in k}
    values = [value for name, value in figures.items() if "accuracy" in name]
    return {"mean accuracy": sum(values) / len(values), **figures}


def calibrate(
    model: SentimentClassifier, tokenizer: PreTrainedTokenizerFast, corpora: Sequence[Corpus]
) -> tuple[float, float]:
    """The temperature with the least loss on the dev sets, each counting alike (Guo et al. 2017); and that loss."""
    logits = [predict_logits(model, tokenizer, [e.text for e in corpus.dev]) for corpus in corpora]
    return best_temperature(logits, corpora)


def best_temperature(logits: Sequence[Tensor], corpora: Sequence[Corpus]) -> tuple[float, float]:
    """The same, given the logits of each dev set."""
    temperatures = torch.logspace(-0.7, 0.7, 141)
    loss = torch.zeros_like(temperatures)
    for each, corpus in zip(logits, corpora, strict=True):
        allowed = torch.zeros_like(each, dtype=torch.bool)
        for row, example in enumerate(corpus.dev):
            allowed[row, list(example.classes)] = True
        for place, temperature in enumerate(temperatures.tolist()):
            logprobs = (each / temperature).log_softmax(1).masked_fill(~allowed, float("-inf"))
            loss[place] -= logprobs.logsumexp(1).mean()
    return round(temperatures[loss.argmin()].item(), 3), loss.min().item() / len(corpora)


# --- command line ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of SST, IMDB or NSMC")
    parser.add_argument("--split", choices=["dev", "test"], default="test")
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's for the language)")
    parser.add_argument("--no-votes", action="store_true", help="the recurrent network without votes of phrases")
    parser.add_argument("--save", action="store_true", help="also write the figures to the checkpoint's metrics.json")


def main(options: argparse.Namespace) -> None:
    """Print one JSON line of figures; for SST a second one, of made texts in which "not" and "but" decide."""
    from demos.sentiment.predict import SentimentPredictor, checkpoint_of

    corpus = read_corpus(options.data)
    folder = Path(options.checkpoint or checkpoint_of("korean" if corpus.name == "NSMC" else "english"))
    predictor = SentimentPredictor.from_pretrained(folder)
    (model, tokenizer) = next(iter(predictor.networks.values()))
    if options.no_votes and options.save:
        raise InputError("--save keeps the figures of the whole network: leave --no-votes out.")
    if options.no_votes:
        model.votes = None
    sets = {corpus.name: getattr(corpus, options.split)}
    if corpus.name == "SST" and (made := contrasts(corpus, options.split, CONTRASTS)):
        sets["SST, made contrasts"] = made
    for name, examples in sets.items():
        logits = predict_logits(model, tokenizer, [e.text for e in examples])
        figures = scores((logits / model.config.temperature).softmax(1), examples)
        record = {"data": name, "split": options.split, "texts": len(examples)}
        record |= {name: round(value, 2) for name, value in figures.items()}
        print(json.dumps(record))
        if options.save:
            save_record(folder / "metrics.json", record)


def save_record(file: Path, record: dict[str, Any]) -> None:
    """Put the record into a metrics.json, in the place of an older one of the same set and split."""
    content = json.loads(file.read_text()) if file.exists() else {"evaluations": []}
    kept = [e for e in content["evaluations"] if any(e.get(k) != record[k] for k in ("data", "split"))]
    content["evaluations"] = [*kept, record]
    file.write_text(json.dumps(content, indent=2) + "\n")
