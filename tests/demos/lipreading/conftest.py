"""Small lipreaders and clips for the tests."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from core.input.video import Video, save_video
from demos.lipreading.model import Lipreader, LipreaderConfig
from demos.lipreading.train import new_sentence_reader

SMALL = {"channels": (4, 8), "frame_features": 16, "hidden_size": 12, "num_layers": 1}


def astronaut() -> np.ndarray:
    """(384, 384, 3): a person who smiles, from scikit-image; head and shoulders."""
    return np.ascontiguousarray(data.astronaut()[:384, 32:416])


def person(frames: int = 12, width: int = 360, height: int = 288, sway: int = 8) -> Video:
    """A clip of that person, who moves to the right by `sway` pixels in all."""
    photo = Image.fromarray(astronaut()).resize((height, height))
    pictures = []
    for i in range(frames):
        picture = Image.new("RGB", (width, height), (90, 120, 150))
        picture.paste(photo, ((width - height) // 2 + round(sway * i / max(1, frames - 1)), 0))
        pictures.append(np.asarray(picture))
    return Video(np.stack(pictures), tuple(i / 25 for i in range(frames)))


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of that person as an MP4 file."""
    file = tmp_path_factory.mktemp("clips") / "person.mp4"
    save_video(file, person(25).frames, 25)
    return file


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three small untrained lipreaders."""
    folder = tmp_path_factory.mktemp("lipreading")
    torch.manual_seed(1)
    words = LipreaderConfig(("yes", "no", "well done"), "clip", "tight", 40, 64, fps=15.0, **SMALL)
    Lipreader(words).save_pretrained(folder / "words")
    new_sentence_reader(**SMALL).save_pretrained(folder / "grid")
    new_sentence_reader(("pat", "bat"), crop="whole", **SMALL).save_pretrained(folder / "animated")
    return folder
