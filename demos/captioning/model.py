"""The captioner: CNN stem (frozen) -> tail (fine-tuned) -> memory of 81 places -> the shared LSTM decoder."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from core.networks.attention import Memory
from core.networks.decoder import DecoderConfig, LSTMDecoder
from core.networks.encoders import check_test_size, encoder_config
from core.networks.photo import PhotoNetwork


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
    rerank: tuple[tuple[str, float], ...] = ()  # (name, weight) of each score in demos.captioning.ranking

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


class Captioner(PhotoNetwork):
    """Photo -> caption."""

    Config = CaptionerConfig
    config: CaptionerConfig

    def __init__(self, config: CaptionerConfig):
        width = config.decoder.memory_dim
        super().__init__(config, width, config.memory_dropout, config.encoder_weights)
        self.words = WordDetector(encoder_config(config.encoder).feature_dim, width, config.detected_words)
        self.decoder = LSTMDecoder(config.decoder)

    def for_inference(self) -> "Captioner":
        """This network in eval mode and in the number format that is fast here, in place (see make_cnn_fast).

        A step of the search reads every weight of the decoder for a handful of beams, so half the bytes take little
        more than half the time.
        """
        return self.to(self.make_cnn_fast()).eval()

    def memory(self, stem_maps: Tensor, mirrored: Tensor | None = None) -> tuple[Memory, Tensor]:
        """(B, C, h, w) stem maps, of a whole photo or a crop -> Memory, word logits (B, V).

        Given those of the mirrored photo too, each place gets the mean of what the CNN saw there and in the mirror.
        """
        grid = self.grid(stem_maps, mirrored)
        height, width = (-(-side // 2) for side in stem_maps.shape[2:])  # the tail's one step of two, rounded up
        places = self.places(grid, (height, width))  # (B, P, memory_dim)
        word_logits, detected = self.words(grid)
        return self.decoder.project_memory(places, summary=places.mean(1) + detected), word_logits

    def forward(self, stem_maps: Tensor | None, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Teacher forcing: (B, C, h, w) stem maps and (B * k, T) tokens, k captions a photo in order ->
        logits (B * k, T, V), word logits (B, V). Without stem maps the decoder is a language model of captions."""
        if stem_maps is None:
            return self.decoder(tokens).logits, None
        memory, word_logits = self.memory(stem_maps)
        return self.decoder(tokens, memory).logits, word_logits
