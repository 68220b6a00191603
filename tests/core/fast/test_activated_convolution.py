"""The fused convolution and activation give what the two give one after the other."""

import pytest
import torch
from torch import nn

from core.fast import activated_convolution
from core.fast.activated_convolution import ActivatedConvolution, activated
from core.fast.torchvision_import import import_torchvision

import_torchvision()
from timm.layers import Conv2dSame  # noqa: E402


@pytest.mark.parametrize("size", [12, 13, (12, 13), (5, 20)])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("kind", [nn.Conv2d, Conv2dSame])
def test_the_same_numbers_as_one_after_the_other(kind, kernel, stride, size):
    torch.manual_seed(kernel)
    convolution = kind(4, 8, kernel, stride, padding=0 if kind is Conv2dSame else kernel // 2, groups=2)
    maps = 9 * torch.randn(2, 4, *(size if isinstance(size, tuple) else (size, size)))
    expected = convolution(maps).clamp(0, 6)
    with torch.inference_mode():
        found = activated(convolution, nn.ReLU6())(maps)
    torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-5)
    assert found.min() == 0
    assert found.max() == 6
    with torch.inference_mode():
        torch.testing.assert_close(
            activated(convolution, nn.ReLU())(maps), convolution(maps).relu(), atol=1e-5, rtol=1e-5
        )


def test_gradients_pass_where_they_are_wanted():
    fused = ActivatedConvolution(nn.Conv2d(3, 2, 3), nn.ReLU6())
    fused(torch.randn(1, 3, 8, 8)).sum().backward()
    assert fused.convolution.weight.grad.abs().sum() > 0


def test_no_activation_leaves_the_convolution_and_others_follow_it():
    convolution = nn.Conv2d(3, 2, 1)
    assert activated(convolution, nn.Identity()) is convolution
    maps = torch.randn(1, 3, 4, 4)
    with torch.inference_mode():
        found = activated(convolution, nn.Hardswish())(maps)
    torch.testing.assert_close(found, nn.functional.hardswish(convolution(maps)).detach())


def test_without_the_operator_it_is_one_after_the_other(monkeypatch):
    monkeypatch.setattr(activated_convolution, "_FUSED_CONVOLUTION", None)
    convolution, maps = nn.Conv2d(3, 2, 3), torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        found = activated(convolution, nn.ReLU6())(maps)
        assert torch.equal(found, convolution(maps).clamp(0, 6))
