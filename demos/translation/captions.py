"""More descriptions of photos to learn from: Flickr8k's captions, and the network's own translations of them.

Learning to translate those translations back gives the network more English to write (back-translation, Sennrich et al.
2016); learning to make them again from noisy input gives it more to read (self-training, He et al. 2020). Several
translations of each, and of Multi30k's own sentences, give it more ways of saying the same to read (data
diversification, Nguyen et al. 2020).

Multi30k describes the photos of Flickr30k, which Flickr8k's belong to, with one of the five captions of each. So a
photo's other captions are used only where Multi30k trains on that photo: none of them tells of a photo of dev or test.
"""

import argparse
import re
from pathlib import Path

from tqdm import tqdm

from core.errors import InputError
from core.training.captioned_photos import read_captions
from demos.translation.data import LANGUAGES, letters, normalise, read_multi30k
from demos.translation.predict import TranslationOptions, TranslationPredictor
from demos.translation.results import TranslationResult

HELD_OUT = ("dev", "test2016", "test2017")
_TOKENS = ((r"\s+([.,;:!?%)]|'s\b|n't\b)", r"\1"), (r"\(\s+", "("), (r'" ([^"]*?) "', r'"\1"'))


def unused_captions(flickr8k: Path, multi30k: Path) -> list[str]:
    """Captions of the photos that Multi30k trains on, without the one that it has; as one writes them, each once.

    Raises InputError when either collection cannot be read, or they share no photo.
    """
    held_out = {letters(line) for split in HELD_OUT for line in read_multi30k(multi30k, split)["en"]}
    trained = {letters(line) for line in read_multi30k(multi30k, "train")["en"]}
    found = []
    for captions in read_captions(flickr8k / "Flickr8k.token.txt").values():
        keys = [letters(caption) for caption in captions]
        if trained.intersection(keys) and not held_out.intersection(keys):
            found += [written(c) for c, key in zip(captions, keys, strict=True) if key and key not in trained]
    if not found:
        raise InputError(f"No photo of {flickr8k} is described in {multi30k}'s training sentences: name both folders.")
    return list(dict.fromkeys(found))


def written(caption: str) -> str:
    """Flickr8k's captions are cut into tokens, "a dog 's ball ." -> "A dog's ball." """
    text = normalise(caption)
    for pattern, replacement in _TOKENS:
        text = re.sub(pattern, replacement, text)
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in ".!?" else text + "."


# --- command line ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `captions`."""
    parser.add_argument("--flickr8k", type=Path, required=True, help="folder with Flickr8k.token.txt")
    parser.add_argument("--multi30k", type=Path, required=True, help="folder with train.en.gz, ...")
    others = [code for code in LANGUAGES if code != "en"]
    parser.add_argument("--languages", nargs="+", choices=others, default=others, help="to translate to")
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--beam-size", type=int, default=4)
    parser.add_argument("--n-best", type=int, default=1, help="translations of each caption (default: %(default)s)")
    parser.add_argument("--own", action="store_true", help="translate Multi30k's own training sentences, too")
    parser.add_argument("--limit", type=int, help="only the first so many captions")
    parser.add_argument("--out", type=Path, required=True, help="folder for captions.en, captions.de, ...")


def main(options: argparse.Namespace) -> None:
    """Write the captions and their translations, aligned line by line, for `train --captions`."""
    settings, n_best = TranslationOptions(options.beam_size), options.n_best
    if not 1 <= n_best <= options.beam_size:
        raise InputError(f"--n-best must lie between 1 and the beam size, {options.beam_size}; it is {n_best}.")
    captions = unused_captions(options.flickr8k, options.multi30k)[: options.limit]
    if options.own:
        captions += [normalise(line) for line in read_multi30k(options.multi30k, "train")["en"]][: options.limit]
    predictor = TranslationPredictor.from_pretrained(options.checkpoint)
    texts = {"en": [caption for caption in captions for _ in range(n_best)]}
    for language in options.languages:
        requests = ((caption, "en", language) for caption in captions)
        results = tqdm(predictor.stream(requests, settings), language, len(captions), unit="caption")
        texts[language] = [text for result in results for text in _best(result, n_best)]
    options.out.mkdir(parents=True, exist_ok=True)
    for language, lines in texts.items():
        (options.out / f"captions.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _best(result: TranslationResult | InputError, count: int) -> list[str]:
    """`count` translations, each on one line; empty lines, which training skips, where there are not as many."""
    found = [] if isinstance(result, InputError) else [" ".join(each.text.split()) for each in result.hypotheses]
    return [*found[:count], *[""] * (count - len(found))]
