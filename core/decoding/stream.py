"""The decoder one step at a time, fast: the same protocol and the same figures as LSTMDecoder, for search and writing.

A fused `nn.LSTM` call is made for whole sequences; setting it up costs more than one step of a few sequences. Here the
weights of a layer are one matrix, read once per step in the number format that is fast on this machine
(core.fast.packed), and with a small vocabulary the first layer's input products are looked up in a table.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from core.fast.packed import Product, product_with
from core.networks.attention import Memory
from core.networks.decoder import DecoderConfig, DecoderOutput, DecoderState, LSTMDecoder, join

LARGEST_TABLE = 2048  # words of a vocabulary up to which the first layer's input products are kept


class StepState(NamedTuple):
    """LSTM state of N sequences, layer by layer: nothing has to be put together after a step."""

    hidden: tuple[Tensor, ...]  # of each layer (N, H)
    cell: tuple[Tensor, ...]

    def select(self, index: Tensor) -> "StepState":
        """State of the sequences (M,) named by `index`, in that order."""
        hidden, cell = (tuple(layer.index_select(0, index) for layer in part) for part in self)
        return StepState(hidden, cell)


class StepDecoder:
    """An LSTMDecoder as its weights are now, made fast for single steps on the CPU. Threads may share it.

    words: the decoder writes these tokens (V',) only, and its token n is the decoder's words[n]: writing in one
        language needs no other's words, and a smaller output layer is faster (Jean et al. 2015). None: all.
    dtype: of the large products, by default that of the weights (see core.fast.packed.product_with). The output layer
        of a small vocabulary is none of them: it stays exact.
    """

    def __init__(self, decoder: LSTMDecoder, words: Tensor | None = None, dtype: torch.dtype | None = None):
        self.decoder = decoder = decoder if words is None else with_words(decoder, words)
        self.config: DecoderConfig = decoder.config
        dtype = dtype or decoder.bias.dtype
        with torch.no_grad():
            embedding = decoder.embedding.weight.detach()
            inward, recurrent, bias = _weights(decoder.first)
            keep_table = len(embedding) <= LARGEST_TABLE and embedding.dtype == torch.float32
            self._table = embedding @ inward.T + bias if keep_table else None  # (V, 4 H)
            if keep_table:
                self._cells = [product_with(recurrent, torch.zeros_like(bias), dtype)]
            else:
                self._cells = [_gates(decoder.first, dtype)]
            self._cells += [_gates(lstm, dtype) for lstm in decoder.upper]
            self._readout = product_with(decoder.readout.weight, decoder.readout.bias, embedding.dtype)
            self._output = product_with(embedding, decoder.bias, embedding.dtype if keep_table else dtype)

    def project_memory(self, memory: Tensor, mask: Tensor | None = None, summary: Tensor | None = None) -> Memory:
        """See LSTMDecoder."""
        return self.decoder.project_memory(memory, mask, summary)

    def initial_state(self, sequences: int, memory: Memory | None = None) -> DecoderState:
        """See LSTMDecoder."""
        return self.decoder.initial_state(sequences, memory)

    def __call__(
        self, tokens: Tensor, memory: Memory | None = None, state: DecoderState | StepState | None = None
    ) -> DecoderOutput:
        """See LSTMDecoder.forward. Several steps at once are the decoder's own; dropout is never applied to one."""
        if state is None:
            state = self.initial_state(len(tokens), memory)
        if tokens.shape[1] > 1:
            whole = state if isinstance(state, DecoderState) else DecoderState(*map(torch.stack, state))
            return self.decoder(tokens, memory, whole)
        decoder, token = self.decoder, tokens[:, 0]
        inputs: Any = None  # (N, E), where they are needed
        context = weights = None
        if decoder.attention is not None or self._table is None:
            inputs = decoder.embedding(token)
        if self._table is not None:
            gates = self._table.index_select(0, token) + self._cells[0](state.hidden[0])
        else:
            gates = self._cells[0](torch.cat([inputs, state.hidden[0]], 1))
        outputs, cell = _step(gates, state.cell[0])
        hidden, cells = [outputs], [cell]
        if decoder.attention is not None:
            seen, weights = decoder.attention(outputs[:, None], inputs[:, None], memory)
            context = seen[:, 0]
        for n, product in enumerate(self._cells[1:], 1):
            above, cell = _step(product(torch.cat([join(outputs, context), state.hidden[n]], 1)), state.cell[n])
            outputs = outputs + above
            hidden.append(above)
            cells.append(cell)
        vectors = torch.tanh(self._readout(join(outputs, context)))
        return DecoderOutput(self._output(vectors)[:, None], StepState(tuple(hidden), tuple(cells)), weights)


def with_words(decoder: LSTMDecoder, words: Tensor) -> LSTMDecoder:
    """The same decoder with the words (V',) of its vocabulary only: its token n is the decoder's words[n].

    It shares the weights but for the embeddings and the bias, which are copied as they are now.
    """
    with torch.device("meta"):  # nothing is allocated: every part is replaced
        smaller = LSTMDecoder(replace(decoder.config, vocab_size=len(words)))
    for name, module in decoder.named_children():
        setattr(smaller, name, module)
    smaller.embedding = nn.Embedding.from_pretrained(decoder.embedding.weight.detach()[words])
    smaller.bias = nn.Parameter(decoder.bias.detach()[words], requires_grad=False)
    return smaller.train(decoder.training)


def _gates(lstm: nn.Module, dtype: torch.dtype) -> Product:
    """Input and hidden state, side by side, -> the four gates of a layer in one product."""
    inward, recurrent, bias = _weights(lstm)
    return product_with(torch.cat([inward, recurrent], 1), bias, dtype)


def _weights(lstm: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """For the input (4 H, I), for the hidden state (4 H, H), and the bias (4 H,), which PyTorch keeps in two parts."""
    found = dict(lstm.named_parameters())
    return found["weight_ih_l0"], found["weight_hh_l0"], found["bias_ih_l0"] + found["bias_hh_l0"]


def _step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 4 H) sums of the gates, (N, H) cell state before -> hidden state and cell state after, (N, H) each."""
    enter, forget, new, leave = gates.chunk(4, 1)
    cell = torch.addcmul(forget.sigmoid() * cell, enter.sigmoid(), new.tanh())
    return leave.sigmoid() * cell.tanh(), cell
