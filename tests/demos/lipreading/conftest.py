"""Small lipreaders, clips and data sets for the tests."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from core.input.video import Video, save_video
from demos.lipreading.model import Lipreader, LipreaderConfig
from demos.lipreading.train import ANIMATED_NETWORK, GRID_NETWORK

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


def small_lipreader(readout: str = "ctc", **settings) -> Lipreader:
    """An untrained one for three words, always the same, in eval mode."""
    torch.manual_seed(1)
    config = LipreaderConfig(("", "a", "b", "c"), readout, **{"height": 12, "width": 20, **SMALL, **settings})
    return Lipreader(config).eval()


def moving_bar(direction: int, count: int = 10) -> np.ndarray:
    """(T, 12, 20): a bright bar that moves to one side; a single frame does not tell which."""
    frames = np.full((count, 12, 20), 60, np.uint8)
    for i in range(count):
        place = (i * 2 if direction > 0 else 18 - i * 2) % 20
        frames[i, :, place : place + 2] = 220
    return frames


def film(file: Path, *tones: float, pictures: np.ndarray | None = None) -> Path:
    """A film of one tone (Hz) after the other, half a second each, with pictures (T, H, W, 3) if there are any."""
    time = np.arange(22050 // 2) / 22050
    wave = np.concatenate([0.5 * np.sin(2 * np.pi * tone * time) for tone in tones]).astype(np.float32)
    with av.open(str(file), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=22050)
        if pictures is not None:
            video = container.add_stream("libx264", rate=25)
            video.height, video.width = pictures.shape[1:3]
            for picture in pictures:
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(video.encode())
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = 22050, Fraction(1, 22050)
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return file


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
    Lipreader(replace(GRID_NETWORK, **SMALL)).save_pretrained(folder / "grid")
    Lipreader(replace(ANIMATED_NETWORK, insertion_penalty=1.5, **SMALL)).save_pretrained(folder / "animated")
    return folder


@pytest.fixture(scope="session")
def miracl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the layout of MIRACL-VC1: three speakers, one clip of each of two words and a phrase."""
    folder = tmp_path_factory.mktemp("miracl_vc1")
    labels = {"words": ["Begin", "Stop"], "phrases": ["How are you"], "test_speakers": ["F03"], "dev_speakers": ["F02"]}
    (folder / "labels.json").write_text(json.dumps(labels))
    random = np.random.default_rng(1)
    for speaker in ("F01", "F02", "F03"):
        for place in ("words/01", "words/02", "phrases/01"):
            file = folder / speaker / place / "01.mp4"
            file.parent.mkdir(parents=True)
            save_video(file, random.integers(0, 255, (6, 40, 64, 3), dtype=np.uint8), 15)
    return folder


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the layout of GRID, with sound: two clips of a second to train on, one each for dev and test."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "s1").mkdir()
    (folder / "align" / "s1").mkdir(parents=True)
    for split, names in {"train": ["a", "b"], "dev": ["c"], "test": ["d"]}.items():
        (folder / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            film(folder / "s1" / f"{name}.mp4", 300, 800, pictures=person(25).frames)
            lines = ["0 4000 sil", "4000 12000 set", "12000 13000 sp", "13000 24000 red"]
            (folder / "align" / "s1" / f"{name}.align").write_text("\n".join(lines))
    return folder
