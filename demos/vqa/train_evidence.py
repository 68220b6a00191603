"""The stage of the VQA recipe that learns, from captions, which words photos speak for (see demos.vqa.evidence).

What the CNN sees on each training photo never changes then, so it is computed once; the rest is a logistic regression.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from core.training.captioned_photos import CaptionedPhoto, read_collection
from core.training.loop import Loss, TrainingConfig
from demos.vqa.evaluate import Look
from demos.vqa.evidence import WordEvidence, definite_words, telling_words
from demos.vqa.model import VQA
from demos.vqa.text import normalise, training_ids

KNOWN = 5  # photos on whose captions a word has to be
DROPOUT = 0.5  # of the features
CONFIG = TrainingConfig(
    epochs=16, learning_rate=1e-3, schedule="linear", warmup_steps=20, weight_decay=0.1, clip_norm=100.0, patience=99
)


@dataclass(frozen=True)
class Described:
    """Photos and the words on their captions."""

    features: Tensor  # (N, D) mean of the grid features
    words: Tensor  # (N, V) bool


@torch.inference_mode()
def describe(
    model: VQA,
    tokenizer: PreTrainedTokenizerFast,
    photos: Sequence[CaptionedPhoto],
    look: Look,
    batch_size: int = 16,
) -> Described:
    """What the CNN sees on each photo, and which words people use of it."""
    model.eval()
    words = torch.zeros(len(photos), model.config.vocab_size, dtype=torch.bool)
    for row, photo in enumerate(photos):
        for ids in training_ids(tokenizer, [normalise(caption) for caption in photo.captions]):
            words[row, ids] = True
    features = []
    for start in tqdm(range(0, len(photos), batch_size), desc="what is seen", unit="batch"):
        maps = torch.stack([look(photo.path) for photo in photos[start : start + batch_size]])
        features.append(model.grid(maps).mean(1))
    return Described(torch.cat(features), words)


class Regression(nn.Module):
    """The logistic regression as it learns, from features of one scale."""

    def __init__(self, described: Described):
        super().__init__()
        self.register_buffer("mean", described.features.mean(0))
        self.register_buffer("scale", described.features.std(0) + 1e-3)
        self.dropout = nn.Dropout(DROPOUT)
        self.words = nn.Linear(described.features.shape[1], described.words.shape[1])
        nn.init.normal_(self.words.weight, std=0.003)
        share = described.words.float().mean(0).clamp(1e-5, 1 - 1e-5)
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

    def into(self, evidence: WordEvidence, described: Described, tokenizer: PreTrainedTokenizerFast) -> None:
        """Copy what was learnt."""
        weight, bias = self.scores(described.features)
        evidence.scores.load_state_dict({"weight": weight, "bias": bias})
        evidence.definite.copy_(definite_words(tokenizer))
        evidence.telling.copy_(telling_words(tokenizer, described.words.sum(0) >= KNOWN))


def word_loss(model: nn.Module, batch: Sequence[Tensor], carry: None) -> Loss:
    """Binary cross-entropy of all words, summed."""
    features, words = batch
    loss = nn.functional.binary_cross_entropy_with_logits(model(features), words.float(), reduction="sum")
    return Loss(loss / len(features), {"words": loss.item() / len(features)})


@torch.inference_mode()
def word_score(model: Regression, dev: Described) -> dict[str, float]:
    """Mean log-probability of the dev photos' words, present and absent, a photo."""
    model.eval()
    loss = nn.functional.binary_cross_entropy_with_logits(model(dev.features), dev.words.float(), reduction="sum")
    return {"logprob": -loss.item() / len(dev.features)}


def read_described(roots: Sequence[Path]) -> dict[str, list[CaptionedPhoto]]:
    """{"train" | "dev": the photos of all folders}. Raises InputError for one without captions."""
    collections = [read_collection(root) for root in roots]
    return {split: [photo for found in collections for photo in found[split]] for split in ("train", "dev")}


def word_loader(described: Described, batch_size: int = 128) -> DataLoader:
    """Batches of photos in random order."""
    examples = TensorDataset(described.features, described.words)
    return DataLoader(examples, min(batch_size, len(examples)), shuffle=True, drop_last=True)
