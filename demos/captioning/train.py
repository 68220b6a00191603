"""How the captioner is trained: the kinds of stages that a recipe (recipes/captioning.toml) is made of.

    language       the decoder alone learns to write captions, from captions without photos
    teacher        teacher forcing on captioned photos; the CNN's tail is fine-tuned along
    self-critical  the network's own captions, rewarded by CIDEr-D (Rennie et al. 2017)
    average        the mean of several checkpoints' weights (Wortsman et al. 2022, "model soups")
    ranking        how much the word detector and repetitions count when captions are ranked

Each leaves its checkpoint, log and learning curve in its own folder.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
from core.decoding.hypothesis import Hypothesis
from core.decoding.rerank import tune
from core.decoding.sampling import Sampling, sample
from core.errors import InputError
from core.input.image import load_image
from core.input.tokenizers import BOS, PAD, UNK, encode, pad, train_word_tokenizer
from core.metrics import CiderD, caption_scores_fast
from core.networks.decoder import DecoderConfig
from core.training.augmentation import FreshStemMaps
from core.training.captioned_photos import CaptionedPhoto, read_caption_lines, read_collection
from core.training.feature_cache import StemCache, stem_cache
from core.training.loop import Loss, LossFunction, TrainingConfig, average_weights, resolve_precision, train
from core.training.losses import next_token_loss
from core.training.recipes import StageRun
from demos.captioning.data import CAPTIONS_PER_PHOTO, MAX_TOKENS, CaptionedStems, Collate, mirrored_at_random
from demos.captioning.evaluate import dev_scores
from demos.captioning.model import Captioner, CaptionerConfig
from demos.captioning.predict import CaptioningOptions, CaptioningPredictor

SMOOTHING = 0.1  # of the labels
WORD_WEIGHT = 0.01  # of the word detector's loss, a sum over the vocabulary
RERANK_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2)  # to choose from

Network = tuple[Captioner, PreTrainedTokenizerFast]


# --- losses ------------------------------------------------------------------------------------------------------


def language_loss(model: nn.Module, batch: Tensor, carry: None) -> Loss:
    """Captions without a photo: the attention has only its sentinel to look at."""
    logits, _ = model(None, batch)
    return Loss(next_token_loss(logits, batch, SMOOTHING))


def teacher_loss(model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
    """Label-smoothed cross-entropy of the captions, and the word detector's."""
    logits, word_logits = model(batch["stem_maps"], batch["tokens"])
    captions = next_token_loss(logits, batch["tokens"], SMOOTHING)
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


# --- photos ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Collections:
    """Photo collections with their cached stem maps. The first one's dev set decides."""

    photos: list[dict[str, list[CaptionedPhoto]]]
    cache_folder: Path

    @classmethod
    def read(cls, names: Sequence[str], stage: StageRun) -> "Collections":
        """Those of these names under --data."""
        return cls([read_collection(folder) for folder in stage.datasets(names)], stage.cache)

    def captions(self) -> list[str]:
        """All captions of the training photos."""
        return [c for collection in self.photos for photo in collection["train"] for c in photo.captions]

    def training_maps(self, model: Captioner, fresh_views: bool) -> list[Callable[[int], Tensor]]:
        """For each collection, from a training photo's row to its stem map: cached, or of a random view each time."""
        if not fresh_views:
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

    def dev_scores(self, model: Captioner, tokenizer: PreTrainedTokenizerFast) -> dict[str, float]:
        """Of the first collection's dev photos; CIDEr first."""
        return dev_scores(model, tokenizer, self.photos[0]["dev"], self.stems(0, "dev", model))


def new_captioner(captions: list[str], encoder: str, min_count: int, weights: str = "imagenet") -> Network:
    """An untrained model, and the tokenizer of these captions, to which words rarer than `min_count` are unknown."""
    tokenizer = train_word_tokenizer(captions, min_count)
    size = len(tokenizer)
    detected = min(size, CaptionerConfig.detected_words)
    config = CaptionerConfig(size, encoder, weights, decoder=DecoderConfig(size), detected_words=detected)
    return Captioner(config), tokenizer


