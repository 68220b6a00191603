"""The published figures of the translator: sacreBLEU and chrF with their signatures."""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder
from core.errors import InputError
from core.input.tokenizers import encode
from core.metrics import bleu, chrf
from demos.translation.data import (
    PAIRS,
    Tatoeba,
    TestItem,
    encode_sources,
    normalise,
    read_multi30k,
    read_tatoeba,
)
from demos.translation.model import Translator
from demos.translation.predict import Pair, TranslationOptions, TranslationPredictor
from demos.translation.reranking import backwards, told_logprobs

Sets = dict[tuple[str, str, Pair], list[TestItem]]  # data set, split, languages -> items

SPLITS = {"dev": ("dev",), "test": ("test2016", "test2017")}  # of Multi30k


def multi30k_sets(root: Path, split: str) -> Sets:
    """The sets of Multi30k. Sources and references stay as people wrote them."""
    sets = {}
    for part in SPLITS[split]:
        lines = read_multi30k(root, part)
        for pair in PAIRS:
            if set(pair) <= lines.keys():
                both = zip(lines[pair[0]], lines[pair[1]], strict=True)
                sets["Multi30k", part, pair] = [TestItem(text, (reference,)) for text, reference in both]
    return sets


def tatoeba_sets(tatoeba: Tatoeba, split: str) -> Sets:
    """The same of Tatoeba, both ways."""
    return {("Tatoeba", split, pair): tatoeba.items(split, pair[0]) for pair in (("en", "fr"), ("fr", "en"))}


def translate(
    predictor: TranslationPredictor, items: Sequence[TestItem], pair: Pair, options: TranslationOptions
) -> list[str]:
    """The best translation of each item, made as a visitor's would be."""
    texts = []
    for result in predictor.stream(((item.text, *pair) for item in items), options):
        if isinstance(result, InputError):
            raise result
        texts.append(result.text)
    return texts


def dev_scores(model: Translator, tokenizer: PreTrainedTokenizerFast, sets: Sets) -> dict[str, float]:
    """Greedy BLEU per direction, their mean first: for choosing, not for quoting."""
    predictor, scores = TranslationPredictor(model, tokenizer), {}
    for (name, _, pair), items in sets.items():
        texts = translate(predictor, items, pair, TranslationOptions(beam_size=1))
        scores[f"{name} {'-'.join(pair)}"] = round(bleu(texts, [item.references for item in items]).value, 2)
    return {"mean BLEU": round(sum(scores.values()) / len(scores), 3), **scores}


def backward_scores(model: Translator, tokenizer: PreTrainedTokenizerFast, sets: Sets) -> dict[str, float]:
    """Mean log-probability per token that the backward decoder gives to the first reference, by direction, their mean
    first: for choosing."""
    scores = {}
    for (name, _, pair), items in sets.items():
        sources = encode_sources(tokenizer, [normalise(item.text) for item in items], [pair] * len(items))
        references = encode(tokenizer, [normalise(item.references[0]) for item in items])
        passes = [backwards(told[1:], source) for told, source in zip(references, sources, strict=True)]
        total = sum(told_logprobs(model, model.writer(pair[1], backward=True), passes))
        scores[f"{name} {'-'.join(pair)}"] = round(total / sum(len(each.told) - 1 for each in passes), 4)
    return {"mean log-probability": sum(scores.values()) / len(scores), **scores}


# --- command line ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    parser.add_argument("--multi30k", type=Path, help="folder with val.en.gz, test_2016_flickr.en.gz, ...")
    parser.add_argument("--tatoeba", type=Path, help="fra.txt or fra.txt.gz")
    parser.add_argument("--split", choices=[*SPLITS], default="test")
    parser.add_argument("--limit", type=int, help="only the first so many sentences of each set")
    parser.add_argument("--beam-size", type=int, nargs="+", default=[TranslationOptions.beam_size])
    parser.add_argument("--length-penalty", type=float, nargs="+", default=[TranslationOptions.length_penalty])
    parser.add_argument("--channel-weight", type=float, nargs="+", default=[TranslationOptions.channel_weight])
    parser.add_argument("--backward-weight", type=float, nargs="+", default=[TranslationOptions.backward_weight])
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--save", action="store_true", help="also write the figures to the checkpoint's metrics.json")


def main(options: argparse.Namespace) -> None:
    """Print one JSON line of figures per set and setting."""
    sets = multi30k_sets(options.multi30k, options.split) if options.multi30k else {}
    if options.tatoeba:
        sets |= tatoeba_sets(read_tatoeba(options.tatoeba), options.split)
    if not sets:
        raise InputError("Name the sentences to evaluate on: --multi30k FOLDER, --tatoeba FILE, or both.")
    predictor = TranslationPredictor.from_pretrained(options.checkpoint)
    chosen = product(options.beam_size, options.length_penalty, options.channel_weight, options.backward_weight)
    settings = [TranslationOptions(*values) for values in chosen]
    quiet = not sys.stderr.isatty()
    for (data, split, pair), items in tqdm(sets.items(), unit="set", disable=quiet):
        items = items[: options.limit]
        references = [item.references for item in items]
        for setting in settings:
            texts = translate(predictor, items, pair, setting)
            score, letters = bleu(texts, references), chrf(texts, references)
            record = {
                "data": data,
                "split": split,
                "direction": "-".join(pair),
                "sentences": len(items),
                "beam_size": setting.beam_size,
                "length_penalty": setting.length_penalty,
                "channel_weight": setting.channel_weight,
                "backward_weight": setting.backward_weight,
                "BLEU": round(score.value, 2),
                "chrF": round(letters.value, 2),
                "BLEU signature": score.signature,
                "chrF signature": letters.signature,
            }
            _report(record, options)


def _report(record: dict[str, Any], options: argparse.Namespace) -> None:
    print(json.dumps(record), flush=True)
    if not options.save:
        return
    file = Path(options.checkpoint or checkpoint_folder("translation")) / "metrics.json"
    content = json.loads(file.read_text()) if file.exists() else {"evaluations": []}
    weights = ("channel_weight", "backward_weight")
    keys = ("data", "split", "direction", "sentences", "beam_size", "length_penalty", *weights)
    kept = [e for e in content["evaluations"] if any(e.get(key) != record[key] for key in keys)]
    content["evaluations"] = [*kept, record]
    file.write_text(json.dumps(content, indent=2) + "\n")
