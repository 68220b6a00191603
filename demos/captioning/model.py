"""The captioner: CNN stem (frozen) -> tail (fine-tuned) -> memory of 81 places -> the shared LSTM decoder."""

import copy
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from core.checkpoint import Checkpoint
from core.fast.precision import inference_dtype
from core.networks.attention import Memory
from core.networks.decoder import DecoderConfig, LSTMDecoder
from core.networks.encoders import (
    check_test_size,
    create_encoder,
    encoder_config,
    fold_batch_norm,
    shared_encoder,
    to_grid,
)
from demos.captioning.ranking import DetectorWeights


@dataclass(frozen=True)
class CaptionerConfig:
    """Everything needed to build a Captioner without its weights."""

    vocab_size: int
    encoder: str = "efficientnet_lite2"
    encoder_weights: str = "imagenet"  # or "random": the control of the transfer-learning table
    photo_size: int = 224  # the training photos' stored size; a visitor's photo is squashed to it first
    test_size: int | None = None  # pixels a side at which photos are seen after training (see check_test_size)
    decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(vocab_size=0))
    detected_words: int = 2048  # the word detector knows the so many most frequent words
    memory_dropout: float = 0.3
    ranking: DetectorWeights = field(default_factory=DetectorWeights)  # how much the word detector ranks captions

    def __post_init__(self) -> None:
        check_test_size(self.encoder, self.test_size)


class WordDetector(nn.Module):
    """Which words a caption of this photo would use, as probabilities of the V most frequent, and their embedding.

    High-level concepts between CNN and LSTM help captions (Wu et al. 2016; Yao et al. 2017, LSTM-A). The probabilities
    are trained on the words of the photo's captions; their mean embedding joins the summary of the memory.
    """

    def __init__(self, feature_dim: int, memory_dim: int, detected_words: int):
        super().__init__()
        self.logits = nn.Linear(feature_dim, detected_words)
        self.embedding = nn.Linear(detected_words, memory_dim, bias=False)
        nn.init.constant_(self.logits.bias, -6.0)  # most words are absent

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, D) grid features -> word logits (B, V), embedding of what was detected (B, memory_dim)"""
        logits = self.logits(grid.mean(1))
        return logits, self.embedding(torch.sigmoid(logits))


class Captioner(nn.Module, Checkpoint):
    """Photo -> caption. The frozen stem is not part of the checkpoint; the fine-tuned tail is."""

    Config = CaptionerConfig
    unsaved_prefixes: ClassVar[tuple[str, ...]] = ("encoder.",)

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        self.config = config
        facts = encoder_config(config.encoder)
        width = config.decoder.memory_dim
        imagenet = config.encoder_weights == "imagenet"
        self.encoder = shared_encoder(config.encoder) if imagenet else create_encoder(config.encoder, pretrained=False)
        self.tail = copy.deepcopy(self.encoder.tail).requires_grad_(True)
        self.words = WordDetector(facts.feature_dim, width, config.detected_words)
        self.to_memory = nn.Sequential(
            nn.Linear(facts.feature_dim, width), nn.ReLU(), nn.Dropout(config.memory_dropout)
        )
        self.place = nn.Parameter(0.02 * torch.randn(*facts.grid, width))  # where on the photo
        self.decoder = LSTMDecoder(config.decoder)
        self.normalise = nn.LayerNorm(width)

    def train(self, mode: bool = True) -> "Captioner":
        """Batch norm keeps ImageNet's statistics, in training too: the batches are small and the photos alike."""
        super().train(mode)
        self.encoder.eval()
        self.tail.eval()
        return self

    def for_inference(self) -> "Captioner":
        """This network made fast, in place: the CNN's batch norms folded, all in the number format that is fast here.

        A step of the search reads every weight of the decoder for a handful of beams, so half the bytes take little
        more than half the time. The network can neither be trained nor saved after that.
        """
        dtype = inference_dtype()
        if self.config.encoder_weights == "imagenet":
            self.encoder = shared_encoder(self.config.encoder, dtype)  # the float32 one serves trainings
        fold_batch_norm(self.tail)
        self.to(dtype).eval().decoder.pack()
        return self

    def memory(self, stem_maps: Tensor, mirrored: Tensor | None = None) -> tuple[Memory, Tensor]:
        """(B, C, h, w) stem maps, of a whole photo or a crop -> Memory, word logits (B, V).

        Given those of the mirrored photo too, each place gets the mean of what the CNN saw there and in the mirror.
        """
        maps = self.tail(stem_maps)  # (B, D, h, w)
        if mirrored is not None:
            maps = (maps + self.tail(mirrored).flip(3)) / 2
        grid = to_grid(maps).to(self.place.dtype)
        place = self.place[: maps.shape[2], : maps.shape[3]].flatten(0, 1)
        places = self.normalise(self.to_memory(grid) + place)  # (B, P, width)
        word_logits, detected = self.words(grid)
        return self.decoder.project_memory(places, summary=places.mean(1) + detected), word_logits

    def forward(self, stem_maps: Tensor | None, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Teacher forcing: (B, C, h, w) stem maps and (B * k, T) tokens, k captions a photo in order ->
        logits (B * k, T, V), word logits (B, V). Without stem maps the decoder is a language model of captions."""
        if stem_maps is None:
            return self.decoder(tokens).logits, None
        memory, word_logits = self.memory(stem_maps)
        return self.decoder(tokens, memory).logits, word_logits
