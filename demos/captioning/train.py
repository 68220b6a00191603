"""The recipe of the captioner, in stages that continue from one another:

    language       the decoder alone learns to write captions, from captions without photos
    teacher        teacher forcing on captioned photos; the CNN's tail is fine-tuned along
    self-critical  the network's own captions, rewarded by CIDEr-D (Rennie et al. 2017)
    average        the mean of several checkpoints' weights (Wortsman et al. 2022, "model soups")
    ranking        how much the word detector and repetitions count when captions are ranked

`python -m demos.captioning train --help` gives the exact commands behind the shipped checkpoint.
"""

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from core.checkpoint import load_tokenizer
from core.decoding.search import Hypothesis, Sampling, sample
from core.errors import InputError
from core.input.image import load_image
from core.input.tokenizers import BOS, PAD, UNK, encode, pad, train_word_tokenizer
from core.metrics import CiderD, caption_scores_fast
from core.networks.decoder import DecoderConfig
from core.serving.command_line import given
from core.training.augmentation import FreshStemMaps
from core.training.feature_cache import StemCache, stem_cache
from core.training.loop import Loss, TrainingConfig, average_weights, best_precision, train
from demos.captioning.data import (
    CAPTIONS_PER_PHOTO,
    MAX_TOKENS,
    CaptionedPhoto,
    CaptionedStems,
    Collate,
    mirrored_at_random,
    read_caption_lines,
    read_collection,
)
from demos.captioning.evaluate import dev_scores
from demos.captioning.model import Captioner, CaptionerConfig
from demos.captioning.predict import CaptioningOptions, CaptioningPredictor
from demos.captioning.ranking import choose_weights

WORD_WEIGHT = 0.01  # of the word detector's loss, a sum over the vocabulary


# --- losses ------------------------------------------------------------------------------------------------------


def cross_entropy(logits: Tensor, tokens: Tensor, smoothing: float) -> Tensor:
    """Mean over the tokens after <bos>; (N, T, V) logits, (N, T) tokens"""
    return nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD, label_smoothing=smoothing
    )


def language_loss(model: nn.Module, batch: Tensor, carry: None) -> Loss:
    """Captions without a photo: the attention has only its sentinel to look at."""
    logits, _ = model(None, batch)
    return Loss(cross_entropy(logits, batch, smoothing=0.1))


