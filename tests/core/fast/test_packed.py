"""Packed weights: the same products, as exact as 16 bits are."""

import pytest
import torch
from torch.nn import functional as F

from core.fast import packed
from core.fast.packed import PackedLinear, can_pack, product_with


@pytest.fixture
def layer():
    """Weights (40, 24) and bias (40,) that 16 bits hold, as a checkpoint's are, and a few vectors (3, 24)."""
    torch.manual_seed(3)
    return torch.randn(40, 24).half().float(), torch.randn(40).half().float(), torch.randn(3, 24)


@pytest.mark.skipif(not can_pack(), reason="this build of torch has no FBGEMM")
def test_a_packed_product_is_the_product(layer):
    weight, bias, vectors = layer
    product = product_with(weight, bias, torch.float32)
    assert isinstance(product, PackedLinear)
    torch.testing.assert_close(product(vectors), F.linear(vectors, weight, bias), atol=1e-4, rtol=1e-4)


def test_without_fbgemm_the_plain_product_is_taken(layer, monkeypatch):
    monkeypatch.setattr(packed, "can_pack", lambda: False)
    weight, bias, vectors = layer
    product = product_with(weight, bias, torch.float32)
    assert not isinstance(product, PackedLinear)
    assert torch.equal(product(vectors), F.linear(vectors, weight, bias))


def test_a_product_in_bfloat16_gives_what_it_was_given_in_its_type(layer):
    weight, bias, vectors = layer
    found = product_with(weight, bias, torch.bfloat16)(vectors)
    assert found.dtype == torch.float32
    expected = F.linear(vectors, weight, bias)
    assert (found - expected).norm() < 0.02 * expected.norm()


def test_later_changes_of_the_weights_change_nothing(layer):
    weight, bias, vectors = layer
    product = product_with(weight, bias, torch.float32)
    before = product(vectors)
    if isinstance(product, PackedLinear):
        weight.zero_()
        assert torch.equal(product(vectors), before)
