"""Weights of eight bits: as near as they can be, and nothing else changed."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import ModelError
from core.fast.quantisation import dequantise, quantise
from tests.core.test_checkpoint import Toy, ToyConfig


def test_no_weight_is_further_than_half_a_step_away():
    torch.manual_seed(1)
    tensors = {
        "matrix": torch.randn(64, 100) * torch.logspace(-3, 2, 64)[:, None],
        "filters": torch.randn(32, 16, 3, 3),
        "zeros": torch.zeros(64, 64),
    }
    small = quantise(tensors)
    assert {small[name].dtype for name in tensors} == {torch.int8}
    again = dequantise(small)
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        step = tensor.flatten(1).abs().amax(1) / 127
        error = (again[name] - tensor).flatten(1).abs().amax(1)
        assert (error <= 0.501 * step).all()


def test_biases_small_tensors_and_counters_stay_as_they_are():
    tensors = {"bias": torch.randn(5000), "few": torch.randn(3, 3), "counter": torch.ones(70, 70, dtype=torch.long)}
    assert quantise(tensors) == tensors
    assert dequantise(tensors) == tensors


def test_a_checkpoint_of_eight_bits_is_half_as_large_and_as_good(tmp_path):
    torch.manual_seed(1)
    network = Toy(ToyConfig(3000)).eval()
    network.save_pretrained(tmp_path / "half")
    network.save_pretrained(tmp_path / "small", eight_bits=True)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "small")]
    assert sizes[1] < 0.8 * sizes[0]
    loaded = Toy.from_pretrained(tmp_path / "small", encoder=network.encoder)
    tokens = torch.randint(0, 3000, (5, 7))
    torch.testing.assert_close(loaded(tokens), network(tokens), atol=0.05, rtol=0.02)
    loaded.save_pretrained(tmp_path / "again", eight_bits=True)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("small", "again")]
    assert files[0] == files[1]


def test_numbers_without_their_steps_are_refused(tmp_path):
    Toy(ToyConfig(3000)).save_pretrained(tmp_path, eight_bits=True)
    file = tmp_path / "model.safetensors"
    save_file({name: t for name, t in load_file(file).items() if not name.endswith(".step")}, file)
    config = json.loads((tmp_path / "config.json").read_text())
    config["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="int8"):
        Toy.from_pretrained(tmp_path)