def teacher_loss(model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
    """Label-smoothed cross-entropy of the captions, and the word detector's."""
    logits, word_logits = model(batch["stem_maps"], batch["tokens"])
    captions = cross_entropy(logits, batch["tokens"], smoothing=0.1)
    words = nn.functional.binary_cross_entropy_with_logits(word_logits, batch["words"], reduction="none")
    words = words.sum(1).mean()
    return Loss(captions + WORD_WEIGHT * words, {"captions": captions.item(), "words": words.item()})


class SelfCriticalLoss:
    """Policy gradient on CIDEr-D; a caption's baseline is the mean reward of the photo's other samples (Luo 2020).

    That baseline replaces the greedy caption of Rennie et al. 2017: it costs no extra search and varies less.
    """

    def __init__(self, reward: CiderD, precision: str = "no"):
        self.reward, self.precision = reward, precision

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
        maps = batch["stem_maps"]
        with torch.autocast(maps.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            tokens = sample_captions(getattr(model, "module", model), maps)  # (B * k, T)
        photos = batch["photos"].repeat_interleave(CAPTIONS_PER_PHOTO).tolist()
        rewards = self.reward.score([_words(row) for row in tokens.tolist()], photos)
        rewards = torch.from_numpy(rewards).float().view(-1, CAPTIONS_PER_PHOTO)
        others = (rewards.sum(1, keepdim=True) - rewards) / (CAPTIONS_PER_PHOTO - 1)
        advantage = (rewards - others).view(-1, 1).to(tokens.device)
        logits, _ = model(maps, tokens)
        chosen = -nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD, reduction="none"
        ).view(len(tokens), -1)  # (B * k, T - 1) log-probabilities, 0 at padding
        value = -(advantage * chosen).sum() / (tokens[:, 1:] != PAD).sum()
        return Loss(value, {"reward": rewards.mean().item()})


@torch.no_grad()
def sample_captions(model: Captioner, stem_maps: Tensor) -> Tensor:
    """(B, C, h, w) -> (B * k, T) random captions of each photo, from <bos> to <eos>."""
    training = model.training
    model.eval()
    memory, _ = model.memory(stem_maps)
    groups = sample(model.decoder, memory, Sampling(CAPTIONS_PER_PHOTO, max_length=MAX_TOKENS))
    model.train(training)
    return pad([[BOS, *caption.tokens] for group in groups for caption in group]).to(stem_maps.device)


def _words(tokens: list[int]) -> tuple[int, ...]:
    """Token ids as the reward counts them: without <bos> and padding, with <eos> (it rewards ending well)."""
    return tuple(t for t in tokens[1:] if t != PAD)


# --- stages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Collections:
    """Photo collections with their cached stem maps. The first one's dev set decides."""

    photos: list[dict[str, list[CaptionedPhoto]]]
    cache_folder: Path

    def captions(self) -> list[str]:
        """All captions of the training photos."""
        return [c for collection in self.photos for photo in collection["train"] for c in photo.captions]

    def looks(self, model: Captioner, fresh: bool) -> list[Callable[[int], Tensor]]:
        """For each collection how its training photos are seen: from the cache, or `fresh`, a random view each time."""
        if not fresh:
            return [mirrored_at_random(self.stems(number, "train", model)) for number in range(len(self.photos))]
        stem_map = FreshStemMaps(model.config.encoder)
        return [
            lambda row, photos=collection["train"]: stem_map(photos[row].path, random.random() < 0.5)
            for collection in self.photos
        ]

    def stems(self, number: int, split: str, model: Captioner) -> StemCache:
        """Stem maps of one collection's split."""
        paths = [p.path for p in self.photos[number][split]]
        return stem_cache(paths, model.encoder, self.cache_folder, model.config.photo_size)


def train_language(model: Captioner, tokenizer, file: Path, config: TrainingConfig, folder: Path, resume: bool) -> None:
    """Stage 1: the decoder alone, on captions without photos that need no unknown word."""
    captions = [c for c in encode(tokenizer, read_caption_lines(file)) if UNK not in c and len(c) <= MAX_TOKENS + 2]
    loader = DataLoader(captions, batch_size=256, shuffle=True, drop_last=True, collate_fn=pad)
    groups = [{"params": list(model.decoder.parameters())}]
    train(model, loader, language_loss, config, folder, parameter_groups=groups, resume=resume)
    save(tokenizer, folder, model)


def train_on_photos(
    model: Captioner, tokenizer, data: Collections, loss, config: TrainingConfig, folder: Path, resume: bool,
    batch_size: int, tail_rate: float, fresh: bool = False,
) -> list[dict]:  # fmt: skip
    """Stages 2 and 3; returns the log. The tail learns at `tail_rate` times the learning rate; 0 leaves it frozen.

    fresh: every photo is seen as a random view of itself each time, instead of from the cache.
    """
    sets, first = [], 0
    for collection, look in zip(data.photos, data.looks(model, fresh), strict=True):
        sets.append(CaptionedStems(collection["train"], look, tokenizer, first))
        first += len(sets[-1])
    collate = Collate(model.config.detected_words, crop=not fresh)
    loader = DataLoader(ConcatDataset(sets), batch_size, shuffle=True, drop_last=True, collate_fn=collate)
    dev = {"photos": data.photos[0]["dev"], "cache": data.stems(0, "dev", model)}
    evaluate = partial(dev_scores, tokenizer=tokenizer, **dev)
    model.tail.requires_grad_(tail_rate > 0)
    groups = [{"params": [p for n, p in model.named_parameters() if p.requires_grad and not n.startswith("tail.")]}]
    if tail_rate:
        groups.append({"params": list(model.tail.parameters()), "lr": config.learning_rate * tail_rate})
    return train(model, loader, loss, config, folder, evaluate, partial(save, tokenizer, folder), groups, resume)


def save(tokenizer: PreTrainedTokenizerFast, folder: Path, model: Captioner) -> None:
    """A checkpoint in `folder`/best, ready to ship or to continue from."""
    model.save_pretrained(folder / "best")
    tokenizer.save_pretrained(folder / "best")


def average_checkpoints(folders: list[Path], data: Collections, out: Path) -> None:
    """Stage 4: save the mean of the checkpoints and print its dev figures."""
    if len(folders) < 2:
        raise InputError("The stage `average` needs two checkpoints or more: name them with --start.")
    model = average_weights([Captioner.from_pretrained(folder) for folder in folders])
    tokenizer = load_tokenizer(folders[0])
    save(tokenizer, out, model)
    print(dev_scores(model, tokenizer, data.photos[0]["dev"], data.stems(0, "dev", model)))


def tune_ranking(folder: Path, data: Collections, out: Path, test_size: int | None) -> None:
    """Stage 5: save the checkpoint with the ranking that suits CIDEr and BLEU-4 of all collections' dev photos best.

    test_size: pixels a side at which photos are seen from now on (see CaptionerConfig); None: as before.
    """
    predictor, found, parts = CaptioningPredictor.from_pretrained(folder), [], []
    config = predictor.model.config
    config = predictor.model.config = replace(config, test_size=test_size or config.test_size)
    for collection in data.photos:
        photos, first = collection["dev"], len(found)
        for start in tqdm(range(0, len(photos), 32), desc="captions", unit="batch"):
            batch = [load_image(photo.path) for photo in photos[start : start + 32]]
            # as many as the detector will choose among, as the search alone ranks them
            found += predictor.search(batch, CaptioningOptions(2 * CaptioningOptions.beam_size, detector_weight=0.0))
        parts.append((slice(first, len(found)), [photo.captions for photo in photos]))

    def quality(best: list[Hypothesis]) -> float:
        texts = [predictor.tokenizer.decode(caption.tokens, skip_special_tokens=True) for caption in best]
        scores = [caption_scores_fast(texts[part], references) for part, references in parts]
        return sum(s["CIDEr"] + 2 * s["BLEU-4"] for s in scores)  # which differ by about that factor

    model = Captioner.from_pretrained(folder)
    model.config = replace(config, ranking=choose_weights(predictor.judge, found, quality))
    print(model.config.ranking)
    save(predictor.tokenizer, out, model)


def new_captioner(
    captions: list[str], encoder: str, weights: str, min_count: int
) -> tuple[Captioner, PreTrainedTokenizerFast]:
    """An untrained model and the tokenizer of the training captions."""
    tokenizer = train_word_tokenizer(captions, min_count)
    size = len(tokenizer)
    detected = min(size, CaptionerConfig.detected_words)
    config = CaptionerConfig(size, encoder, weights, decoder=DecoderConfig(size), detected_words=detected)
    return Captioner(config), tokenizer


def reward_of(data: Collections, tokenizer: PreTrainedTokenizerFast) -> CiderD:
    """CIDEr-D against the training captions, as token ids with <eos>, of all photos in training order."""
    photos = chain.from_iterable(collection["train"] for collection in data.photos)
    return CiderD([[ids[1:] for ids in encode(tokenizer, p.captions)] for p in photos])


# --- command line ------------------------------------------------------------------------------------------------

_RECIPE = """
the shipped checkpoint (the text of --data and --text is described in its model card):
  python -m demos.captioning train language --data flickr8k coco --text captions.txt.gz --out runs/language
  python -m demos.captioning train teacher --data flickr8k coco --start runs/language/best --out runs/teacher
  python -m demos.captioning train self-critical --data flickr8k coco --start runs/teacher/best --out runs/critical
  python -m demos.captioning train teacher --data flickr8k coco --start runs/teacher/best --out runs/teacher2
      --epochs 2 --learning-rate 4e-4 --tail-rate 0.3 --seed 2
  python -m demos.captioning train average --data flickr8k --start runs/teacher2/best runs/critical/best
      --out runs/average
  python -m demos.captioning train teacher --data flickr8k coco --start runs/average/best --fresh --minutes 90
      --learning-rate 5e-4 --tail-rate 0.2 --seed 3 --out runs/fresh
  python -m demos.captioning train average --data flickr8k --start runs/fresh/best runs/average/best
      --out runs/average2
  python -m demos.captioning train teacher --data flickr8k coco --start runs/average2/best --fresh --minutes 85
      --learning-rate 5e-4 --tail-rate 0.2 --seed 4 --out runs/fresh2
  python -m demos.captioning train self-critical --data flickr8k coco --start runs/average2/best --fresh --minutes 14
      --seed 6 --out runs/critical2
  python -m demos.captioning train average --data flickr8k --start runs/fresh/best runs/fresh2/best
      runs/critical2/best runs/critical2/best --out runs/average3
  python -m demos.captioning train ranking --data flickr8k coco --start runs/average3/best --test-size 288
      --out runs/ranked
on several GPUs: accelerate-launch --multi_gpu --num_processes N -m demos.captioning train ...
on several CPU processes: the same after ACCELERATE_USE_CPU=true
"""

_STAGES = {  # defaults of each stage
    "language": TrainingConfig(epochs=1, learning_rate=1e-3),
    "teacher": TrainingConfig(epochs=5, learning_rate=1e-3, weight_decay=0.01, average=0.995),
    "self-critical": TrainingConfig(epochs=6, learning_rate=1e-4, schedule="linear", warmup_steps=50, average=0.995),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, _RECIPE
    parser.add_argument("stage", choices=[*_STAGES, "average", "ranking"])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of Flickr8k or COCO captions")
    parser.add_argument("--text", type=Path, help="language: captions without photos, one a line (.gz allowed)")
    help_text = "checkpoint to continue from (default: an untrained network); average: two or more"
    parser.add_argument("--start", type=Path, nargs="+", help=help_text)
    parser.add_argument("--out", type=Path, required=True, help="folder for the log, the curve and the best checkpoint")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run in --out")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="folder for stem maps (about 2 GB)")
    parser.add_argument("--fresh", action="store_true", help="see every photo anew each time, not from the cache")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--minutes", type=float, help="train for so long, however many epochs that makes")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--batch-size", type=int, default=48, help="photos, each with five captions")
    help_text = "learning rate of the CNN's tail, relative (default: 0.1 in the stage teacher, else 0: frozen)"
    parser.add_argument("--tail-rate", type=float, help=help_text)
    parser.add_argument("--test-size", type=int, help="ranking: pixels a side at which photos are seen from now on")
    parser.add_argument("--encoder", default="efficientnet_lite2")
    parser.add_argument("--encoder-weights", choices=["imagenet", "random"], default="imagenet")
    parser.add_argument("--min-count", type=int, default=4, help="rarer words are unknown")
    parser.add_argument("--precision", choices=["auto", "no", "bf16"], default="auto")
    parser.add_argument("--seed", type=int, default=1)


def main(options: argparse.Namespace) -> None:
    """Run one stage."""
    data = Collections([read_collection(root) for root in options.data], options.cache)
    set_seed(options.seed)
    if options.stage == "average":
        average_checkpoints(options.start or [], data, options.out)
        return
    if options.stage == "ranking":
        if not options.start:
            raise InputError("The stage `ranking` needs a checkpoint: name it with --start.")
        tune_ranking(options.start[0], data, options.out, options.test_size)
        return
    if options.start:
        model, tokenizer = Captioner.from_pretrained(options.start[0]), load_tokenizer(options.start[0])
    else:
        weights = options.encoder_weights
        model, tokenizer = new_captioner(data.captions(), options.encoder, weights, options.min_count)
    chosen = given(options, ("epochs", "minutes", "learning_rate"))
    precision = best_precision() if options.precision == "auto" else options.precision
    config = replace(_STAGES[options.stage], seed=options.seed, precision=precision, **chosen)
    if options.stage == "language":
        if options.text is None:
            raise InputError("The stage `language` needs captions: name a file with --text.")
        train_language(model, tokenizer, options.text, config, options.out, options.resume)
        return
    loss = teacher_loss if options.stage == "teacher" else SelfCriticalLoss(reward_of(data, tokenizer), precision)
    size, rate = options.batch_size, options.tail_rate
    if rate is None:
        rate = 0.1 if options.stage == "teacher" else 0.0
    train_on_photos(model, tokenizer, data, loss, config, options.out, options.resume, size, rate, options.fresh)
