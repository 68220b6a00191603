"""The training loop on toy networks small enough to check its promises to the last digit."""

import itertools
import json
import os
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector
from torch.utils.data import DataLoader, TensorDataset

from core.errors import InputError
from core.networks.decoder import DecoderConfig, LSTMDecoder
from core.training.loop import Loss, TrainingConfig, train
from tests.core.training import two_processes

STEPS = 4  # an epoch
CONFIG = TrainingConfig(epochs=3, learning_rate=0.05, warmup_steps=2, weight_decay=0.1, clip_norm=1.0, log_every=1)


def toy_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1))


def toy_loader(batch_size: int = 8) -> DataLoader:
    x = torch.randn(8 * STEPS, 3, generator=torch.Generator().manual_seed(5))
    return DataLoader(TensorDataset(x, x.prod(1, keepdim=True)), batch_size, shuffle=True)


def squared_error(model: nn.Module, batch: list[Tensor], carry: None) -> Loss:
    x, y = batch
    return Loss(nn.functional.mse_loss(model(x), y))


def dev_figure(model: nn.Module) -> dict[str, float]:
    x = torch.linspace(-1, 1, 30).view(10, 3)
    return {"gain": -nn.functional.mse_loss(model(x), x.prod(1, keepdim=True)).item()}


def without_seconds(records: list[dict]) -> list[dict]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def scripted(figures: list[float]):
    """An evaluation whose figures are known beforehand."""
    left = iter(figures)
    return lambda model: {"score": next(left)}


# --- seeds and resuming ------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_curve_and_another_seed_another(tmp_path):
    runs = {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        config = TrainingConfig(epochs=2, learning_rate=0.05, warmup_steps=2, log_every=1, seed=seed)
        runs[name] = without_seconds(train(toy_model(), toy_loader(), squared_error, config, tmp_path / name))
    assert runs["first"] == runs["again"]
    assert runs["first"] != runs["other"]


def test_every_epoch_shuffles_anew(tmp_path):
    seen = []

    def loss(model: nn.Module, batch: list[Tensor], carry: None) -> Loss:
        seen.append(batch[0])
        return squared_error(model, batch, carry)

    train(toy_model(), toy_loader(), loss, CONFIG, tmp_path)
    epochs = [torch.cat(seen[start : start + STEPS]) for start in range(0, 3 * STEPS, STEPS)]
    for one, other in itertools.combinations(epochs, 2):
        assert not torch.equal(one, other)
        assert torch.equal(one.sum(1).sort().values, other.sum(1).sort().values)  # the same examples


@pytest.mark.parametrize("average", [0.0, 0.8])
@pytest.mark.parametrize("fatal_step", [STEPS, STEPS + 2], ids=["between epochs", "within an epoch"])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, average, fatal_step):
    """Shuffling, dropout, optimiser, schedule, averaged weights, best figure and log all continue where they stood."""
    config = TrainingConfig(
        epochs=3, learning_rate=0.05, warmup_steps=2, weight_decay=0.1, average=average, log_every=1
    )
    judged = {}

    def evaluate(name: str):
        def figures(model: nn.Module) -> dict[str, float]:
            judged[name] = parameters_to_vector(model.parameters()).clone()
            return dev_figure(model)

        return figures

    def power_cut(model: nn.Module, batch: list[Tensor], carry: None) -> Loss:
        nonlocal fatal_step
        if not fatal_step:
            raise KeyboardInterrupt
        fatal_step -= 1
        return squared_error(model, batch, carry)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    uninterrupted = toy_model()
    expected = train(uninterrupted, toy_loader(), squared_error, config, whole, evaluate("whole"))
    with pytest.raises(KeyboardInterrupt):
        train(toy_model(), toy_loader(), power_cut, config, parts, evaluate("parts"))
    with (parts / "log.jsonl").open("a") as log:
        log.write('{"step": 7, "lo')  # the power went while this line was written
    resumed = toy_model(seed=99)  # its weights come from the folder
    got = train(resumed, toy_loader(), squared_error, config, parts, evaluate("parts"), resume=True)

    assert without_seconds(got) == without_seconds(expected)
    assert read_log(parts) == got
    assert torch.equal(parameters_to_vector(resumed.parameters()), parameters_to_vector(uninterrupted.parameters()))
    assert torch.equal(judged["parts"], judged["whole"])
    seconds = [record["seconds"] for record in got]
    assert seconds == sorted(seconds)  # the clock goes on


