"""A drawn mouth that says what is typed: text -> phonemes -> visemes -> lip shapes over time -> pictures.

Neighbouring sounds share the lips: each viseme pulls towards its shape with a strength that fades to both sides, and
what is seen is the balance ("dominance functions", Cohen and Massaro 1993). So "two" is said with rounded lips from the
beginning, and closed lips close whatever comes next.

Speakers are drawn from a seed: colours, lips, teeth, tempo, carefulness, light and an unsteady camera.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from core.errors import InputError
from core.input.video import Video
from demos.lipreading.phonemes import GLIDES, VISEME_OF, VOWELS, Pronunciation, pronounce

FPS = 25.0
WIDTH, HEIGHT = 160, 96  # pixels of a picture
_FINER = 2  # drawn so many times larger, then shrunk: smooth edges
MOST_WORDS = 24

SHAPE = ("open", "width", "round", "teeth", "tongue", "tuck")  # all 0..1 but the width, which is 1 at rest
_SHAPES = {
    #                        open  width round teeth tongue tuck
    "rest": (0.02, 1.00, 0.0, 0.0, 0.0, 0.0),
    "closed lips": (0.00, 0.98, 0.1, 0.0, 0.0, 0.0),
    "lip on teeth": (0.14, 1.00, 0.0, 0.7, 0.0, 1.0),
    "tongue between teeth": (0.26, 1.02, 0.0, 0.5, 1.0, 0.0),
    "tongue up": (0.22, 1.04, 0.0, 0.7, 0.5, 0.0),
    "back of the tongue": (0.32, 1.00, 0.1, 0.3, 0.1, 0.0),
    "pushed forward": (0.26, 0.78, 0.7, 1.0, 0.0, 0.0),
    "teeth together": (0.16, 1.10, 0.0, 1.0, 0.0, 0.0),
    "tongue seen": (0.34, 1.02, 0.0, 0.4, 0.8, 0.0),
    "r": (0.26, 0.84, 0.5, 0.3, 0.2, 0.0),
    "w": (0.12, 0.62, 1.0, 0.0, 0.0, 0.0),
    "wide open": (1.00, 1.00, 0.0, 0.3, 0.2, 0.0),
    "half open": (0.62, 1.10, 0.0, 0.5, 0.2, 0.0),
    "spread": (0.32, 1.24, 0.0, 0.7, 0.1, 0.0),
    "rounded": (0.62, 0.74, 0.9, 0.0, 0.1, 0.0),
    "small and round": (0.26, 0.60, 1.0, 0.0, 0.0, 0.0),
}
# How strongly a viseme insists on its shape: lips that must touch do touch, the back of the tongue does not care.
_STRENGTH = {"closed lips": 4.0, "lip on teeth": 3.0, "w": 2.5, "pushed forward": 2.0, "tongue between teeth": 1.8,
             "rest": 0.8, "back of the tongue": 0.35, "tongue up": 0.7, "teeth together": 1.2}  # fmt: skip


@dataclass(frozen=True)
class DrawnSpeaker:
    """How one drawn speaker looks and talks."""

    skin: tuple[int, int, int]
    lips: tuple[int, int, int]
    size: float  # half the width of the mouth at rest, in pixels
    upper: float  # thickness of the lips, in pixels
    lower: float
    bow: float  # depth of the cupid's bow
    teeth: float  # height
    jaw: float  # how far the mouth opens
    tempo: float  # 1: usual
    care: float  # how much of each shape is reached
    lean: float  # one corner moves more
    light: tuple[float, float]  # brightness of the left and the right edge
    beard: float  # darkness around the mouth
    shake: float  # of the camera, in pixels
    noise: float


def draw_speaker(seed: int) -> DrawnSpeaker:
    """A speaker from a seed; the same seed gives the same one."""
    r = np.random.default_rng([7, seed])
    tone = r.uniform(0.25, 1.0)
    skin = tuple(int(v * tone + w * (1 - tone)) for v, w in zip((238, 196, 172), (84, 54, 40), strict=True))
    redness = r.uniform(0.25, 0.8)
    lips = tuple(int(s * (1 - redness) + c * redness) for s, c in zip(skin, (168, 62, 72), strict=True))
    return DrawnSpeaker(
        skin=skin, lips=lips, size=r.uniform(30, 40), upper=r.uniform(5.5, 9), lower=r.uniform(7.5, 12),
        bow=r.uniform(0.5, 3), teeth=r.uniform(6, 10), jaw=r.uniform(24, 36), tempo=r.uniform(0.85, 1.2),
        care=r.uniform(0.8, 1.1), lean=r.uniform(-0.12, 0.12), light=tuple(r.uniform(0.75, 1.15, 2)),
        beard=max(0.0, r.uniform(-0.5, 0.4)), shake=r.uniform(0, 1.2), noise=r.uniform(1, 6),
    )  # fmt: skip


@dataclass(frozen=True)
class DrawnClip:
    """A sentence as a drawn clip."""

    video: Video
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]  # first frame and the one after the last of each word
    visemes: tuple[tuple[str, int, int], ...]  # name, first frame, the one after the last
    guessed: tuple[str, ...] = ()  # words whose sounds were guessed from their spelling


def speak(text: str, speaker: DrawnSpeaker | int = 1, seed: int = 1) -> DrawnClip:
    """Say an English sentence. `seed` varies timing, camera and noise, as no two takes are the same.

    Raises InputError for a text without words or with more than MOST_WORDS.
    """
    words = pronounce(text)
    if len(words) > MOST_WORDS:
        raise InputError(f"The sentence has {len(words)} words, more than the {MOST_WORDS} that work: shorten it.")
    person = draw_speaker(speaker) if isinstance(speaker, int) else speaker
    random = np.random.default_rng([11, seed])
    segments, spans, end = _timing(words, person, random)
    frames = max(2, math.ceil(end * FPS))
    shapes = _shapes_over_time(segments, frames)
    pictures = _film(shapes, person, random)
    visemes = tuple((name, round(a * FPS), max(round(a * FPS) + 1, round(b * FPS))) for name, a, b in segments)
    in_frames = tuple((round(a * FPS), max(round(a * FPS) + 1, round(b * FPS))) for a, b in spans)
    return DrawnClip(
        Video(pictures, tuple(i / FPS for i in range(frames))),
        tuple(word.word for word in words),
        in_frames,
        visemes,
        tuple(word.word for word in words if word.guessed),
    )


# --- when each shape is due --------------------------------------------------------------------------------------

Segment = tuple[str, float, float]  # viseme, from, to (seconds)


def _timing(
    words: list[Pronunciation], person: DrawnSpeaker, random: np.random.Generator
) -> tuple[list[Segment], list[tuple[float, float]], float]:
    """Vowels are longer than consonants, letters are spelled out, the last word is slower, no two takes are alike."""
    now = random.uniform(0.2, 0.5)
    segments: list[Segment] = [("rest", 0.0, now)]
    spans = []
    for number, word in enumerate(words):
        start = now
        slow = 1.6 if len(word.word) == 1 else 1.15 if number == len(words) - 1 else 1.0
        for phoneme in word.phonemes:
            for part in GLIDES.get(phoneme, (phoneme,)):
                base = 0.085 if phoneme not in VOWELS else 0.085 if phoneme in GLIDES else 0.13
                length = base * slow * random.uniform(0.8, 1.25) / person.tempo
                segments.append((VISEME_OF[part], now, now + length))
                now += length
        spans.append((start, now))
        if number < len(words) - 1 and random.random() < 0.15:  # now and then a short pause
            pause = random.uniform(0.04, 0.12)
            segments.append(("rest", now, now + pause))
            now += pause
    end = now + random.uniform(0.25, 0.5)
    segments.append(("rest", now, end))
    return segments, spans, end


def _shapes_over_time(segments: list[Segment], frames: int) -> np.ndarray:
    """(frames, 6) values of SHAPE: the mean of all shapes, weighted by their dominance at that moment."""
    moments = (np.arange(frames) + 0.5) / FPS
    start = np.array([a for _, a, _ in segments])
    end = np.array([b for _, _, b in segments])
    targets = np.array([_SHAPES[name] for name, _, _ in segments])
    strength = np.array([_STRENGTH.get(name, 1.0) for name, _, _ in segments])
    middle, half = (start + end) / 2, (end - start) / 2
    beyond = np.maximum(0.0, np.abs(moments[:, None] - middle) - 0.6 * half)
    dominance = strength * np.exp(-beyond / 0.035)
    return (dominance @ targets) / dominance.sum(1, keepdims=True)


# --- pictures ----------------------------------------------------------------------------------------------------


def _film(shapes: np.ndarray, person: DrawnSpeaker, random: np.random.Generator) -> np.ndarray:
    """(frames, HEIGHT, WIDTH, 3) uint8"""
    count = len(shapes)
    sway = np.cumsum(random.normal(0, person.shake * 0.35, (count, 2)), 0)
    sway -= np.linspace(0, 1, count)[:, None] * sway[-1]  # comes back to where it began
    place = random.uniform(-4, 4, 2)
    background = _background(person, random)
    light = np.linspace(*person.light, WIDTH)[None, :, None] * random.uniform(0.92, 1.08)
    pictures = []
    for shape, offset in zip(shapes, sway, strict=True):
        picture = np.asarray(_picture(shape, person, place + offset, background), np.float32) * light
        picture += random.normal(0, person.noise, (HEIGHT, WIDTH, 1)).astype(np.float32)
        pictures.append(picture.clip(0, 255).astype(np.uint8))
    return np.stack(pictures)


def _background(person: DrawnSpeaker, random: np.random.Generator) -> Image.Image:
    """Skin with a beard's shadow, the folds beside the mouth and the nose above it."""
    size = (WIDTH * _FINER, HEIGHT * _FINER)
    image = Image.new("RGB", size, person.skin)
    draw = ImageDraw.Draw(image)
    shade = tuple(int(v * (1 - 0.5 * person.beard)) for v in person.skin)
    draw.ellipse(_scaled(18, 20, 142, 130), fill=shade)
    dark = tuple(int(v * 0.55) for v in person.skin)
    for nostril in (70, 90):
        draw.ellipse(_scaled(nostril - 6, -4, nostril + 6, 6), fill=dark)
    for side in (-1, 1):
        fold = [(80 + side * 34, 4), (80 + side * 52, 34)]
        draw.line([(x * _FINER, y * _FINER) for x, y in fold], fill=dark, width=10)
    return image.filter(ImageFilter.GaussianBlur(14))


