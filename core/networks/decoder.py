"""THE LSTM decoder: tokens (+ a memory to attend to) -> logits, state, attention.

It captions, answers, translates and writes. Layer 1 reads the tokens; its outputs query the memory (Luong et al. 2015,
with the sentinel of Lu et al. 2017); the layers above read layer 1 and what it looked at, as in GNMT (Wu et al. 2016)
and in the two LSTMs of Anderson et al. 2018, with residual connections. Since the attention depends on layer 1 alone,
teacher forcing runs a whole target through one fused `nn.LSTM` call per layer, without a loop over time; search calls
the same `forward` with one token at a time. Nothing is stored on the module: the state goes in and comes out.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from core.networks.attention import Memory, SentinelAttention
from core.networks.recurrent import initialise_recurrent


@dataclass(frozen=True)
class DecoderConfig:
    """Shape of an LSTMDecoder."""

    vocab_size: int
    embed_dim: int = 512
    hidden_size: int = 512
    num_layers: int = 2
    memory_dim: int | None = 512  # width of the memory; None: a language model without one
    heads: int = 8
    dropout: float = 0.5  # on the vertical connections only (Zaremba et al. 2014)


class DecoderState(NamedTuple):
    """LSTM state of N sequences."""

    hidden: Tensor  # (layers, N, H)
    cell: Tensor  # (layers, N, H)

    def select(self, index: Tensor) -> "DecoderState":
        """State of the sequences (M,) named by `index`, in that order: what beam search needs to reorder its beams."""
        return DecoderState(self.hidden.index_select(1, index), self.cell.index_select(1, index))

    def detach(self) -> "DecoderState":
        """The same values cut from the graph: where truncated back-propagation through time cuts."""
        return DecoderState(self.hidden.detach(), self.cell.detach())


class DecoderOutput(NamedTuple):
    """What one call of the decoder gives."""

    logits: Tensor  # (N, T, V)
    state: Any  # goes in with the next tokens: DecoderState, or the state of another decoder with the same protocol
    attention: Tensor | None  # (N, T, P + 1), the sentinel last; None without a memory_dim


class LSTMDecoder(nn.Module):
    """See the module's docstring. Input and output embeddings are tied (Press & Wolf 2017)."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        embed, hidden = config.embed_dim, config.hidden_size
        self.embedding = nn.Embedding(config.vocab_size, embed)
        self.first = nn.LSTM(embed, hidden, batch_first=True)
        self.attention: SentinelAttention | None = None
        self.bridge: nn.Linear | None = None
        context = 0
        if config.memory_dim is not None:
            context = hidden
            self.attention = SentinelAttention(hidden, config.memory_dim, embed, config.heads)
            self.bridge = nn.Linear(config.memory_dim, 2 * config.num_layers * hidden)
        layers = config.num_layers - 1
        self.upper = nn.ModuleList(nn.LSTM(hidden + context, hidden, batch_first=True) for _ in range(layers))
        self.readout = nn.Linear(hidden + context, embed)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=embed**-0.5)  # tied: logits start near zero, loss near ln V
        for lstm in (self.first, *self.upper):
            initialise_recurrent(lstm)

    def project_memory(self, memory: Tensor, mask: Tensor | None = None, summary: Tensor | None = None) -> Memory:
        """(B, P, D) memory -> what `forward` takes, computed once per request. Arguments: SentinelAttention.project."""
        assert self.attention is not None, "a decoder without memory_dim is a language model"
        return self.attention.project(memory, mask, summary)

    def initial_state(self, sequences: int, memory: Memory | None = None) -> DecoderState:
        """State before the first token of N sequences, N a multiple of the memory's summaries. Zeros without a memory.

        There may be more summaries than memories: one for each question about the same photo, say.
        """
        layers, hidden = self.config.num_layers, self.config.hidden_size
        if memory is None or self.bridge is None:
            zeros = self.bias.new_zeros(layers, sequences, hidden)
            return DecoderState(zeros, zeros)
        start = torch.tanh(self.bridge(memory.summary)).view(-1, 2, layers, hidden)  # (B, 2, L, H)
        start = start.repeat_interleave(sequences // len(start), 0).permute(1, 2, 0, 3).contiguous()
        return DecoderState(start[0], start[1])

    def forward(self, tokens: Tensor, memory: Memory | None = None, state: DecoderState | None = None) -> DecoderOutput:
        """tokens (N, T) and the state before them -> logits (N, T, V) of the tokens that follow each of them.

        N is a multiple of the B memories: sequences k * b to k * (b + 1) share memory b. Positions after the end of a
        shorter sequence are computed and to be ignored; they change nothing before them.
        """
        vectors, state, weights = self.vectors(tokens, memory, state)
        return DecoderOutput(self.logits(vectors), state, weights)

    def vectors(
        self, tokens: Tensor, memory: Memory | None = None, state: DecoderState | None = None
    ) -> tuple[Tensor, DecoderState, Tensor | None]:
        """All but the output layer: (N, T) tokens -> vectors (N, T, E), the state after them, attention (N, T, P + 1).

        For losses that need the logits of some tokens only.
        """
        before = self.initial_state(len(tokens), memory) if state is None else state
        inputs = self.dropout(self.embedding(tokens))  # (N, T, E)
        outputs, last = self.first(inputs, (before.hidden[:1], before.cell[:1]))
        states = [last]
        outputs = self.dropout(outputs)  # (N, T, H)
        context = weights = None
        if self.attention is not None:
            context, weights = self.attention(outputs, inputs, memory)
        for n, lstm in enumerate(self.upper, 1):
            above, last = lstm(join(outputs, context), (before.hidden[n : n + 1], before.cell[n : n + 1]))
            outputs = outputs + self.dropout(above)
            states.append(last)
        vectors = self.dropout(torch.tanh(self.readout(join(outputs, context))))
        return vectors, DecoderState(*(torch.cat(parts) for parts in zip(*states, strict=True))), weights

    def logits(self, vectors: Tensor) -> Tensor:
        """The output layer: (..., E) -> (..., V)."""
        return nn.functional.linear(vectors, self.embedding.weight, self.bias)


def join(outputs: Tensor, context: Tensor | None) -> Tensor:
    """(..., H) outputs with what they looked at (..., H) beside them; alone where there is no memory."""
    return outputs if context is None else torch.cat([outputs, context], -1)