def test_resuming_a_finished_training_or_an_empty_folder(tmp_path):
    first = train(toy_model(), toy_loader(), squared_error, CONFIG, tmp_path, resume=True)  # nothing there yet
    assert [record["step"] for record in first] == list(range(1, 3 * STEPS + 1))
    again = train(toy_model(), toy_loader(), squared_error, CONFIG, tmp_path, resume=True)
    assert again == first == read_log(tmp_path)
    anew = train(toy_model(), toy_loader(), squared_error, CONFIG, tmp_path)
    assert without_seconds(anew) == without_seconds(first)
    assert read_log(tmp_path) == anew  # one training's log, not two


# --- stopping, saving, averaging ---------------------------------------------------------------------------------


def test_training_stops_after_patience_and_saves_only_the_best(tmp_path):
    saved = []

    def save(model: nn.Module) -> None:
        saved.append(read_log(tmp_path)[-1]["dev"]["score"])

    config = TrainingConfig(epochs=9, patience=3, log_every=100)
    figures = [1.0, 3.0, 2.0, 2.9, 3.0, 99.0]  # as good as the best is no progress
    records = train(toy_model(), toy_loader(), squared_error, config, tmp_path, scripted(figures), save)
    assert [record["dev"]["score"] for record in records] == figures[:5]
    assert [record["epoch"] for record in records] == [1, 2, 3, 4, 5]
    assert saved == [1.0, 3.0]


def test_patience_counts_on_after_a_resume(tmp_path):
    def run(figures: list[float], resume: bool) -> list[dict]:
        config = TrainingConfig(epochs=9, patience=2, log_every=100)
        return train(toy_model(), toy_loader(), squared_error, config, tmp_path, scripted(figures), resume=resume)

    with pytest.raises(StopIteration):
        run([5.0, 4.0], resume=False)  # no third figure: interrupted in the third evaluation
    records = run([4.5, 99.0], resume=True)
    assert [record["dev"]["score"] for record in records] == [5.0, 4.0, 4.5]


def test_the_model_that_is_judged_has_averaged_weights(tmp_path):
    """The average starts at the weights after the first step, and moves a fifth of the way at each other step."""
    before, judged = [], []

    def loss(model: nn.Module, batch: list[Tensor], carry: None) -> Loss:
        before.append(parameters_to_vector(model.parameters()).detach().clone())
        return squared_error(model, batch, carry)

    def evaluate(model: nn.Module) -> dict[str, float]:
        assert not model.training
        judged.append(parameters_to_vector(model.parameters()).clone())
        return {"score": 0.0}

    model = toy_model()
    train(model, toy_loader(), loss, TrainingConfig(epochs=1, warmup_steps=2, average=0.8), tmp_path, evaluate)
    after = [*before[1:], parameters_to_vector(model.parameters()).detach()]
    average = after[0]
    for weights in after[1:]:
        average = 0.8 * average + 0.2 * weights
    torch.testing.assert_close(judged[0], average)
    assert not torch.allclose(judged[0], after[-1])


# --- optimisation ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [0.01, 1e6])
def test_the_gradient_is_clipped_and_its_norm_logged(tmp_path, clip_norm):
    """After one step Adam's first moment is a tenth of the gradient that reached it."""
    loader = toy_loader(batch_size=8 * STEPS)
    config = TrainingConfig(epochs=1, clip_norm=clip_norm, log_every=1)
    (record,) = train(toy_model(), loader, squared_error, config, tmp_path)
    state = torch.load(tmp_path / "state" / "optimizer.bin", weights_only=True)["state"].values()
    reached = 10 * torch.cat([moments["exp_avg"].flatten() for moments in state]).norm().item()
    assert record["norm"] > 0.05  # before clipping
    assert reached == pytest.approx(min(record["norm"], clip_norm), rel=1e-3)


def test_what_a_loss_asks_again_adds_its_gradient(tmp_path):
    """Asked once the first part has gone backwards; a loss of two equal parts has twice the gradient."""
    seen = []

    def twice(model: nn.Module, batch: list[Tensor], carry: None) -> Loss:
        def again() -> Tensor:
            seen.append(model[0].weight.grad is not None)
            return squared_error(model, batch, None).value

        return Loss(squared_error(model, batch, None).value, again=again)

    config = TrainingConfig(epochs=1, log_every=1)
    norms = []
    for loss in (squared_error, twice):
        model, loader = toy_model().eval(), toy_loader(batch_size=8 * STEPS)
        model.train = lambda: None  # without dropout both parts are the same
        (record,) = train(model, loader, loss, config, tmp_path)
        norms.append(record["norm"])
    assert seen == [True]
    assert norms[1] == pytest.approx(2 * norms[0], rel=1e-4)