def load_captioner(source: str | Path) -> Network:
    """A checkpoint's network and tokenizer. Raises ModelError when it is missing or damaged."""
    return Captioner.from_pretrained(source), load_tokenizer(source)


def save(tokenizer: PreTrainedTokenizerFast, best: Path, model: Captioner) -> None:
    """A checkpoint in the folder `best`, ready to ship or to continue from."""
    model.save_pretrained(best)
    tokenizer.save_pretrained(best)


# --- stages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Language:
    """The decoder alone, on captions without photos that need no unknown word.

    The vocabulary is that of the training photos' captions.
    """

    data: tuple[str, ...] = ("flickr8k",)  # folders of Flickr8k or COCO captions
    text: str = "captions.txt.gz"  # captions without photos, one a line
    encoder: str = "efficientnet_lite2"
    min_count: int = 4  # rarer words are unknown
    batch_size: int = 256
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(learning_rate=1e-3))

    def run(self, stage: StageRun) -> None:
        """See core.training.recipes.Stage."""
        set_seed(self.training.seed)
        captions = Collections.read(self.data, stage).captions()
        self.train_network(*new_captioner(captions, self.encoder, self.min_count), stage)

    def train_network(self, model: Captioner, tokenizer: PreTrainedTokenizerFast, stage: StageRun) -> None:
        """Train the decoder in place, and save the network."""
        lines = read_caption_lines(stage.dataset(self.text))
        captions = [c for c in encode(tokenizer, lines) if UNK not in c and len(c) <= MAX_TOKENS + 2]
        loader = DataLoader(captions, self.batch_size, shuffle=True, drop_last=True, collate_fn=pad)
        groups = [{"params": list(model.decoder.parameters())}]
        train(model, loader, language_loss, self.training, stage.folder, parameter_groups=groups, resume=stage.resume)
        save(tokenizer, stage.best, model)


@dataclass(frozen=True)
class Teacher:
    """Teacher forcing on captioned photos.

    fresh_views: every photo is seen as a random view of itself each time, instead of from the cache of stem maps.
    """

    start: str = "language"
    data: tuple[str, ...] = ("flickr8k",)
    batch_size: int = 48  # photos, each with five captions
    tail_rate: float = 0.1  # learning rate of the CNN's tail, relative; 0: frozen
    fresh_views: bool = False
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(epochs=5, learning_rate=1e-3, weight_decay=0.01, average=0.995)
    )

    def run(self, stage: StageRun) -> None:
        """See core.training.recipes.Stage."""
        model, tokenizer = load_captioner(stage.checkpoint(self.start))
        self.train_network(model, tokenizer, Collections.read(self.data, stage), stage)

    def loss(self, data: Collections, tokenizer: PreTrainedTokenizerFast) -> LossFunction:
        """What to minimise."""
        return teacher_loss

    def train_network(self, model: Captioner, tokenizer, data: Collections, stage: StageRun) -> list[dict]:
        """Train the network in place and return the log."""
        sets, first = [], 0
        for collection, stem_map in zip(data.photos, data.training_maps(model, self.fresh_views), strict=True):
            sets.append(CaptionedStems(collection["train"], stem_map, tokenizer, first))
            first += len(sets[-1])
        collate = Collate(model.config.detected_words, crop=not self.fresh_views)
        loader = DataLoader(ConcatDataset(sets), self.batch_size, shuffle=True, drop_last=True, collate_fn=collate)
        model.tail.requires_grad_(self.tail_rate > 0)
        groups = [{"params": [p for n, p in model.named_parameters() if p.requires_grad and not n.startswith("tail.")]}]
        if self.tail_rate:
            rate = self.training.learning_rate * self.tail_rate
            groups.append({"params": list(model.tail.parameters()), "lr": rate})
        evaluate, keep = partial(data.dev_scores, tokenizer=tokenizer), partial(save, tokenizer, stage.best)
        loss = self.loss(data, tokenizer)
        return train(model, loader, loss, self.training, stage.folder, evaluate, keep, groups, stage.resume)


