"""The stage of the VQA recipe that learns, from captions, which words photos speak for (see demos.vqa.evidence).

What the CNN sees on each training photo never changes then, so it is computed once; the rest is a logistic regression.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import PreTrainedTokenizerFast

from core.checkpoint import load_tokenizer
from core.training.captioned_photos import CaptionedPhoto, read_collection
from core.training.loop import Loss, TrainingConfig, train
from core.training.recipes import StageRun
from demos.vqa.batches import grids
from demos.vqa.evidence import WordEvidence, definite_words, telling_words
from demos.vqa.model import VQA
from demos.vqa.text import normalise, training_ids

KNOWN = 5  # photos on whose captions a word has to be
DROPOUT = 0.5  # of the features


@dataclass(frozen=True)
class Evidence:
    """The likelihood of the words on dev's captions chooses the epoch."""

    start: str = ""  # the network: an earlier stage, a folder or a Hub id
    data: tuple[str, ...] = ("coco",)  # folders of COCO or Flickr8k
    weight: float = 0.5  # log-odds that "yes" gets for each standard deviation
    batch_size: int = 128  # photos
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=16, schedule="linear", warmup_steps=20, weight_decay=0.1, clip_norm=100.0, patience=99,
            precision="no",
        )
    )  # fmt: skip

    def run(self, stage: StageRun) -> None:
        """See core.training.recipes.Stage."""
        set_seed(self.training.seed)
        start = stage.checkpoint(self.start)
        model, tokenizer = VQA.from_pretrained(start), load_tokenizer(start)
        model = model.with_untrained("evidence", evidence=self.weight).eval()
        collections = [read_collection(root) for root in stage.datasets(self.data)]
        captioned, dev = (
            encode_captioned(model, tokenizer, [photo for found in collections for photo in found[split]])
            for split in ("train", "dev")
        )
        regression = WordRegression(captioned)

        def save(learnt: WordRegression) -> None:
            learnt.copy_to(model.evidence, captioned, tokenizer)
            model.save_pretrained(stage.best, eight_bits=True)
            tokenizer.save_pretrained(stage.best)

        examples = TensorDataset(captioned.features, captioned.words)
        loader = DataLoader(examples, min(self.batch_size, len(examples)), shuffle=True, drop_last=True)
        evaluate = partial(mean_log_likelihood, dev=dev)
        train(regression, loader, word_loss, self.training, stage.folder, evaluate, save, resume=stage.resume)


@dataclass(frozen=True)
class CaptionedFeatures:
    """Photos and the words on their captions."""

    features: Tensor  # (N, D) mean of the grid features
    words: Tensor  # (N, V) bool


def encode_captioned(
    model: VQA, tokenizer: PreTrainedTokenizerFast, photos: Sequence[CaptionedPhoto]
) -> CaptionedFeatures:
    """What the CNN sees on each photo, and which words people use of it."""
    words = torch.zeros(len(photos), model.config.vocab_size, dtype=torch.bool)
    for row, photo in enumerate(photos):
        for ids in training_ids(tokenizer, [normalise(caption) for caption in photo.captions]):
            words[row, ids] = True
    features = [grid.mean(0) for grid in grids(model, [photo.path for photo in photos])]
    return CaptionedFeatures(torch.stack(features), words)


class WordRegression(nn.Module):
    """The logistic regression as it learns, from features of one scale."""

    def __init__(self, captioned: CaptionedFeatures):
        super().__init__()
        self.register_buffer("mean", captioned.features.mean(0))
        self.register_buffer("scale", captioned.features.std(0) + 1e-3)
        self.dropout = nn.Dropout(DROPOUT)
        self.words = nn.Linear(captioned.features.shape[1], captioned.words.shape[1])
        nn.init.normal_(self.words.weight, std=0.003)
        share = captioned.words.float().mean(0).clamp(1e-5, 1 - 1e-5)
        self.words.bias.data.copy_(torch.logit(share))

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, V) logits"""
        return self.words(self.dropout((features - self.mean) / self.scale))

    @torch.no_grad()
    def scores(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Weight (V, D) and bias (V,) that give each word's logit in standard deviations from its mean over (N, D)."""
        self.eval()
        logits = self(features)
        spread = logits.std(0).clamp(min=1e-6)
        weight = self.words.weight / self.scale / spread[:, None]
        return weight, -(weight @ features.mean(0))

    def copy_to(self, evidence: WordEvidence, captioned: CaptionedFeatures, tokenizer: PreTrainedTokenizerFast) -> None:
        """Copy what was learnt."""
        weight, bias = self.scores(captioned.features)
        evidence.scores.load_state_dict({"weight": weight, "bias": bias})
        evidence.definite.copy_(definite_words(tokenizer))
        evidence.telling.copy_(telling_words(tokenizer, captioned.words.sum(0) >= KNOWN))


def word_loss(model: nn.Module, batch: Sequence[Tensor], carry: None) -> Loss:
    """Binary cross-entropy of all words, summed."""
    features, words = batch
    loss = nn.functional.binary_cross_entropy_with_logits(model(features), words.float(), reduction="sum")
    return Loss(loss / len(features), {"words": loss.item() / len(features)})


@torch.inference_mode()
def mean_log_likelihood(model: WordRegression, dev: CaptionedFeatures) -> dict[str, float]:
    """Mean log-probability of the dev photos' words, present and absent, a photo."""
    model.eval()
    loss = nn.functional.binary_cross_entropy_with_logits(model(dev.features), dev.words.float(), reduction="sum")
    return {"logprob": -loss.item() / len(dev.features)}
