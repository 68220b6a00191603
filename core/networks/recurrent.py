"""Recurrent stacks: plain RNN, GRU and LSTM layers; deep, bidirectional, residual, well initialised.

Each layer is one fused PyTorch module over all time steps. State goes in and comes out as a value and is never kept on
the module, so threads may share a stack.
"""

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from core.errors import InputError, ModelError

_CELLS: dict[str, Callable[..., nn.RNNBase]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn_tanh": partial(nn.RNN, nonlinearity="tanh"),
    "rnn_relu": partial(nn.RNN, nonlinearity="relu"),
}


class RecurrentState(NamedTuple):
    """What a stack remembers after a sequence: the last real step of each layer (last in reading direction)."""

    hidden: Tensor  # (num_layers, directions, B, H)
    cell: Tensor | None  # the same for the LSTM; None for the other cells

    def map(self, function: Callable[[Tensor], Tensor]) -> "RecurrentState":
        """The function of each part, e.g. `state.map(Tensor.detach)` for truncated back-propagation through time."""
        return RecurrentState(function(self.hidden), None if self.cell is None else function(self.cell))

    def select(self, index: Tensor) -> "RecurrentState":
        """The state of a batch made of the items `index` (B',) of this one; items may be left out or repeated."""
        return self.map(lambda part: part.index_select(2, index))


class RecurrentOutput(NamedTuple):
    """Outputs of the top layer for every step, 0 at padding, and the final state of every layer."""

    outputs: Tensor  # (B, T, directions * H)
    state: RecurrentState


def initialise_recurrent(module: nn.RNNBase, forget_bias: float = 1.0) -> None:
    """Initialise any nn.RNN, nn.GRU or nn.LSTM in place, gate by gate.

    Recurrent weights are orthogonal, so that they neither stretch nor shrink what they carry from step to step (Saxe et
    al. 2014); those of a ReLU network are the identity (Le et al. 2015). Input weights are Glorot and Bengio's (2010)
    "Xavier". Biases are 0, but that of the LSTM's forget gate is `forget_bias`, so that it remembers until it learns to
    forget (Jozefowicz et al. 2015).
    """
    for name, parameter in module.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            # PyTorch adds two bias vectors: the forget gate's bias is set in one and stays 0 in the other.
            if module.mode == "LSTM" and name.startswith("bias_ih"):
                _, forget, _, _ = parameter.data.chunk(4)  # input, forget, cell, output
                forget.fill_(forget_bias)
        elif name.startswith("weight_hh"):
            fill = nn.init.eye_ if module.mode == "RNN_RELU" else nn.init.orthogonal_
            for gate in parameter.data.split(module.hidden_size):
                fill(gate)
        else:  # weight_ih, and the projection weight_hr of an nn.LSTM that has one
            for gate in parameter.data.split(module.hidden_size):
                nn.init.xavier_uniform_(gate)


