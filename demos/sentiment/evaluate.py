"""The published figures of the sentiment networks: accuracy per data set, F1, and calibration."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder, load_tokenizer
from core.metrics import accuracy, expected_calibration_error, macro_f1
from core.metrics.records import report
from core.training.batches import batches_by_length
from demos.sentiment.contrasts import contrasts
from demos.sentiment.data import Corpus, Example, class_mask, padded, polarity, read_corpus, token_ids
from demos.sentiment.model import SentimentClassifier, positive_probability

CONTRASTS = 1000  # made texts


@torch.inference_mode()
def predict_logits(model: SentimentClassifier, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Tensor:
    """(N, C) logits of texts as `strip_html` leaves them, not yet divided by the temperature."""
    model.eval()
    ids = token_ids(tokenizer, texts, model.config.max_tokens)
    logits = torch.empty(len(ids), len(model.config.class_names))
    batches = list(batches_by_length([len(row) for row in ids], 128, 16384))
    for rows in tqdm(batches, unit="batch", disable=not sys.stderr.isatty(), leave=False):
        logits[rows] = model(**padded([ids[row] for row in rows])).logits.float()
    return logits


def scores(probabilities: Tensor, examples: Sequence[Example]) -> dict[str, float]:
    """Percentages: accuracy of negative or positive over the texts that are either, with macro F1 and calibration
    error; and, where every text has one of five classes, accuracy over them."""
    count = probabilities.size(1)
    actual = [polarity(example.classes, count) for example in examples]
    rows = [row for row, value in enumerate(actual) if value is not None]
    positive = positive_probability(probabilities[rows])
    predicted, known = (positive > 0.5).long().tolist(), [actual[row] for row in rows]
    figures = {
        "accuracy": accuracy(predicted, known),
        "F1": macro_f1(predicted, known),
        "ECE": _calibration_error(torch.maximum(positive, 1 - positive), predicted, known),
    }
    if count == 5 and all(len(example.classes) == 1 for example in examples):
        confidence, best = probabilities.max(1)
        fine = [example.classes[0] for example in examples]
        figures["five-class accuracy"] = accuracy(best.tolist(), fine)
        figures["five-class ECE"] = _calibration_error(confidence, best.tolist(), fine)
    return {name: 100 * value for name, value in figures.items()}


def _calibration_error(confidence: Tensor, predicted: Sequence[int], actual: Sequence[int | None]) -> float:
    right = [p == a for p, a in zip(predicted, actual, strict=True)]
    return expected_calibration_error(confidence.tolist(), right)


def dev_scores(
    model: SentimentClassifier, tokenizer: PreTrainedTokenizerFast, corpora: Sequence[Corpus]
) -> dict[str, float]:
    """The mean of all accuracies first, then the scores of each dev set."""
    figures = {}
    for corpus in corpora:
        logits = predict_logits(model, tokenizer, [e.text for e in corpus.dev])
        found = scores((logits / model.config.temperature).softmax(1), corpus.dev)
        figures |= {f"{corpus.name} {name}": value for name, value in found.items()}
    values = [value for name, value in figures.items() if "accuracy" in name]
    return {"mean accuracy": sum(values) / len(values), **figures}


def best_temperature(logits: Sequence[Tensor], corpora: Sequence[Corpus]) -> tuple[float, float]:
    """The temperature with the least loss on the dev sets, each counting alike (Guo et al. 2017); and that loss.

    logits: (N, C) of each dev set.
    """
    temperatures = torch.logspace(-0.7, 0.7, 141)
    loss = torch.zeros_like(temperatures)
    for each, corpus in zip(logits, corpora, strict=True):
        allowed = class_mask([example.classes for example in corpus.dev], each.size(1))
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
    parser.add_argument("--save", action="store_true", help="also write the figures to the checkpoint's metrics.json")


def main(options: argparse.Namespace) -> None:
    """Print one JSON line of figures; for SST a second one, of made texts in which "not" and "but" decide."""
    corpus = read_corpus(options.data)
    source = options.checkpoint or checkpoint_folder(f"sentiment/{corpus.language}")
    model, tokenizer = SentimentClassifier.from_pretrained(source), load_tokenizer(source)
    sets = {corpus.name: getattr(corpus, options.split)}
    if corpus.name == "SST" and (made := contrasts(corpus, options.split, CONTRASTS)):
        sets["SST, made contrasts"] = made
    for name, examples in sets.items():
        logits = predict_logits(model, tokenizer, [e.text for e in examples])
        figures = scores((logits / model.config.temperature).softmax(1), examples)
        about = {"data": name, "split": options.split, "texts": len(examples)}
        report(about, {k: round(v, 2) for k, v in figures.items()}, source if options.save else None)
