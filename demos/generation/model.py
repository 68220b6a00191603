"""The writer: the shared LSTM decoder without a memory, and the pieces that it reads and writes.

One network may have learnt several corpora; a text then begins with the tag of the corpus that it belongs to.
"""

from dataclasses import dataclass, field

from torch import Tensor, nn

from core.checkpoint import Checkpoint
from core.decoder import DecoderConfig, DecoderOutput, DecoderState, LSTMDecoder


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything needed to build a TextGenerator without its weights."""

    vocabulary: tuple[str, ...]
    corpora: tuple[tuple[str, str, str, str], ...] = ()  # name, title, kind of pieces, a beginning to try
    decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(vocab_size=0, memory_dim=None))


class TextGenerator(nn.Module, Checkpoint):
    """Tokens -> logits of the tokens that follow."""

    Config = GeneratorConfig

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.config = config
        self.decoder = LSTMDecoder(config.decoder)

    def forward(self, tokens: Tensor, state: DecoderState | None = None) -> DecoderOutput:
        """(N, T) tokens and the state before them (None: empty) -> logits (N, T, V) and the state after them."""
        return self.decoder(tokens, state=state)
