"""THE LSTM decoder: tokens (+ a memory to attend to) -> logits, state, attention.

It captions, answers, translates and writes. Layer 1 reads the tokens; its outputs query the memory (Luong et al. 2015,
with the sentinel of Lu et al. 2017); the layers above read layer 1 and what it looked at, as in GNMT (Wu et al. 2016)
and in the two LSTMs of Anderson et al. 2018, with residual connections. Since the attention depends on layer 1 alone,
teacher forcing runs a whole target through one fused `nn.LSTM` call per layer, without a loop over time; search calls
the same `forward` with one token at a time. Nothing is stored on the module: the state goes in and comes out.
"""

import copy
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.attention import Memory, SentinelAttention
from core.packed import PackedCell, PackedLinear, can_pack
from core.recurrent import initialise_recurrent


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
    state: DecoderState
    attention: Tensor | None  # (N, T, P + 1), the sentinel last; None without a memory_dim


class LSTMDecoder(nn.Module):
    """See the module's docstring. Input and output embeddings are tied (Press & Wolf 2017)."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        embed, hidden = config.embed_dim, config.hidden_size
        attends = config.memory_dim is not None
        self.embedding = nn.Embedding(config.vocab_size, embed)
        self.first = nn.LSTM(embed, hidden, batch_first=True)
        context = hidden if attends else 0
        self.upper = nn.ModuleList(
            nn.LSTM(hidden + context, hidden, batch_first=True) for _ in range(config.num_layers - 1)
        )
        self.attention = SentinelAttention(hidden, config.memory_dim, embed, config.heads) if attends else None
        self.bridge = nn.Linear(config.memory_dim, 2 * config.num_layers * hidden) if attends else None
        self.readout = nn.Linear(hidden + context, embed)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.dropout = nn.Dropout(config.dropout)
        self.cells: tuple[PackedCell, ...] = ()  # of each layer, and the output layer: see pack()
        self.output: PackedLinear | None = None
        nn.init.normal_(self.embedding.weight, std=embed**-0.5)  # tied: logits start near zero, loss near ln V
        for lstm in (self.first, *self.upper):
            initialise_recurrent(lstm)

    def project_memory(self, memory: Tensor, mask: Tensor | None = None, summary: Tensor | None = None) -> Memory:
        """(B, P, D) memory -> what `forward` takes, computed once per request."""
        return self.attention.project(memory, mask, summary)

    def initial_state(self, sequences: int, memory: Memory | None = None) -> DecoderState:
        """State before the first token of N sequences, N a multiple of the memory's summaries. Zeros without a memory.

        There may be more summaries than memories: one for each question about the same photo, say.
        """
        layers, hidden = self.config.num_layers, self.config.hidden_size
        if memory is None:
            zeros = self.bias.new_zeros(layers, sequences, hidden)
            return DecoderState(zeros, zeros)
        start = torch.tanh(self.bridge(memory.summary)).view(-1, 2, layers, hidden)  # (B, 2, L, H)
        start = start.repeat_interleave(sequences // len(start), 0).permute(1, 2, 0, 3).contiguous()
        return DecoderState(start[0], start[1])

    def pack(self) -> None:
        """Make single steps fast on CPUs without bfloat16 (see core.packed). Weights are not to change after that.

        Nothing happens to weights in bfloat16, or where torch has no such kernels.
        """
        if self.bias.dtype != torch.float32 or not can_pack():
            return
        self.cells = tuple(PackedCell(lstm) for lstm in (self.first, *self.upper))
        self.output = PackedLinear(self.embedding.weight, self.bias)

    def restrict(self, words: Tensor) -> "LSTMDecoder":
        """The same decoder for search, with the vocabulary words (V',) only: its token n is our token words[n].

        It shares the weights but for the embeddings and the bias, which are copied as they are now. Writing in one
        language needs no other's words, and a smaller output layer is faster (Jean et al. 2015).
        """
        smaller = copy.copy(self)
        smaller.config = replace(self.config, vocab_size=len(words))
        embedding = nn.Embedding.from_pretrained(self.embedding.weight.detach()[words])
        smaller._modules = {**self._modules, "embedding": embedding}
        smaller._parameters = {"bias": nn.Parameter(self.bias.detach()[words], requires_grad=False)}
        if self.output:
            smaller.output = PackedLinear(smaller.embedding.weight, smaller.bias)
        return smaller

    def forward(self, tokens: Tensor, memory: Memory | None = None, state: DecoderState | None = None) -> DecoderOutput:
        """tokens (N, T) and the state before them -> logits (N, T, V) of the tokens that follow each of them.

        N is a multiple of the B memories: sequences k * b to k * (b + 1) share memory b. Positions after the end of a
        shorter sequence are computed and to be ignored; they change nothing before them.
        """
        if state is None:
            state = self.initial_state(len(tokens), memory)
        inputs = self.dropout(self.embedding(tokens))  # (N, T, E)
        outputs, last = self._run(0, self.first, inputs, state)
        hiddens, cells = [last[0]], [last[1]]
        outputs = self.dropout(outputs)
        context = weights = None
        if self.attention is not None:
            context, weights = self.attention(outputs, inputs, memory)
        for number, lstm in enumerate(self.upper, 1):
            above, last = self._run(number, lstm, _join(outputs, context), state)
            outputs = outputs + self.dropout(above)
            hiddens.append(last[0])
            cells.append(last[1])
        vectors = self.dropout(torch.tanh(self.readout(_join(outputs, context))))  # (N, T, E)
        if self.output and vectors.shape[1] == 1:
            logits = self.output(vectors[:, 0])[:, None]
        else:
            logits = nn.functional.linear(vectors, self.embedding.weight, self.bias)
        return DecoderOutput(logits, DecoderState(torch.cat(hiddens), torch.cat(cells)), weights)

    def _run(
        self, number: int, lstm: nn.LSTM, inputs: Tensor, state: DecoderState
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The fused call, or the bare cell for a single step: setting the fused one up costs more than the step."""
        if inputs.shape[1] > 1:
            return lstm(inputs, (state.hidden[number : number + 1], state.cell[number : number + 1]))
        before = state.hidden[number], state.cell[number]
        if self.cells:
            hidden, cell = self.cells[number](inputs[:, 0], before)
        else:
            weights = (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0)
            hidden, cell = torch.lstm_cell(inputs[:, 0], before, *weights)
        return hidden[:, None], (hidden[None], cell[None])


def _join(outputs: Tensor, context: Tensor | None) -> Tensor:
    return outputs if context is None else torch.cat([outputs, context], 2)
