"""What a lipreader saw and what it made of it, as one figure over time. No gradio in here."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from core.plots import BLUE, GREY, ORANGE, WEIGHTS

if TYPE_CHECKING:
    from demos.lipreading.predict import LipreadingResult

PICTURES = 8  # frames shown whole
MOUTHS = 16  # crops in a strip
ROWS = 10  # words of the heat map


def time_line(result: "LipreadingResult", saliency: np.ndarray | None = None) -> Figure:
    """Frames with the box, crops, where in them it looked, and the probability of each word at each moment.

    saliency: (T, H, W) 0..1, as LipreadingPredictor.saliency gives it.
    """
    rows = 3 if saliency is None else 4
    words = shown_words(result)
    heights = [*[1.25, 0.75, 0.75][: rows - 1], 0.32 * max(3, len(words)) + 0.5]
    figure = Figure(figsize=(11, sum(heights) + 0.9), layout="constrained")
    axes = figure.subplots(rows, 1, gridspec_kw={"height_ratios": heights})
    crops = result.crops
    _strip(axes[0], [_with_box(result, i) for i in _spread(len(crops.video.frames), PICTURES)], "frames and mouth")
    chosen = _spread(len(crops.mouths), MOUTHS)
    _strip(axes[1], [np.repeat(crops.mouths[i][..., None], 3, 2) for i in chosen], "what the network sees")
    if saliency is not None:
        _strip(axes[2], [_lit(crops.mouths[i], saliency[i]) for i in chosen], "where it mattered")
    _heat_map(axes[-1], result, words)
    return figure


def shown_words(result: "LipreadingResult") -> list[int]:
    """The words read, in their order, then those that came nearest at some moment; numbers of the vocabulary."""
    vocabulary = result.vocabulary
    own = list(dict.fromkeys(vocabulary.index(word.text) for word in result.words if word.text))
    peaks = result.posteriors.max(0)
    others = [int(i) for i in np.argsort(-peaks) if int(i) not in own and vocabulary[int(i)]]
    return own + others[: max(3, ROWS - len(own))]


def _spread(count: int, most: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, count - 1, min(most, count))})


def _strip(ax: Axes, pictures: list[np.ndarray], title: str) -> None:
    gap = np.full((pictures[0].shape[0], max(1, pictures[0].shape[1] // 40), 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)][:-1]
    ax.imshow(np.concatenate(parts, 1), aspect="equal", interpolation="bilinear")
    ax.set_title(title, fontsize=9, color=GREY, loc="left")
    ax.set_axis_off()


def _with_box(result: "LipreadingResult", index: int) -> np.ndarray:
    """(H, W, 3): a frame with a frame around what was cut out."""
    picture = result.crops.video.frames[index].copy()
    if result.crops.face is None:
        return picture
    height, width = picture.shape[:2]
    left, top, right, bottom = (int(v) for v in result.crops.boxes[index])
    left, right = np.clip((left, right), 0, width - 1)
    top, bottom = np.clip((top, bottom), 0, height - 1)
    thick = max(1, width // 160)
    colour = (234, 88, 12)
    picture[top : top + thick, left:right] = colour
    picture[max(0, bottom - thick) : bottom, left:right] = colour
    picture[top:bottom, left : left + thick] = colour
    picture[top:bottom, max(0, right - thick) : right] = colour
    return picture


def _lit(mouth: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """(H, W, 3): the crop, dark, and orange where it mattered."""
    grey = mouth[..., None].astype(np.float32) * 0.55
    glow = np.sqrt(heat)[..., None] * np.array([255.0, 150.0, 20.0])
    return np.clip(grey + 0.8 * glow, 0, 255).astype(np.uint8)


def _heat_map(ax: Axes, result: "LipreadingResult", words: list[int]) -> None:
    times = result.crops.video.times
    fps = 1 / (times[1] - times[0])
    first = result.crops.first / fps
    end = first + len(result.posteriors) / fps
    ax.imshow(
        result.posteriors[:, words].T, aspect="auto", cmap=WEIGHTS, vmin=0, vmax=1, interpolation="nearest",
        extent=(first, end, len(words) - 0.5, -0.5),
    )  # fmt: skip
    ax.set_yticks(range(len(words)), [result.vocabulary[i] for i in words], fontsize=9, parse_math=False)
    for number, label in enumerate(ax.get_yticklabels()):
        read = any(result.vocabulary[words[number]] == word.text for word in result.words)
        label.set_color(BLUE if read else GREY)
        label.set_fontweight("bold" if read else "normal")
    for word in result.words:
        if word.text:
            row = words.index(result.vocabulary.index(word.text))
            box = Rectangle(
                (word.start, row - 0.5), word.end - word.start, 1, fill=False, edgecolor=ORANGE, linewidth=1.6
            )
            ax.add_patch(box)
    ax.set_xlabel("seconds", fontsize=9, color=GREY)
    ax.set_title("probability of each word at each moment; framed: the reading", fontsize=9, color=GREY, loc="left")