@dataclass(frozen=True)
class SelfCritical(Teacher):
    """The same with another loss: the network's own captions, rewarded by CIDEr-D. By default the tail is frozen."""

    start: str = "teacher"
    tail_rate: float = 0.0
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=6, learning_rate=1e-4, schedule="linear", warmup_steps=50, average=0.995
        )
    )

    def loss(self, data: Collections, tokenizer: PreTrainedTokenizerFast) -> LossFunction:
        """See Teacher."""
        return SelfCriticalLoss(reward_of(data, tokenizer), resolve_precision(self.training.precision))


def reward_of(data: Collections, tokenizer: PreTrainedTokenizerFast) -> CiderD:
    """CIDEr-D against the training captions, as token ids with <eos>, of all photos in training order."""
    photos = chain.from_iterable(collection["train"] for collection in data.photos)
    return CiderD([[ids[1:] for ids in encode(tokenizer, p.captions)] for p in photos])


@dataclass(frozen=True)
class Average:
    """The mean of several checkpoints; one that is named twice counts twice."""

    checkpoints: tuple[str, ...] = ()
    data: tuple[str, ...] = ("flickr8k",)  # whose dev figures are printed

    def run(self, stage: StageRun) -> None:
        """See core.training.recipes.Stage."""
        if len(self.checkpoints) < 2:
            raise InputError("An average needs two checkpoints or more: name them with `checkpoints`.")
        loaded = [load_captioner(stage.checkpoint(name)) for name in self.checkpoints]
        model, tokenizer = average_weights([model for model, _ in loaded]), loaded[0][1]
        save(tokenizer, stage.best, model)
        print(Collections.read(self.data, stage).dev_scores(model, tokenizer))


@dataclass(frozen=True)
class Ranking:
    """Choose how much each of the word detector's scores counts, for CIDEr and BLEU-4 of all dev photos."""

    start: str = "average"
    data: tuple[str, ...] = ("flickr8k",)
    test_size: int | None = None  # pixels a side at which photos are seen from now on; None: as before

    def run(self, stage: StageRun) -> None:
        """See core.training.recipes.Stage."""
        source = stage.checkpoint(self.start)
        predictor, found, parts = CaptioningPredictor.from_pretrained(source), [], []
        config = predictor.model.config
        config = predictor.model.config = replace(config, test_size=self.test_size or config.test_size)
        for collection in Collections.read(self.data, stage).photos:
            photos, first = collection["dev"], len(found)
            for start in tqdm(range(0, len(photos), 32), desc="captions", unit="batch"):
                batch = [load_image(photo.path) for photo in photos[start : start + 32]]
                found += predictor.search(batch, CaptioningOptions())
            parts.append((slice(first, len(found)), [photo.captions for photo in photos]))

        def quality(best: list[Hypothesis]) -> float:
            texts = [predictor.tokenizer.decode(caption.tokens, skip_special_tokens=True) for caption in best]
            scores = [caption_scores_fast(texts[part], references) for part, references in parts]
            return sum(s["CIDEr"] + 2 * s["BLEU-4"] for s in scores)  # which differ by about that factor

        grid = ({"sure": RERANK_WEIGHTS, "seen": RERANK_WEIGHTS}, {"repeated": RERANK_WEIGHTS})
        weights = tune(found, quality, grid)
        print(weights)
        model, tokenizer = load_captioner(source)
        model.config = replace(config, rerank=tuple(weights.items()))
        save(tokenizer, stage.best, model)


STAGES = {
    "language": Language, "teacher": Teacher, "self-critical": SelfCritical, "average": Average, "ranking": Ranking
}  # fmt: skip