def _scaled(*values: float) -> list[float]:
    return [v * _FINER for v in values]


def _picture(shape: np.ndarray, person: DrawnSpeaker, offset: np.ndarray, background: Image.Image) -> Image.Image:
    opening, width, rounding, teeth, tongue, tuck = shape
    image = background.copy()
    draw = ImageDraw.Draw(image)
    half = person.size * (1 + (width - 1) * person.care)
    gap = person.jaw * max(0.0, opening) * person.care
    thick = 1 + 0.35 * rounding
    upper, lower = person.upper * thick, person.lower * thick * (1 - 0.6 * tuck)
    centre = np.array([WIDTH / 2, 44.0]) + offset
    t = np.linspace(-1, 1, 33)
    roundness = 1 - np.abs(t) ** (2.0 + 1.5 * rounding)  # how the gap falls off towards the corners
    x = centre[0] + t * half
    lean = person.lean * t * 4 * opening
    top = centre[1] - gap * 0.3 * roundness + lean
    bottom = centre[1] + gap * 0.7 * roundness + lean
    bow = person.bow * np.exp(-((t / 0.18) ** 2)) * (1 - rounding)
    outer_top = top - upper * np.sqrt(roundness.clip(0)) + bow
    outer_bottom = bottom + lower * np.sqrt(roundness.clip(0))
    shadow = tuple(int(v * 0.86) for v in person.skin)
    draw.ellipse(_scaled(centre[0] - half * 0.6, outer_bottom.max() + 2, centre[0] + half * 0.6,
                         outer_bottom.max() + 9), fill=shadow)  # fmt: skip
    _polygon(draw, x, outer_top, outer_bottom, person.lips)
    if gap > 0.8:
        _polygon(draw, x, top, bottom, (40, 14, 18))
        _inside(draw, x, top, bottom, person, teeth, tongue)
    dark_lips = tuple(int(v * 0.62) for v in person.lips)
    draw.line([(a * _FINER, b * _FINER) for a, b in zip(x, top, strict=True)], fill=dark_lips, width=2)
    if tuck > 0.3:  # the lower lip under the upper teeth
        edge = np.minimum(top + person.teeth * 0.7 * tuck * roundness, bottom)
        _polygon(draw, x[8:-8], top[8:-8], edge[8:-8], (226, 222, 212))
    return image.resize((WIDTH, HEIGHT), Image.Resampling.BOX)


def _inside(
    draw: ImageDraw.ImageDraw, x: np.ndarray, top: np.ndarray, bottom: np.ndarray, person: DrawnSpeaker, teeth: float,
    tongue: float,
) -> None:  # fmt: skip
    """The tongue lies low, the teeth hang from the upper lip; both end where the lips do."""
    inner = slice(4, -4)
    if tongue > 0.05:
        height = (bottom - top) * (0.25 + 0.55 * tongue)
        _polygon(draw, x[inner], (bottom - height)[inner], bottom[inner], (186, 92, 96))
    if teeth > 0.05:
        edge = np.minimum(top + person.teeth * teeth, bottom)
        _polygon(draw, x[inner], top[inner], edge[inner], (226, 222, 212))


def _polygon(
    draw: ImageDraw.ImageDraw, x: np.ndarray, top: np.ndarray, bottom: np.ndarray, fill: tuple[int, int, int]
) -> None:
    edge = [*zip(x, top, strict=True), *zip(x[::-1], bottom[::-1], strict=True)]
    draw.polygon([(a * _FINER, b * _FINER) for a, b in edge], fill=fill)