@pytest.mark.parametrize(
    ("schedule", "shape"),
    [
        ("constant", [1.0] * 9),
        ("linear", [1 - done / 8 for done in range(9)]),
        ("cosine", [1, 0.962, 0.854, 0.691, 0.5, 0.309, 0.146, 0.038, 0]),
    ],
)
def test_the_learning_rate_warms_up_and_decays(tmp_path, schedule, shape):
    config = TrainingConfig(epochs=3, learning_rate=0.02, schedule=schedule, warmup_steps=4, log_every=1)
    records = train(toy_model(), toy_loader(), squared_error, config, tmp_path)
    rates = [record["rate"] / 0.02 for record in records]  # after each of the 12 steps
    assert rates == pytest.approx([0.5, 0.75, 1.0, *shape], abs=1e-3)


def test_a_training_by_the_clock_ends_with_its_minutes_and_the_rate_comes_down_by_them(tmp_path, monkeypatch):
    """However many epochs that makes, it ends within one too, and none of them has to be better than the one before; a
    resumed one has only the minutes that were left, or those that it is given on top."""
    config = TrainingConfig(
        epochs=1, minutes=1, schedule="linear", learning_rate=0.02, warmup_steps=2, log_every=1, patience=1
    )
    worse, now = scripted([2.0, 1.0]), 0.0

    def ten_seconds(model: nn.Module, batch: list[Tensor], carry: None) -> Loss:
        nonlocal now
        now += 10
        return squared_error(model, batch, carry)

    monkeypatch.setattr("core.training.loop.time", types.SimpleNamespace(monotonic=lambda: now))
    records = train(toy_model(), toy_loader(), ten_seconds, config, tmp_path, worse)
    steps = [record for record in records if "rate" in record]
    assert [record["seconds"] for record in steps] == [10, 20, 30, 40, 50, 60]
    assert STEPS < len(steps) < 2 * STEPS
    assert "dev" in records[-1]
    rates = [record["rate"] / 0.02 for record in steps]  # each for the next step, by the clock before this one
    assert rates == pytest.approx([1, 1 - 10 / 60, 1 - 20 / 60, 1 - 30 / 60, 1 - 40 / 60, 1 - 50 / 60])
    assert train(toy_model(), toy_loader(), ten_seconds, config, tmp_path, worse, resume=True) == records
    worse, longer = scripted([0.5]), replace(config, minutes=1.5)
    records = train(toy_model(), toy_loader(), ten_seconds, longer, tmp_path, worse, resume=True)
    assert [record["seconds"] for record in records if "rate" in record] == [10, 20, 30, 40, 50, 60, 70, 80, 90]


def test_parameter_groups_have_their_own_learning_rate(tmp_path):
    model = toy_model()
    start = [parameters_to_vector(layer.parameters()).detach().clone() for layer in (model[0], model[3])]
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[3].parameters()}]
    train(model, toy_loader(), squared_error, CONFIG, tmp_path, parameter_groups=groups)
    assert torch.equal(parameters_to_vector(model[0].parameters()), start[0])
    assert not torch.allclose(parameters_to_vector(model[3].parameters()), start[1])


def test_too_few_examples_for_a_batch_are_an_error(tmp_path):
    loader = DataLoader(torch.zeros(3, 3), batch_size=8, drop_last=True)
    with pytest.raises(InputError, match="smaller batch size"):
        train(toy_model(), loader, squared_error, CONFIG, tmp_path)


# --- truncated back-propagation through time ---------------------------------------------------------------------

CHUNK, DELAY, STREAMS, CHUNKS = 4, 2, 16, 150


def streams() -> DataLoader:
    """Random bits to read and, as targets, the bit read DELAY steps ago: CHUNKS batches of (STREAMS, CHUNK, 2)."""
    bits = torch.randint(2, (STREAMS, CHUNKS * CHUNK), generator=torch.Generator().manual_seed(0))
    pairs = torch.stack([bits, bits.roll(DELAY, 1)], 2)
    chunks = pairs.view(STREAMS, CHUNKS, CHUNK, 2).transpose(0, 1)
    return DataLoader(chunks.flatten(0, 1), batch_size=STREAMS)  # in order: row n of each batch goes on with stream n


