"""Data sets of talking mouths in their official layouts, as crops ready for the networks.

    GRID (Cooke et al. 2006)        s1/*.mp4, align/s1/*.align, train.txt, dev.txt, test.txt
    MIRACL-VC1 (Rekik et al. 2014)  SPEAKER/{words,phrases}/NN/MM.mp4, labels.json
    animated                        drawn by demos.lipreading.animator, from a seed

Crops can be kept in a `cache`, a file for each data set; finding the mouths in GRID takes about 6 minutes.
"""

import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.input.video import VideoLimits, load_video
from demos.lipreading.animator import speak
from demos.lipreading.mouth import crop_boxes, crop_mouth, find_face, shrink

GRID_TICKS = 25_000  # of the alignments, a second
WORD_CROP = (40, 64)  # pixels (height, width) of a MIRACL crop: half of the file's, which is blurred anyway
SENTENCE_CROP = (48, 80)  # of GRID and of the drawn mouths


@dataclass(frozen=True)
class Clip:
    """A mouth that says something."""

    name: str
    frames: np.ndarray  # (T, H, W) uint8, grey
    words: tuple[str, ...]  # what is said; of MIRACL one entry, the word or phrase
    spans: tuple[tuple[int, int], ...] = ()  # first frame and the one after the last of each word, where known
    speaker: str = ""
    sound: np.ndarray | None = None  # (T, S) what is heard at each frame, see demos.lipreading.sound


