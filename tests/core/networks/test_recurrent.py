"""Recurrent stacks: initialisation, padding, direction, depth, state."""

from functools import partial
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor, nn

from core.errors import InputError, ModelError
from core.networks.recurrent import RecurrentStack, RecurrentState, initialise_recurrent, reverse

CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
B, T, D, H = 4, 7, 5, 6


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def recurrent_gates(module: nn.RNNBase) -> list[Tensor]:
    weights = [p for name, p in module.named_parameters() if name.startswith("weight_hh")]
    return [gate for weight in weights for gate in weight.detach().split(module.hidden_size)]


# --- initialisation ------------------------------------------------------------------------------------------------


def test_forget_bias_is_one_in_total_and_other_biases_zero():
    module = nn.LSTM(D, H, num_layers=2, bidirectional=True)
    initialise_recurrent(module)
    for suffix in ("l0", "l1", "l0_reverse", "l1_reverse"):
        total = getattr(module, f"bias_ih_{suffix}") + getattr(module, f"bias_hh_{suffix}")
        expected = torch.cat([torch.zeros(H), torch.ones(H), torch.zeros(2 * H)])  # input, forget, cell, output
        torch.testing.assert_close(total, expected)


@pytest.mark.parametrize("module", [nn.GRU(D, H), nn.RNN(D, H), nn.RNN(D, H, nonlinearity="relu")])
def test_biases_of_other_cells_are_zero(module):
    initialise_recurrent(module)
    assert not module.bias_ih_l0.any()
    assert not module.bias_hh_l0.any()


@pytest.mark.parametrize(("module", "gates"), [(nn.LSTM(D, H, 2), 8), (nn.GRU(D, H, 2), 6), (nn.RNN(D, H, 2), 2)])
def test_recurrent_weights_of_each_gate_are_orthogonal(module, gates):
    initialise_recurrent(module)
    weights = recurrent_gates(module)
    assert len(weights) == gates
    for weight in weights:
        torch.testing.assert_close(weight @ weight.T, torch.eye(H))
    assert not any(torch.equal(a, b) for a, b in pairwise(weights))


def test_relu_network_starts_as_the_identity_and_remembers_exactly():
    stack = RecurrentStack(D, H, cell="rnn_relu")
    inputs = torch.zeros(1, 200, D)
    inputs[:, 0] = torch.randn(D)
    outputs, _ = stack(inputs)
    first = (stack.layers[0].weight_ih_l0 @ inputs[0, 0]).relu()
    assert first.any()
    torch.testing.assert_close(outputs[0, -1], first)


def test_input_weights_are_xavier_for_each_gate():
    module = nn.LSTM(300, 200)
    initialise_recurrent(module)
    for gate in module.weight_ih_l0.detach().split(200):
        assert gate.abs().max() <= (6 / (300 + 200)) ** 0.5
        assert gate.std() == pytest.approx((2 / (300 + 200)) ** 0.5, rel=0.02)


@pytest.mark.parametrize("module", [nn.LSTM(D, H, bias=False), nn.LSTM(D, H, proj_size=3), nn.GRU(D, H).double()])
def test_any_module_of_pytorch_can_be_initialised(module):
    before = [p.detach().clone() for p in module.parameters()]
    initialise_recurrent(module)
    assert not any(torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))
    assert all(p.requires_grad and p.isfinite().all() for p in module.parameters())


def test_forget_bias_lets_the_gradient_flow_through_200_steps():
    def gradient_at_first_step(forget_bias: float) -> float:
        torch.manual_seed(1)
        stack = RecurrentStack(D, H, init=partial(initialise_recurrent, forget_bias=forget_bias)).double()
        inputs = torch.randn(1, 200, D, dtype=torch.float64, requires_grad=True)
        stack(inputs).outputs[:, -1].sum().backward()
        return inputs.grad[0, 0].norm().item()

    # Each step multiplies the gradient by about the forget gate: sigmoid(1) = 0.73 against sigmoid(-1) = 0.27.
    assert gradient_at_first_step(1) > 1e20 * gradient_at_first_step(-1) > 0


# --- outputs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "layers", "bidirectional", "residual"), product(CELLS, (1, 3), (False, True), (False, True))
)
def test_shapes(cell, layers, bidirectional, residual):
    stack = RecurrentStack(D, H, layers, cell, bidirectional, residual)
    directions = 2 if bidirectional else 1
    assert stack.output_size == H * directions
    for lengths in (None, torch.tensor([7, 1, 3, 3])):
        outputs, state = stack(torch.randn(B, T, D), lengths)
        assert outputs.shape == (B, T, H * directions)
        assert state.hidden.shape == (layers, directions, B, H)
        assert (state.cell is not None) == (cell == "lstm")
        assert all(part is None or part.shape == state.hidden.shape for part in state)