class RecurrentStack(nn.Module):
    """`num_layers` recurrent layers, each reading the outputs of the one below.

    cell: "lstm" (Hochreiter and Schmidhuber 1997), "gru" (Cho et al. 2014), "rnn_tanh" or "rnn_relu" (Elman 1990).
    bidirectional: every layer reads the sequence both ways (Schuster and Paliwal 1997) and passes on both results.
    residual: from the second layer on, a layer's input is added to its outputs (Wu et al. 2016).
    dropout: probability, on the input of every layer: on vertical connections only, never from step to step (Zaremba et
        al. 2014). The outputs of the top layer are left to the caller.
    variational: one dropout mask for all steps of a sequence (Gal and Ghahramani 2016), not a new one each step.
    weight_dropout: probability, on the recurrent weights themselves, one mask for all steps of a batch ("DropConnect"
        of the AWD-LSTM, Merity et al. 2018): it regularises the way from step to step without disturbing the state.
    init: called with every layer's nn.RNNBase; for comparisons, e.g. `partial(initialise_recurrent, forget_bias=-1)`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        cell: str = "lstm",
        bidirectional: bool = False,
        residual: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        weight_dropout: float = 0.0,
        init: Callable[[nn.RNNBase], None] = initialise_recurrent,
    ):
        super().__init__()
        if cell not in _CELLS:
            raise ModelError(f"There is no recurrent cell {cell!r}. Choose one of {', '.join(_CELLS)}.")
        if num_layers < 1:
            raise ModelError(f"A recurrent stack needs at least one layer, not {num_layers}.")
        self.output_size = hidden_size * (2 if bidirectional else 1)
        self.residual, self.dropout, self.variational = residual, dropout, variational
        self.weight_dropout = weight_dropout
        sizes = [input_size] + [self.output_size] * (num_layers - 1)
        layers = [_CELLS[cell](size, hidden_size, batch_first=True, bidirectional=bidirectional) for size in sizes]
        for layer in layers:
            init(layer)
        self.layers = nn.ModuleList(layers)

    def forward(
        self, inputs: Tensor, lengths: Tensor | None = None, state: RecurrentState | None = None
    ) -> RecurrentOutput:
        """Run whole sequences.

        inputs: (B, T, input_size), padded at the end. lengths: (B,) real steps of each sequence, 1 to T; what the
        padding holds then never changes a result. state: where to go on from, as an earlier call returned it.
        Raises InputError for sequences without a step.
        """
        if not inputs.size(1) or (lengths is not None and lengths.min() < 1):
            raise InputError("A recurrent network cannot read an empty sequence: each needs at least one step.")
        if lengths is not None:
            lengths = lengths.cpu()
            if lengths.min() == inputs.size(1):
                lengths = None  # nothing is padded, and the kernels for full batches are faster
        states: list[RecurrentState] = []
        for depth, layer in enumerate(self.layers):
            assert isinstance(layer, nn.RNNBase)
            previous = None if state is None else state.map(itemgetter(depth))
            outputs, final = _run(layer, self._drop(inputs), lengths, previous, self.weight_dropout * self.training)
            inputs = outputs + inputs if self.residual and depth else outputs
            states.append(final)
        cells = [each.cell for each in states if each.cell is not None]
        hidden = torch.stack([each.hidden for each in states])
        return RecurrentOutput(inputs, RecurrentState(hidden, torch.stack(cells) if cells else None))

    def _drop(self, inputs: Tensor) -> Tensor:
        if self.variational:  # dropout1d drops a feature for all steps at once
            return F.dropout1d(inputs.transpose(1, 2), self.dropout, self.training).transpose(1, 2)
        return F.dropout(inputs, self.dropout, self.training)


def reverse(sequences: Tensor, lengths: Tensor) -> Tensor:
    """(B, T, ...) sequences, each turned round within its (B,) length; the padding stays where it is.

    A stack that reads forwards reads these from the last step to the first, and never meets padding before the end.
    """
    steps = torch.arange(sequences.size(1), device=sequences.device)
    last = lengths.to(sequences.device).unsqueeze(1) - 1
    index = torch.where(steps <= last, last - steps, steps)  # (B, T)
    return sequences[torch.arange(len(sequences), device=sequences.device).unsqueeze(1), index]


def _run(
    layer: nn.RNNBase,
    inputs: Tensor,
    lengths: Tensor | None,
    state: RecurrentState | None,
    weight_dropout: float = 0.0,
) -> tuple[Tensor, RecurrentState]:
    """One layer; the state's parts are (directions, B, H)."""
    before: Any = None  # as PyTorch's layers take it
    if state is not None:
        before = state.hidden if state.cell is None else tuple(state)
    call = partial(_call_with_dropped_weights, layer, weight_dropout) if weight_dropout else layer
    if lengths is None:
        outputs, final = call(inputs, before)
    else:
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        outputs, final = call(packed, before)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.size(1))
    return outputs, RecurrentState(*final) if isinstance(final, tuple) else RecurrentState(final, None)


def _call_with_dropped_weights(layer: nn.RNNBase, probability: float, *arguments: Any) -> Any:
    """The layer called with some of its recurrent weights at 0."""
    weights = {
        name: F.dropout(weight, probability) if name.startswith("weight_hh") else weight
        for name, weight in layer.named_parameters()
    }
    return functional_call(layer, weights, arguments)
