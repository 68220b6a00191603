"""Photos seen anew every time."""

import gradio.media
import pytest
import torch
from PIL import Image, ImageStat

from core.networks.encoders import create_encoder
from core.training.augmentation import SMALLEST, FreshStemMaps, random_view

CHEETAH = gradio.media.get_image("cheetah1.jpg")


@pytest.fixture
def halves() -> Image.Image:
    """Red on the left, blue on the right."""
    photo = Image.new("RGB", (224, 224), (200, 40, 40))
    photo.paste((40, 40, 200), (112, 0, 224, 224))
    return photo


def test_a_view_is_a_window_of_the_photo_in_another_light(halves):
    torch.manual_seed(0)
    view = random_view(64)
    light = set()
    for _ in range(100):
        seen = view(halves)
        assert (seen.mode, seen.size) == ("RGB", (64, 64))
        left, right = seen.getpixel((0, 32)), seen.getpixel((63, 32))
        assert (left[0] > left[2], right[0] > right[2]) == (True, False)  # both halves, whatever the light
        light.add(round(ImageStat.Stat(seen).mean[1]))
    assert len(light) > 10


def test_a_view_shows_most_of_the_photo():
    """Of a photo whose top left is white and the rest black, the share of white in a view tells the window's size."""
    torch.manual_seed(0)
    photo = Image.new("L", (200, 200))
    photo.paste(255, (0, 0, 100, 200))
    view = random_view(100)
    shares = [ImageStat.Stat(view(photo.convert("RGB")).convert("L").point(lambda v: 255 * (v > 60))).mean[0] / 255
              for _ in range(100)]  # fmt: skip
    narrowest = (SMALLEST * 3 / 4) ** 0.5  # of the photo's width
    assert min(shares) >= 1 - 0.5 / narrowest - 0.02
    assert max(shares) <= 0.5 / narrowest + 0.02
    assert max(shares) - min(shares) > 0.2


def test_stem_maps_differ_from_time_to_time_and_are_those_of_the_photo():
    torch.manual_seed(0)
    fresh, encoder = FreshStemMaps("efficientnet_lite0"), create_encoder("efficientnet_lite0")
    first, second = fresh(CHEETAH, mirrored=False), fresh(CHEETAH, mirrored=False)
    assert (first.dtype, first.shape) == (torch.float32, (112, 14, 14))
    assert not torch.equal(first, second)
    labels = [encoder.classify(fresh(CHEETAH, mirrored=True)[None]).argmax().item() for _ in range(8)]
    assert labels.count(293) >= 6  # "cheetah"


def test_a_mirrored_view_is_that_of_the_mirrored_photo():
    """To the same random numbers the views of a photo and of its mirror image differ by a flip, and so do their maps,
    as far as a network that was not trained on them in pairs goes."""
    fresh = FreshStemMaps("efficientnet_lite0")
    fresh.view = lambda photo: photo.resize((224, 224))
    plain, mirrored = fresh(CHEETAH, mirrored=False), fresh(CHEETAH, mirrored=True)

    def alike(a: torch.Tensor, b: torch.Tensor) -> float:
        return torch.cosine_similarity(a.flatten(), b.flatten(), 0).item()

    assert alike(plain, mirrored.flip(2)) > alike(plain, mirrored) + 0.1