@pytest.mark.parametrize(("cell", "bidirectional"), product(CELLS, (False, True)))
def test_equals_the_deep_module_of_pytorch(cell, bidirectional):
    stack = RecurrentStack(D, H, 3, cell, bidirectional)
    build, options = (nn.RNN, {"nonlinearity": cell[4:]}) if "_" in cell else (getattr(nn, cell.upper()), {})
    deep = build(D, H, 3, batch_first=True, bidirectional=bidirectional, **options)
    weights = {
        name.replace("_l0", f"_l{depth}"): weight
        for depth, layer in enumerate(stack.layers)
        for name, weight in layer.state_dict().items()
    }
    deep.load_state_dict(weights)
    inputs = torch.randn(B, T, D)
    outputs, state = stack(inputs)
    expected, final = deep(inputs)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state.hidden.flatten(0, 1), final[0] if cell == "lstm" else final)


@pytest.mark.parametrize(("cell", "bidirectional"), product(CELLS, (False, True)))
def test_padding_never_changes_results(cell, bidirectional):
    stack = RecurrentStack(D, H, 2, cell, bidirectional, residual=True)
    lengths = torch.tensor([3, 7, 1, 5])
    inputs = torch.randn(B, T, D)
    inputs[torch.arange(T) >= lengths[:, None]] = float("nan")  # whatever the padding holds
    outputs, state = stack(inputs, lengths)
    for n, length in enumerate(lengths):
        alone = stack(inputs[n : n + 1, :length])
        torch.testing.assert_close(outputs[n, :length], alone.outputs[0])
        torch.testing.assert_close(state.select(torch.tensor([n])), alone.state)
        assert not outputs[n, length:].any()


@pytest.mark.parametrize("cell", CELLS)
def test_bidirectional_stack_with_exchanged_directions_reads_backwards(cell):
    stack, mirrored = (RecurrentStack(D, H, 1, cell, bidirectional=True) for _ in range(2))
    weights = stack.layers[0].state_dict()
    for name, weight in weights.items():
        other = name.removesuffix("_reverse") if name.endswith("_reverse") else name + "_reverse"
        mirrored.layers[0].state_dict()[other].copy_(weight)
    inputs = torch.randn(B, T, D)
    outputs, state = stack(inputs)
    backwards, mirrored_state = mirrored(inputs.flip(1))
    torch.testing.assert_close(backwards.flip(1).roll(H, dims=2), outputs)
    torch.testing.assert_close(mirrored_state.hidden.flip(1), state.hidden)
    assert not torch.allclose(backwards, outputs)


def test_residual_adds_the_input_from_the_second_layer_on():
    stack = RecurrentStack(D, H, 2, residual=True)
    inputs = torch.randn(B, T, D)
    first, _ = stack.layers[0](inputs)
    second, _ = stack.layers[1](first)
    torch.testing.assert_close(stack(inputs).outputs, second + first)


# --- dropout -------------------------------------------------------------------------------------------------------


def copy_inputs(module: nn.RNNBase, recurrent: float) -> None:
    """h_t = relu(x_t + recurrent * h_(t-1))"""
    nn.init.eye_(module.weight_ih_l0)
    nn.init.eye_(module.weight_hh_l0).data.mul_(recurrent)
    nn.init.zeros_(module.bias_ih_l0)
    nn.init.zeros_(module.bias_hh_l0)


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_masks(variational):
    init = partial(copy_inputs, recurrent=0)
    stack = RecurrentStack(50, 50, cell="rnn_relu", dropout=0.4, variational=variational, init=init)
    inputs = torch.ones(20, 30, 50)
    outputs, _ = stack(inputs)
    kept = outputs > 0
    torch.testing.assert_close(outputs[kept], torch.full_like(outputs[kept], 1 / 0.6))
    assert kept.float().mean() == pytest.approx(0.6, abs=0.06)
    assert (kept == kept[:, :1]).all() == variational  # the same features at all steps of a sequence
    assert not (kept == kept[:1]).all()  # others for other sequences
    torch.testing.assert_close(stack.eval()(inputs).outputs, inputs)


def test_dropout_leaves_the_connections_in_time_alone():
    stack = RecurrentStack(50, 50, cell="rnn_relu", dropout=0.5, init=partial(copy_inputs, recurrent=1))
    inputs = torch.zeros(1, 100, 50)
    inputs[:, 0] = 1
    outputs, _ = stack(inputs)
    assert 0 < outputs[0, 0].count_nonzero() < 50
    torch.testing.assert_close(outputs, outputs[:, :1].expand_as(outputs))


