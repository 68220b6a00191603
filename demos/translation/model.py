"""The translator: a deep bidirectional encoder -> memory of the source's tokens -> the shared LSTM decoder.

One network for all directions. The first two tokens of a source are tags that name its language and the language to
write (Johnson et al. 2017), and all languages share one vocabulary, whose embedding also is the decoder's, in and out.

A second, smaller decoder may write some languages from the last word to the first. It searches for nothing: it scores
what the first one found (demos.translation.reranking).
"""

from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from core.checkpoint import Checkpoint
from core.fast.precision import inference_dtype
from core.input.tokenizers import PAD
from core.networks.attention import Memory
from core.networks.decoder import DecoderConfig, LSTMDecoder
from core.networks.recurrent import RecurrentStack

COPIES_DECIDE = 1e6  # weight of a score that comes before all others


@dataclass(frozen=True)
class TranslatorConfig:
    """Everything needed to build a Translator without its weights."""

    vocab_size: int
    pairs: tuple[tuple[str, str], ...] = ()  # the (source, target) languages that it was trained for
    encoder_size: int = 256  # per direction
    encoder_layers: int = 2
    dropout: float = 0.3
    decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(vocab_size=0))
    backward: tuple[str, ...] = ()  # languages that a second decoder writes from right to left
    backward_size: int = 448  # of that one's single layer
    rerank: tuple[tuple[str, float], ...] = (("copies", COPIES_DECIDE),)  # (name, weight) of each score


class Translator(nn.Module, Checkpoint):
    """Source tokens -> translation."""

    Config = TranslatorConfig

    def __init__(self, config: TranslatorConfig):
        super().__init__()
        self.config = config
        self.decoder = LSTMDecoder(config.decoder)
        self.encoder = RecurrentStack(
            config.decoder.embed_dim,
            config.encoder_size,
            config.encoder_layers,
            bidirectional=True,
            residual=True,
            dropout=config.dropout,
        )
        self.normalise = nn.LayerNorm(self.encoder.output_size)
        self.dropout = nn.Dropout(config.dropout)
        self.backward = None
        if config.backward:
            self.backward = LSTMDecoder(replace(config.decoder, hidden_size=config.backward_size, num_layers=1))
            self.backward.embedding = self.decoder.embedding

    def for_inference(self) -> "Translator":
        """This network in the number format that is fast here, in place. It can neither be trained nor saved then.

        A step of a search reads every weight for a handful of beams, so half the bytes take almost half the time.
        """
        self.inference_only = True
        return self.to(inference_dtype()).eval()

    def memory(self, source: Tensor, decoder: LSTMDecoder | None = None) -> Memory:
        """(B, S) source tokens with their tags, padded at the end -> Memory of S places, for one of the decoders."""
        real = source != PAD
        outputs = self.encoder(self.decoder.embedding(source), real.sum(1)).outputs  # (B, S, 2 * encoder_size)
        mask = None if real.all() else real
        return (decoder or self.decoder).project_memory(self.dropout(self.normalise(outputs)), mask)

    def forward(self, source: Tensor, target: Tensor, backward: bool = False) -> Tensor:
        """Teacher forcing: (B, S) source tokens, (B, T) target tokens from <bos>, in the order in which the decoder
        writes them -> logits (B, T, V)"""
        decoder = self.backward if backward else self.decoder
        return decoder(target, self.memory(source, decoder)).logits


def with_config(model: Translator, **changes: object) -> Translator:
    """The same weights in a model whose config differs; a backward decoder that it did not have is untrained."""
    changed = Translator(replace(model.config, **changes))
    changed.load_state_dict(changed.state_dict() | model.state_dict())
    return changed