def recall(folder: Path, hand_on: bool) -> tuple[float, list]:
    """Final loss, and the carries that the loss function was called with."""
    carries = []

    def loss(model: nn.Module, batch: Tensor, carry) -> Loss:
        carries.append(carry)
        output = model(batch[..., 0], state=carry)
        value = nn.functional.cross_entropy(output.logits.flatten(0, 1), batch[..., 1].flatten())
        return Loss(value, carry=output.state if hand_on else None)

    torch.manual_seed(0)
    model = LSTMDecoder(DecoderConfig(2, embed_dim=8, hidden_size=24, num_layers=1, memory_dim=None, dropout=0.0))
    config = TrainingConfig(epochs=2, learning_rate=0.02, warmup_steps=5, log_every=CHUNKS)
    records = train(model, streams(), loss, config, folder)
    return records[-1]["loss"], carries


def test_a_carried_state_reaches_back_beyond_the_chunk(tmp_path):
    """Half of the bits to recall lie in the chunk before: without the carry they can only be guessed."""
    with_carry, carries = recall(tmp_path / "with", hand_on=True)
    without, none = recall(tmp_path / "without", hand_on=False)
    guessing = 0.5 * torch.tensor(2.0).log().item()
    assert with_carry < 0.1
    assert without > 0.9 * guessing
    assert none == [None] * 2 * CHUNKS
    fresh = [number for number, carry in enumerate(carries) if carry is None]
    assert fresh == [0, CHUNKS]  # an epoch starts from nothing
    kept = [carry for carry in carries if carry is not None]
    assert all(carry.hidden.grad_fn is None and not carry.cell.requires_grad for carry in kept)  # cut from the graph


# --- the log -----------------------------------------------------------------------------------------------------


def test_log_and_learning_curve(tmp_path):
    def loss(model: nn.Module, batch: list[Tensor], carry: None) -> Loss:
        return Loss(squared_error(model, batch, carry).value, {"extra": 7.0})

    config = TrainingConfig(epochs=2, log_every=2)
    records = train(toy_model(), toy_loader(), loss, config, tmp_path / "new" / "folder", dev_figure)
    assert read_log(tmp_path / "new" / "folder") == records
    trained = [record for record in records if "loss" in record]
    assert [record["step"] for record in trained] == [2, 4, 6, 8]
    assert all(record.keys() == {"step", "loss", "norm", "rate", "extra", "seconds"} for record in trained)
    judged = [record for record in records if "dev" in record]
    assert [(record["epoch"], record["step"]) for record in judged] == [(1, 4), (2, 8)]
    with Image.open(tmp_path / "new" / "folder" / "curve.png") as curve:
        assert min(curve.size) > 200
        assert len(curve.convert("RGB").getcolors(1 << 24)) > 10  # not blank


def test_two_processes_give_the_loss_curve_of_one(tmp_path):
    """`accelerate launch` with two CPU processes, beside one process that sees whole batches."""
    one, two = tmp_path / "one", tmp_path / "two"
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
    launcher += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]
    launched = subprocess.run(
        [*launcher, "-m", "tests.core.training.two_processes", str(two)],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert launched.returncode == 0, launched.stderr
    two_processes.main(one)
    (alone,), ranks = (
        [json.loads(file.read_text()) for file in sorted(folder.glob("rank-*.json"))] for folder in (one, two)
    )
    assert [(r["processes"], r["backend"]) for r in ranks] == [(2, "gloo")] * 2
    for whole, *halves in zip(alone["batches"], *(r["batches"] for r in ranks), strict=True):
        assert halves[0] + halves[1] == whole  # the same order, each example once

    expected, got = read_log(one), read_log(two)
    assert [list(record) for record in got] == [list(record) for record in expected]  # only the main process writes
    losses, norms = ([record[name] for record in expected if "loss" in record] for name in ("loss", "norm"))
    assert len(losses) == 12
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])
    assert max(norms) > 0.3  # where gradients are clipped
    assert [record["loss"] for record in got if "loss" in record] == pytest.approx(losses, abs=1e-4)
    assert [record["norm"] for record in got if "loss" in record] == pytest.approx(norms, abs=1e-4)
    for record, other in zip(expected, got, strict=True):
        assert other.get("dev") == (pytest.approx(record["dev"], abs=1e-4) if "dev" in record else None)
    assert ranks[0]["weights"] == ranks[1]["weights"]
    assert ranks[0]["weights"] == pytest.approx(alone["weights"], abs=1e-4)
    assert sorted(file.name for file in two.glob("saved-*")) == ["saved-0"]
