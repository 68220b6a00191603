"""The published figures of the translator, sacreBLEU and chrF with their signatures, and those that training needs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder
from core.errors import InputError
from core.input.tokenizers import encode
from core.metrics import bleu, chrf
from core.metrics.records import report
from demos.translation.data import (
    PAIRS,
    Tatoeba,
    TestItem,
    encode_sources,
    normalise,
    read_multi30k,
    read_tatoeba,
)
from demos.translation.languages import Languages, tokens_of
from demos.translation.model import Translator
from demos.translation.predict import Pair, TranslationOptions, TranslationPredictor
from demos.translation.reranking import LanguageDecoder, backwards, sequence_logprobs

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


def dev_scores(
    model: Translator, tokenizer: PreTrainedTokenizerFast, languages: Languages, sets: Sets
) -> dict[str, float]:
    """Greedy BLEU per direction, their mean first: for choosing, not for quoting."""
    predictor, scores = TranslationPredictor(model, tokenizer, languages), {}
    for (name, _, pair), items in sets.items():
        texts = translate(predictor, items, pair, TranslationOptions(beam_size=1))
        scores[f"{name} {'-'.join(pair)}"] = round(bleu(texts, [item.references for item in items]).value, 2)
    return {"mean BLEU": round(sum(scores.values()) / len(scores), 3), **scores}


def backward_scores(
    model: Translator, tokenizer: PreTrainedTokenizerFast, languages: Languages, sets: Sets
) -> dict[str, float]:
    """Mean log-probability per token that the backward decoder gives to the first reference, by direction, their mean
    first: for choosing."""
    scores = {}
    for (name, _, pair), items in sets.items():
        sources = encode_sources(tokenizer, [normalise(item.text) for item in items], [pair] * len(items))
        references = encode(tokenizer, [normalise(item.references[0]) for item in items])
        pairs = [backwards(reference[1:], source) for reference, source in zip(references, sources, strict=True)]
        decoder = LanguageDecoder.of(model.backward, tokens_of(languages, pair[1]), fast=False)
        total = sum(sequence_logprobs(model, decoder, pairs))
        scores[f"{name} {'-'.join(pair)}"] = round(total / sum(len(each.written) - 1 for each in pairs), 4)
    return {"mean log-probability": sum(scores.values()) / len(scores), **scores}


# --- command line ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    parser.add_argument("--multi30k", type=Path, help="folder with val.en.gz, test_2016_flickr.en.gz, ...")
    parser.add_argument("--tatoeba", type=Path, help="fra.txt or fra.txt.gz")
    parser.add_argument("--split", choices=[*SPLITS], default="test")
    parser.add_argument("--limit", type=int, help="only the first so many sentences of each set")
    parser.add_argument("--beam-size", type=int, default=TranslationOptions.beam_size)
    parser.add_argument("--length-penalty", type=float, default=TranslationOptions.length_penalty)
    parser.add_argument("--no-rerank", action="store_true", help="rank as the search does")
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--save", action="store_true", help="also write the figures to the checkpoint's metrics.json")


def main(options: argparse.Namespace) -> None:
    """Print one JSON line of figures per set."""
    setting = TranslationOptions(options.beam_size, options.length_penalty, not options.no_rerank)
    sets = multi30k_sets(options.multi30k, options.split) if options.multi30k else {}
    if options.tatoeba:
        sets |= tatoeba_sets(read_tatoeba(options.tatoeba), options.split)
    if not sets:
        raise InputError("Name the sentences to evaluate on: --multi30k FOLDER, --tatoeba FILE, or both.")
    checkpoint = options.checkpoint or checkpoint_folder("translation")
    predictor = TranslationPredictor.from_pretrained(checkpoint)
    quiet = not sys.stderr.isatty()
    for (data, split, pair), items in tqdm(sets.items(), unit="set", disable=quiet):
        items = items[: options.limit]
        references = [item.references for item in items]
        texts = translate(predictor, items, pair, setting)
        score, letters = bleu(texts, references), chrf(texts, references)
        about = {
            "data": data,
            "split": split,
            "direction": "-".join(pair),
            "sentences": len(items),
            "beam_size": setting.beam_size,
            "length_penalty": setting.length_penalty,
            "rerank": setting.rerank,
        }
        figures = {
            "BLEU": round(score.value, 2),
            "chrF": round(letters.value, 2),
            "BLEU signature": score.signature,
            "chrF signature": letters.signature,
        }
        report(about, figures, checkpoint if options.save else None)
