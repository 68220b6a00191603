"""From a photo to places, on a network of the base class alone."""

from dataclasses import dataclass

import pytest
import torch
from PIL import Image
from torch import Tensor

from core.errors import ModelError
from core.networks.encoders import shared_encoder
from core.networks.photo import PhotoNetwork

WIDTH = 16


@dataclass(frozen=True)
class Config:
    encoder: str = "efficientnet_lite0"
    photo_size: int = 224
    test_size: int | None = None


class Network(PhotoNetwork):
    Config = Config

    def __init__(self, config: Config, weights: str = "imagenet"):
        super().__init__(config, WIDTH, dropout=0.5, weights=weights)


@pytest.fixture
def network() -> Network:
    return Network(Config()).eval()


def photo(seed: int) -> Image.Image:
    """Blocks of colour, another on either side."""
    colours = torch.randint(256, (4, 5, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image.fromarray(colours.numpy()).resize((300, 200), Image.Resampling.NEAREST)


@torch.inference_mode()
def test_photos_become_places(network):
    maps = network.stem_maps([photo(0), photo(1)])
    assert maps.shape == (2, 112, 14, 14)
    grid = network.grid(maps)
    assert grid.shape == (2, 49, 1280)
    assert network.places(grid).shape == (2, 49, WIDTH)
    torch.testing.assert_close(maps[1:], network.stem_maps([photo(1)]))


@torch.inference_mode()
def test_the_mirror_image_is_that_of_the_photo_and_counts_half(network):
    seen, mirrored = network.stem_maps_with_mirrored([photo(0), photo(1)])
    torch.testing.assert_close(seen, network.stem_maps([photo(0), photo(1)]))
    flipped = photo(0).resize((224, 224), Image.Resampling.BICUBIC).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    error = (network.stem_maps([flipped])[0] - mirrored[0]).norm() / mirrored[0].norm()
    assert error < 0.05  # resizing rounds
    both = network.grid(seen, mirrored).view(2, 7, 7, -1)
    alone, other = (network.grid(maps).view(2, 7, 7, -1) for maps in (seen, mirrored))
    torch.testing.assert_close(both, (alone + other.flip(2)) / 2)


@torch.inference_mode()
def test_a_crop_has_the_places_of_its_corner(network):
    grid = network.grid(network.stem_maps([photo(0)])[:, :, :6, :8])  # 3 x 4
    network.place.zero_()
    without = network.places(grid, (3, 4))
    network.place[:3, :4] = torch.randn(3, 4, WIDTH)
    network.place[3:], network.place[:, 4:] = float("nan"), float("nan")
    assert not torch.allclose(network.places(grid, (3, 4)), without)
    assert network.places(grid, (3, 4)).isfinite().all()


@torch.inference_mode()
def test_photos_can_be_seen_larger_after_training():
    network = Network(Config(test_size=200)).eval()  # still 7 x 7
    maps = network.stem_maps([photo(0)])
    assert maps.shape[2:] == (13, 13)
    assert network.places(network.grid(maps)).shape == (1, 49, WIDTH)


def test_batch_norm_and_the_stem_stay_imagenets(network):
    network.train()
    assert network.encoder is shared_encoder("efficientnet_lite0")
    assert not any(module.training for part in (network.encoder, network.tail) for module in part.modules())
    assert network.to_memory.training
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters())
    assert all(parameter.requires_grad for parameter in network.tail.parameters())


def test_a_fast_network_sees_the_same_and_cannot_be_saved(network, tmp_path):
    def places() -> Tensor:
        with torch.inference_mode():
            return network.places(network.grid(network.stem_maps([photo(0)])))

    before = places()
    dtype = network.make_cnn_fast()
    assert next(network.tail.parameters()).dtype == dtype
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(places(), before, atol=tolerance, rtol=tolerance)
    with pytest.raises(ModelError, match="can no longer be saved"):
        network.save_pretrained(tmp_path)


def test_another_network_starts_from_a_checkpoint_s_parts(network, tmp_path):
    with torch.no_grad():
        for parameter in network.tail.parameters():
            parameter.mul_(1.01)  # as if fine-tuned
    network.save_pretrained(tmp_path, half=False)
    other = Network(Config())
    other.start_from(tmp_path)
    for name, tensor in network.checkpoint_state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
    with pytest.raises(ModelError, match="nowhere"):
        other.start_from(tmp_path / "nowhere")


def test_random_weights_are_not_imagenets():
    network = Network(Config(), weights="random")
    assert network.encoder is not shared_encoder("efficientnet_lite0")
    assert not network.imagenet
