"""Inputs that every machine has: photos that lie in pip packages, pictures and clips that are made here."""

import io
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

_FOLDERS = {"skimage": "data", "gradio": "media_assets/images"}
FPS = 25
OPENINGS = {  # how far the mouth of `talking_face` is open over the clip, 0..1, straight lines between
    "still": (0, 0),
    "one syllable": (0, 0, 0, 1, 0.9, 0, 0, 0),
    "two syllables": (0, 0, 0.6, 0.2, 1, 0, 0),
    "three syllables": (0, 0.5, 0.1, 0.8, 0.2, 0.4, 0),
    "chatter": (0, 0.8, 0.1, 1, 0.3, 0.7, 0, 0.4, 0.9, 0.2, 0.6, 0),
}
_SIDE, _MOUTH = 288, (143, 214, 30, 7)  # pixels: of the face's picture; x, y, half width and half height of the mouth


def photo(name: str) -> Path | Image.Image:
    """A photo as "skimage/astronaut.png" or "gradio/lion.jpg", or the made picture "gradient"."""
    if name == "gradient":
        return gradient()
    package, file = name.split("/")
    return Path(find_spec(package).origin).parent / _FOLDERS[package] / file


def gradient() -> Image.Image:
    """Nothing to see: red grows to the right, green downwards."""
    across, down = np.meshgrid(np.linspace(0, 255, 320), np.linspace(0, 255, 240))
    return Image.fromarray(np.stack([across, down, np.full_like(across, 128)], 2).astype(np.uint8))


def drawn_mouth(sentence: str, speaker: int) -> Any:
    """The clip in which a speaker of the animator says a sentence."""
    from demos.lipreading.animator import speak

    return speak(sentence, speaker, seed=1).video


@cache
def talking_face(openings: str, frames: int) -> bytes:
    """A clip of the astronaut's face whose chin moves, with dark between the lips; `openings`: one of OPENINGS.

    An MKV file without loss: what is decoded is what was drawn, whatever encoder there is.
    """
    picture = Image.open(photo("skimage/astronaut.png")).convert("RGB").crop((128, 0, 320, 192))
    face = np.asarray(picture.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))
    corners = np.array(OPENINGS[openings], float)
    opening = np.interp(np.linspace(0, len(corners) - 1, frames), np.arange(len(corners)), corners)
    return _lossless(np.stack([_opened(face, moment) for moment in opening]))


def _opened(face: np.ndarray, opening: float) -> np.ndarray:
    """The face with its mouth open, 0..1: below the lips' line all moves down, less towards the cheeks and the chin."""
    x, y, half, height = _MOUTH
    rows, columns = np.mgrid[: face.shape[0], : face.shape[1]]
    across = np.clip(1 - ((columns - x) / (1.6 * half)) ** 2, 0, 1)
    gap = np.rint(opening * 3 * height * across).astype(int)
    fade = np.clip(1 - (rows - y) / (8 * height), 0, 1)  # at the chin's edge nothing moves
    moved = np.where(rows > y, rows - np.rint(gap * fade).astype(int), rows)
    opened = face[np.maximum(moved, 0), columns].copy()
    opened[(rows > y) & (rows <= y + gap) & (np.abs(columns - x) < half)] = (45, 15, 20)
    return opened


def _lossless(frames: np.ndarray) -> bytes:
    """(T, H, W, 3) uint8 -> an MKV file."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=Fraction(FPS))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="bgr0")))
        container.mux(stream.encode())
    return file.getvalue()
