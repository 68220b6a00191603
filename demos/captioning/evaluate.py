"""The published figures of the captioner: COCO caption metrics, and ranking of captions by log-probability."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder
from core.decoding.hypothesis import Hypothesis
from core.decoding.score import token_logprobs
from core.decoding.search import Beam, beam_search
from core.errors import InputError
from core.input.image import load_image
from core.input.tokenizers import encode, pad
from core.metrics import caption_scores, caption_scores_fast, r_precision, success_at_k
from core.metrics.records import report
from core.training.captioned_photos import CaptionedPhoto, read_collection
from core.training.feature_cache import StemCache
from demos.captioning.model import Captioner
from demos.captioning.predict import CaptioningOptions, CaptioningPredictor

RANKED_PHOTOS = 100  # a photo's captions are sought among those of so many photos


@torch.inference_mode()
def caption_stems(model: Captioner, batches: Iterator[Tensor], beam: Beam) -> list[list[Hypothesis]]:
    """The n best captions of each photo, given (B, C, h, w) stem maps batch by batch."""
    model.eval()
    found = []
    for maps in batches:
        memory, _ = model.memory(maps.to(model.place.device))
        found += beam_search(model.decoder, memory, beam)
    return found


def dev_scores(
    model: Captioner,
    tokenizer: PreTrainedTokenizerFast,
    photos: Sequence[CaptionedPhoto],
    cache: StemCache,
    beam: Beam | None = None,
) -> dict[str, float]:
    """CIDEr first, then BLEU-4 and ROUGE-L, with a simple tokenizer: for choosing, not for quoting."""
    found = caption_stems(model, cache.batches(25), beam or Beam(size=3, n_best=1, length_penalty=0.7))
    texts = [tokenizer.decode(best[0].tokens, skip_special_tokens=True) for best in found]
    scores = caption_scores_fast(texts, [p.captions for p in photos])
    return {name: scores[name] for name in ("CIDEr", "BLEU-4", "ROUGE-L")}


def caption_figures(
    predictor: CaptioningPredictor, photos: Sequence[CaptionedPhoto], options: CaptioningOptions
) -> dict[str, float]:
    """BLEU-1 to 4, METEOR, ROUGE-L and CIDEr of the best caption, from the photo files as a visitor's photos go."""
    results = predictor.stream((photo.path for photo in photos), options)
    texts = []
    for result in tqdm(results, total=len(photos), unit="photo", disable=not sys.stderr.isatty()):
        if isinstance(result, InputError):
            raise result
        texts.append(result.text)
    return caption_scores(texts, [photo.captions for photo in photos])


@torch.inference_mode()
def ranking_figures(predictor: CaptioningPredictor, photos: Sequence[CaptionedPhoto], groups: int) -> dict[str, float]:
    """Success@1/5/10 and R-precision of ranking the captions of 100 photos for each of them, mean over the groups.

    Plain log-probability favours captions that are likely for any photo. So each figure is also given for the
    log-probability's gain over that of all photos together, "/ prior" (an estimate of pointwise mutual information).
    """
    decoder, figures = predictor.model.decoder, []
    for number in tqdm(range(groups), unit="group", disable=not sys.stderr.isatty()):
        group = photos[number * RANKED_PHOTOS : (number + 1) * RANKED_PHOTOS]
        captions = [(owner, text) for owner, photo in enumerate(group) for text in photo.captions]
        # by length, so that short captions are not padded to the longest
        captions.sort(key=lambda caption: len(caption[1]))
        ids = encode(predictor.tokenizer, [text for _, text in captions])
        batches = [pad(ids[start : start + 100]) for start in range(0, len(ids), 100)]
        relevant = torch.tensor([[owner == row for owner, _ in captions] for row in range(len(group))])
        scores = []
        for photo in group:
            memory, _ = predictor.memory([load_image(photo.path)])
            scores.append(torch.cat([token_logprobs(decoder, memory, tokens).sum(1) for tokens in batches]))
        scores = torch.stack(scores)  # (photos, captions)
        figures.append(
            {
                f"{name}{suffix}": value
                for suffix, matrix in (("", scores), (" / prior", scores - scores.logsumexp(0)))
                for name, value in _rank(matrix, relevant).items()
            }
        )
    return {name: sum(f[name] for f in figures) / len(figures) for name in figures[0]}


def _rank(scores: Tensor, relevant: Tensor) -> dict[str, float]:
    arrays = scores.numpy(), relevant.numpy()
    figures = {f"success@{k}": 100 * success_at_k(*arrays, k) for k in (1, 5, 10)}
    return figures | {"R-precision": 100 * r_precision(*arrays)}


# --- command line ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of Flickr8k or COCO captions")
    parser.add_argument("--split", choices=["dev", "test"], default="test")
    parser.add_argument("--beam-size", type=int, default=CaptioningOptions.beam_size)
    parser.add_argument("--no-rerank", action="store_true", help="leave out what the word detector says")
    parser.add_argument("--ranking-groups", type=int, default=0, help="groups of 100 photos to rank captions in")
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--save", metavar="NAME", help="also write the figures to the checkpoint's metrics.json")


def main(options: argparse.Namespace) -> None:
    """Print one JSON line of figures, and one more for ranking."""
    photos = read_collection(options.data)[options.split]
    if options.ranking_groups * RANKED_PHOTOS > len(photos):
        raise InputError(f"{len(photos)} photos make at most {len(photos) // RANKED_PHOTOS} groups to rank.")
    predictor = CaptioningPredictor.from_pretrained(options.checkpoint)
    save_to = (options.checkpoint or checkpoint_folder("captioning")) if options.save else None
    about = {"data": options.save or options.data.name, "split": options.split, "photos": len(photos)}
    search = CaptioningOptions(options.beam_size, rerank=not options.no_rerank)
    names = ("beam_size", "n_best", "length_penalty", "rerank")
    settings = {name: getattr(search, name) for name in names}
    report({**about, **settings}, _rounded(caption_figures(predictor, photos, search)), save_to)
    if groups := options.ranking_groups:
        about |= {"photos": groups * RANKED_PHOTOS, "ranked_among": RANKED_PHOTOS}
        report(about, _rounded(ranking_figures(predictor, photos, groups)), save_to)


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in figures.items()}
