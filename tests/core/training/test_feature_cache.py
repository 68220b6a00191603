import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio
import pytest
import torch
from PIL import Image, ImageOps

from core.errors import InputError
from core.networks.encoders import Encoder, create_encoder
from core.training.feature_cache import StemCache, stem_cache

NAMES = ("cheetah1.jpg", "lion.jpg", "tower.jpg")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return create_encoder("efficientnet_lite0")


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    """Three photos, of different sizes and one of them grey."""
    folder = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(NAMES):
        with Image.open(gradio.media.get_image(name)) as photo:
            photo.convert("L" if number == 2 else "RGB").resize((180 + 40 * number, 200)).save(folder / name)
    return [folder / name for name in NAMES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache") / "new"


@pytest.fixture(scope="module")
def cache(paths, encoder, folder) -> StemCache:
    return stem_cache(paths, encoder, folder, via=224)


def forward(encoder: Encoder, photo: Image.Image, via: int | None = 224) -> torch.Tensor:
    """(C, h, w) stem map of one photo in full precision, not through the cache."""
    with torch.inference_mode():
        return encoder.stem(encoder.preprocess([photo], via))[0]


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Relative to the length of the other."""
    return ((one - other).norm() / other.norm()).item()


def test_rows_are_the_photos_and_their_mirror_images(cache, paths, encoder):
    assert len(cache) == 3
    for row, path in enumerate(paths):
        photo = Image.open(path).convert("RGB")
        there, mirrored = cache.map(row), cache.map(row, flip=True)
        assert there.shape == mirrored.shape == encoder.config.stem_shape
        assert there.dtype == torch.float32
        assert distance(there, forward(encoder, photo)) < 0.1  # bfloat16 through fifteen layers
        assert distance(mirrored, forward(encoder, ImageOps.mirror(photo))) < 0.1
        assert distance(mirrored, there) > 0.3
        assert distance(mirrored, there.flip(2)) > 0.1  # a mirrored map is not the mirrored photo's map


def test_batches_are_all_photos_in_order(cache):
    batches = list(cache.batches(2))
    assert [len(batch) for batch in batches] == [2, 1]
    assert torch.equal(torch.cat(batches), torch.stack([cache.map(row) for row in range(3)]))


def test_a_second_call_reads_the_file_and_computes_nothing_but_a_check(cache, paths, encoder, folder):
    (file,) = folder.glob("*.npy")
    written = file.stat().st_mtime_ns
    looked_at = []
    handle = encoder.stem.register_forward_hook(lambda module, inputs, output: looked_at.append(len(inputs[0])))
    again = stem_cache(paths, encoder, folder, via=224)
    handle.remove()
    assert looked_at == [2]  # the first photo and its mirror image
    assert file.stat().st_mtime_ns == written
    assert torch.equal(again.map(2, flip=True), cache.map(2, flip=True))


def test_other_photos_or_another_size_have_a_file_of_their_own(cache, paths, encoder, folder):
    fewer = stem_cache(paths[1:], encoder, folder, via=224)
    small = stem_cache(paths[1:], encoder, folder, via=64)
    assert len(list(folder.glob("*.npy"))) == 3
    assert distance(fewer.map(0), cache.map(1)) < 0.1
    assert distance(small.map(0), fewer.map(0)) > 0.1  # blurred on the way
    assert distance(small.map(0), forward(encoder, Image.open(paths[1]), via=64)) < 0.1


def test_a_cache_of_other_photos_or_weights_is_an_error(cache, paths, encoder, folder, tmp_path):
    torch.manual_seed(0)
    untrained = create_encoder("efficientnet_lite0", pretrained=False)
    with pytest.raises(InputError, match=r"does not hold the stem maps .*delete it"):
        stem_cache(paths, untrained, folder, via=224)
    for path, other in zip(paths, reversed(paths), strict=True):
        shutil.copy(other, tmp_path / path.name)
    with pytest.raises(InputError, match="does not hold the stem maps"):
        stem_cache([tmp_path / name for name in NAMES], encoder, folder, via=224)
    with pytest.raises(InputError, match="no photo"):
        stem_cache([], encoder, tmp_path)


def test_an_interrupted_computation_leaves_nothing_that_is_used(cache, paths, encoder, tmp_path):
    broken = tmp_path / "photos"
    broken.mkdir()
    for path in paths[:2]:
        shutil.copy(path, broken)
    (broken / NAMES[2]).write_bytes(b"")  # the computation stops here, after the file was begun
    copies, folder = [broken / name for name in NAMES], tmp_path / "cache"
    with pytest.raises(Exception, match="cannot identify image"):
        stem_cache(copies, encoder, folder, via=224)
    assert not list(folder.glob("*.npy"))
    assert list(folder.glob("*.part"))
    shutil.copy(paths[2], broken)
    whole = stem_cache(copies, encoder, folder, via=224)
    for row in range(3):
        assert distance(whole.map(row), cache.map(row)) < 0.01


def test_of_two_trainings_one_computes_and_the_other_waits(cache, paths, encoder, tmp_path):
    """Threads stand for processes: the lock is on the file."""
    begin, batches = threading.Barrier(2), []

    def open_cache() -> StemCache:
        begin.wait()
        return stem_cache(paths, encoder, tmp_path, via=224)

    handle = encoder.stem.register_forward_hook(lambda module, inputs, output: batches.append(len(inputs[0])))
    with ThreadPoolExecutor(2) as pool:
        found = [future.result() for future in [pool.submit(open_cache) for _ in range(2)]]
    handle.remove()
    assert sorted(batches) == [2, 2, 6]  # three photos and their mirror images once, and each one's check
    for other in found:
        assert distance(other.map(2), cache.map(2)) < 0.01
