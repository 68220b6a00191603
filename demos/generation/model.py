"""The language model: the shared LSTM decoder without a memory, and the pieces that it reads and writes.

One network may have learnt several corpora; a text then begins with the tag of the corpus that it belongs to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from core.checkpoint import Checkpoint
from core.networks.decoder import DecoderConfig, DecoderOutput, DecoderState, LSTMDecoder


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

    def specialised(self, corpora: Sequence[str], pieces: Sequence[str]) -> "TextGenerator":
        """A copy that knows only these of its corpora and of its pieces, tags and special tokens among them.

        Where a network goes on learning with some of its corpora alone, it forgets the others: it becomes theirs.
        """
        number = {piece: n for n, piece in enumerate(self.config.vocabulary)}
        rows = torch.tensor([number[piece] for piece in pieces])
        entries = tuple(entry for entry in self.config.corpora if entry[0] in corpora)
        decoder = replace(self.config.decoder, vocab_size=len(rows))
        copy = TextGenerator(replace(self.config, vocabulary=tuple(pieces), corpora=entries, decoder=decoder))
        state = self.decoder.state_dict()
        chosen = {name: state[name][rows] for name in ("embedding.weight", "bias")}
        copy.decoder.load_state_dict({**state, **chosen})
        return copy

    def forward(self, tokens: Tensor, state: DecoderState | None = None, output_layer: bool = True) -> DecoderOutput:
        """(N, T) tokens and the state before them (None: empty) -> logits (N, T, V) and the state after them.

        Without the output layer, its inputs (N, T, E) in the logits' place: for losses over a part of the vocabulary.
        """
        vectors, state, _ = self.decoder.vectors(tokens, state=state)
        return DecoderOutput(self.decoder.logits(vectors) if output_layer else vectors, state, None)