# --- state ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_two_chunks_with_carried_state_equal_one_run(cell):
    stack = RecurrentStack(D, H, 2, cell, residual=True)
    inputs = torch.randn(B, T, D)
    whole = stack(inputs)
    first = stack(inputs[:, :3])
    second = stack(inputs[:, 3:], state=first.state)
    torch.testing.assert_close(torch.cat([first.outputs, second.outputs], 1), whole.outputs)
    torch.testing.assert_close(second.state, whole.state)
    assert not torch.allclose(stack(inputs[:, 3:]).outputs, second.outputs)


@pytest.mark.parametrize("cell", CELLS)
def test_select_reorders_the_batch(cell):
    stack = RecurrentStack(D, H, 2, cell)
    inputs, more = torch.randn(B, T, D), torch.randn(B, 2, D)
    index = torch.tensor([2, 2, 0])
    selected = stack(more[index], state=stack(inputs).state.select(index))
    expected = stack(more, state=stack(inputs).state)
    torch.testing.assert_close(selected.outputs, expected.outputs[index])


def test_detached_state_ends_the_gradient():
    stack = RecurrentStack(D, H)
    inputs = torch.randn(1, T, D, requires_grad=True)
    state = stack(inputs).state
    assert all(part.requires_grad for part in state)
    assert not any(part.requires_grad for part in state.map(Tensor.detach))


def test_nothing_is_stored_on_the_module():
    stack = RecurrentStack(D, H, 2)
    attributes = {name: set(vars(module)) for name, module in stack.named_modules()}
    inputs = torch.randn(B, T, D)
    before = stack(inputs)
    stack(torch.randn(2, 3, D), torch.tensor([3, 1]))
    torch.testing.assert_close(stack(inputs), before, rtol=0, atol=0)
    assert {name: set(vars(module)) for name, module in stack.named_modules()} == attributes
    assert isinstance(before.state, RecurrentState)
    assert not list(stack.buffers())


# --- errors --------------------------------------------------------------------------------------------------------


def test_empty_sequences_are_refused():
    stack = RecurrentStack(D, H)
    with pytest.raises(InputError, match="at least one step"):
        stack(torch.randn(B, 0, D))
    with pytest.raises(InputError, match="at least one step"):
        stack(torch.randn(2, T, D), torch.tensor([3, 0]))


def test_unknown_settings_are_refused():
    with pytest.raises(ModelError, match="Choose one of lstm"):
        RecurrentStack(D, H, cell="mgu")
    with pytest.raises(ModelError, match="at least one layer"):
        RecurrentStack(D, H, num_layers=0)


# --- dropped weights, reading backwards ----------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_dropped_weights_are_those_of_a_stack_without_them(cell):
    """What a call with weight dropout computes is what a stack whose recurrent weights are zero there computes."""
    stack = RecurrentStack(D, H, cell=cell, weight_dropout=0.5, init=nn.RNNBase.reset_parameters)  # no weight is 0
    plain = RecurrentStack(D, H, cell=cell)
    plain.load_state_dict(stack.state_dict())
    before = {name: parameter.clone() for name, parameter in stack.named_parameters()}
    inputs, lengths = torch.randn(B, T, D), torch.tensor([T, 3, 5, 1])
    torch.manual_seed(1)
    outputs = stack(inputs, lengths).outputs
    torch.manual_seed(1)
    with torch.no_grad():
        weight = plain.layers[0].weight_hh_l0
        weight.copy_(nn.functional.dropout(weight, 0.5))
    assert 0 < (weight == 0).sum() < weight.numel()
    torch.testing.assert_close(outputs, plain(inputs, lengths).outputs)
    outputs.sum().backward()
    kept = weight != 0
    gradient = stack.layers[0].weight_hh_l0.grad
    assert gradient[~kept].eq(0).all()
    assert gradient[kept].ne(0).any()
    for name, parameter in stack.named_parameters():
        assert torch.equal(parameter, before[name])


def test_judging_drops_no_weights():
    stack = RecurrentStack(D, H, weight_dropout=0.5)
    inputs = torch.randn(B, T, D)
    assert not torch.equal(stack(inputs).outputs, stack(inputs).outputs)
    stack.eval()
    assert torch.equal(stack(inputs).outputs, stack(inputs).outputs)


def test_sequences_are_turned_round_within_their_lengths():
    sequences = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 7, 8]])
    lengths = torch.tensor([3, 1, 4])
    assert reverse(sequences, lengths).tolist() == [[3, 2, 1, 0], [4, 0, 0, 0], [8, 7, 6, 5]]
    vectors = torch.randn(3, 4, D)
    torch.testing.assert_close(reverse(reverse(vectors, lengths), lengths), vectors)