def _cached(file: Path | None, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `make` gives; where a file is named, it is made once and read from there later."""
    if file and file.exists():
        with np.load(file) as arrays:
            return dict(arrays)
    arrays = make()
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **arrays)
    return arrays


# --- GRID --------------------------------------------------------------------------------------------------------


def read_grid(root: Path, split: str, cache: Path | None = None, speaker: str = "s1") -> list[Clip]:
    """The clips of "train", "dev" or "test", cut as the app cuts them."""
    names = clip_names(root, split)
    file = cache / f"grid-{speaker}-{split}.npz" if cache else None
    crops = _cached(file, lambda: {name: _crop_face(root / speaker / f"{name}.mp4") for name in names})
    clips = []
    for name in names:
        words, spans = read_alignment(root / "align" / speaker / f"{name}.align", len(crops[name]))
        clips.append(Clip(name, crops[name], words, spans, speaker))
    return clips


def _crop_face(file: Path) -> np.ndarray:
    video = load_video(file)
    return crop_mouth(video, crop_boxes(find_face(video), "wide", *SENTENCE_CROP), *SENTENCE_CROP)


def clip_names(root: Path, split: str) -> list[str]:
    """Names of the clips of "train", "dev" or "test"."""
    return _lines(root / f"{split}.txt")


def read_alignment(file: Path, frames: int, fps: float = 25.0) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Words and their spans in frames; silence ("sil") and short pauses ("sp") are no words."""
    words, spans = [], []
    for line in _lines(file):
        try:
            start, end, word = line.split()
            first, last = (round(int(ticks) / GRID_TICKS * fps) for ticks in (start, end))
        except ValueError as error:
            raise InputError(f"{file}: the line {line!r} is not `start end word`.") from error
        if word not in ("sil", "sp"):
            words.append(word)
            spans.append((min(first, frames - 1), max(min(last, frames), min(first, frames - 1) + 1)))
    return tuple(words), tuple(spans)


def grid_slots() -> tuple[tuple[str, ...], ...]:
    """The six places of a GRID command and the words that each allows (letters leave out w)."""
    return (
        ("bin", "lay", "place", "set"),
        ("blue", "green", "red", "white"),
        ("at", "by", "in", "with"),
        tuple("abcdefghijklmnopqrstuvxyz"),
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        ("again", "now", "please", "soon"),
    )


# --- drawn mouths ------------------------------------------------------------------------------------------------

LESSON_WORDS = ("pat", "bat", "mat", "fan", "van", "time", "dime", "pie", "buy", "my")
DRAWN_SPEAKERS = {"train": range(1000, 1240), "dev": range(2000, 2020), "test": range(3000, 3040)}


def draw_clips(split: str, count: int, seed: int = 1, cache: Path | None = None) -> list[Clip]:
    """Commands of the grammar of GRID, said by drawn speakers; no sentence and no speaker is in two splits.

    Every eighth clip of "train" says one to three LESSON_WORDS instead.
    """
    texts = _drawn_texts(split, count, seed)
    speakers = [DRAWN_SPEAKERS[split][i % len(DRAWN_SPEAKERS[split])] for i in range(count)]

    def draw() -> dict[str, np.ndarray]:
        arrays = {}
        for i, (text, speaker) in enumerate(zip(texts, speakers, strict=True)):
            drawn = speak(text, speaker, seed=1000 * seed + i)
            arrays[f"{i}"], arrays[f"{i}-spans"] = shrink(drawn.video.frames, *SENTENCE_CROP), np.array(drawn.spans)
        return arrays

    arrays = _cached(cache / f"drawn-{split}-{count}-{seed}.npz" if cache else None, draw)
    clips = []
    for i, (text, speaker) in enumerate(zip(texts, speakers, strict=True)):
        spans = tuple((first, end) for first, end in arrays[f"{i}-spans"].tolist())
        clips.append(Clip(f"{split}-{i}", arrays[f"{i}"], tuple(text.split()), spans, str(speaker)))
    return clips


def _drawn_texts(split: str, count: int, seed: int) -> list[str]:
    """The hash of a sentence decides which split it belongs to."""
    shares = {"train": range(80), "dev": range(80, 90), "test": range(90, 100)}
    random = np.random.default_rng([seed, len(split)])
    texts: list[str] = []
    while len(texts) < count:
        if split == "train" and len(texts) % 8 == 7:
            texts.append(" ".join(random.choice(LESSON_WORDS, random.integers(1, 4))))
            continue
        text = " ".join(str(random.choice(slot)) for slot in grid_slots())
        if zlib.crc32(text.encode()) % 100 in shares[split]:
            texts.append(text)
    return texts


# --- MIRACL-VC1 --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Miracl:
    """MIRACL-VC1: 15 speakers say 10 words and 10 phrases, ten times each."""

    words: tuple[str, ...]
    phrases: tuple[str, ...]
    clips: tuple[Clip, ...]
    test_speakers: tuple[str, ...]
    dev_speakers: tuple[str, ...]

    def of(self, speakers: Iterable[str]) -> list[Clip]:
        """The clips of these speakers."""
        wanted = set(speakers)
        return [clip for clip in self.clips if clip.speaker in wanted]

    @property
    def speakers(self) -> list[str]:
        """All of them, sorted."""
        return sorted({clip.speaker for clip in self.clips})


def read_miracl(root: Path, cache: Path | None = None) -> Miracl:
    """The whole set; crops shrunk to WORD_CROP."""
    labels = json.loads(_read(root / "labels.json"))
    files = sorted(root.glob("*/*/*/*.mp4"))
    if not files:
        raise InputError(f"{root} holds no SPEAKER/words/NN/MM.mp4: name the folder of MIRACL-VC1.")

    def cut() -> dict[str, np.ndarray]:
        videos = (load_video(file, VideoLimits(min_frames=1)) for file in files)
        names = (str(file.relative_to(root).with_suffix("")) for file in files)
        return {name: shrink(video.frames, *WORD_CROP) for name, video in zip(names, videos, strict=True)}

    crops = _cached(cache / "miracl.npz" if cache else None, cut)
    clips = []
    for name, frames in crops.items():
        speaker, kind, number, _ = name.split("/")
        clips.append(Clip(name, frames, (labels[kind][int(number) - 1].lower(),), speaker=speaker))
    return Miracl(
        words=tuple(text.lower() for text in labels["words"]),
        phrases=tuple(text.lower() for text in labels["phrases"]),
        clips=tuple(clips),
        test_speakers=tuple(labels["test_speakers"]),
        dev_speakers=tuple(labels["dev_speakers"]),
    )


def _lines(file: Path) -> list[str]:
    return [line for line in _read(file).splitlines() if line.strip()]


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}): name the folder of the data set.") from error
