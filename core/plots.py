"""Figures for the tabs and for training, on matplotlib's object API: pyplot is not thread-safe and keeps every figure.

A figure that is no longer referenced is freed like any other object; nothing has to be closed.
"""

import math
from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageEnhance

BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#6b7280"
DEV_COLOURS = (ORANGE, "#059669", "#7c3aed", "#db2777", "#0891b2", "#a16207")
WEIGHTS = LinearSegmentedColormap.from_list("weights", ["#ffffff", "#bfdbfe", "#3b82f6", "#1e3a8a"])
OVERLAY_SIDE = 640  # pixels, the longer side of an overlay

# --- attention over a photo --------------------------------------------------------------------------------------


def attention_overlay(
    photo: Image.Image, weights: np.ndarray, gamma: float = 0.8, side: int = OVERLAY_SIDE
) -> Image.Image:
    """The photo lit where the network looked and dark elsewhere, as in Xu et al. 2015, "Show, Attend and Tell".

    weights: (h, w) attention over the grid of the photo, not negative; the largest is drawn at full light. `gamma`
    below 1 lifts the lesser weights. Returns an RGB image of at most `side` pixels a side.
    """
    photo = _at_most(photo, side)
    lit = Image.blend(ImageEnhance.Brightness(photo).enhance(1.15), Image.new("RGB", photo.size, "#ffb020"), 0.16)
    dark = ImageEnhance.Brightness(photo.convert("L").convert("RGB")).enhance(0.35)
    return Image.composite(lit, dark, _light(weights, gamma).resize(photo.size, Image.Resampling.BICUBIC))


def attention_sheet(
    photo: Image.Image, words: Sequence[str], weights: np.ndarray, shares: Sequence[float] | None = None
) -> Figure:
    """The photo and one small overlay per word, in reading order.

    weights: (T, h, w) attention for each of the T words. shares: (T,) how much of its attention each word gave to the
    photo rather than to the sentinel, in [0, 1]; written under the word.
    """
    photo = _at_most(photo, 320)
    panels = len(words) + 1
    columns = min(5, panels) if panels != 6 else 3
    rows = math.ceil(panels / columns)
    shape = min(max(photo.height / photo.width, 0.4), 1.8)
    figure = Figure(figsize=(2.2 * columns, rows * (2.2 * shape + 0.5)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    axes[0].imshow(photo)
    axes[0].set_title("photo", fontsize=11, color=GREY, style="italic")
    shares = [None] * len(words) if shares is None else shares
    for ax, word, grid, share in zip(axes[1:panels], words, weights, shares, strict=True):
        ax.imshow(attention_overlay(photo, grid))
        ax.set_title(word, fontsize=12, fontweight="bold", parse_math=False)
        if share is not None:
            ax.text(0.5, -0.03, f"{share:.0%} photo", transform=ax.transAxes, ha="center", va="top", fontsize=9,
                    color=GREY)  # fmt: skip
    return figure


def _at_most(photo: Image.Image, side: int) -> Image.Image:
    """An RGB copy of at most `side` pixels a side."""
    small = photo.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return small


def _light(weights: np.ndarray, gamma: float) -> Image.Image:
    """(h, w) weights -> grey image of the same size, white where the weight is largest."""
    weights = np.nan_to_num(np.asarray(weights, dtype=np.float32)).clip(0)
    light = (weights / (weights.max() or 1.0)) ** gamma
    return Image.fromarray(np.rint(255 * light).astype(np.uint8))


# --- attention over words ----------------------------------------------------------------------------------------


def alignment_matrix(weights: np.ndarray, source_words: Sequence[str], target_words: Sequence[str]) -> Figure:
    """Which source words each target word was made from (Bahdanau et al. 2015, figure 3).

    weights: (T_out, T_in), a row per target word. Long sentences get smaller cells, as long as words stay legible.
    """
    weights = np.asarray(weights, dtype=np.float32)
    rows, columns = weights.shape
    cell = min(0.42, max(0.17, 11 / max(columns, 1)), max(0.17, 9 / max(rows, 1)))  # inches
    letters = max(6.0, min(11.0, cell * 26))  # points
    slant, letter = math.radians(50), letters / 72 * 0.58  # inches a letter, about
    left = letter * max(map(len, target_words), default=0) + 0.2
    top = letter * max(map(len, source_words), default=0) * math.sin(slant) + 0.25
    ends = [(n + 0.5) * cell + letter * len(word) * math.cos(slant) for n, word in enumerate(source_words)]
    width, height = left + max([columns * cell, *ends]) + 0.15, top + rows * cell + 0.1
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((left / width, 0.1 / height, columns * cell / width, rows * cell / height))
    ax.imshow(weights, cmap=WEIGHTS, vmin=0, vmax=max(float(weights.max(initial=0)), 1e-9), interpolation="nearest")
    slanted = {"rotation": math.degrees(slant), "rotation_mode": "anchor", "ha": "left"}
    ax.set_xticks(range(columns), source_words, fontsize=letters, parse_math=False, **slanted)
    ax.set_yticks(range(rows), target_words, fontsize=letters, parse_math=False)
    ax.xaxis.tick_top()
    ax.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="#e5e7eb", linewidth=0.6)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    return figure


# --- numbers -----------------------------------------------------------------------------------------------------


def learning_curve(records: Sequence[dict]) -> Figure:
    """Training loss (left axis) and dev metrics (right axis) over the steps, from the records of a training log.

    records: {"step": 100, "loss": 3.1} and {"step": 100, "dev": {"cider": 0.52}}, with other keys ignored.
    The best value of the first metric is marked.
    """
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    left = figure.add_subplot()
    left.set_xlabel("step")
    left.set_ylabel("training loss", color=BLUE)
    left.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    left.grid(axis="y", color="#e5e7eb", linewidth=0.7)
    losses = [(r["step"], r["loss"]) for r in records if r.get("loss") is not None]
    if losses:
        _draw_loss(left, *np.array(losses, dtype=float).T)
    judged = [r for r in records if r.get("dev")]
    lines = _draw_metrics(left.twinx(), judged) if judged else []
    for ax in figure.axes:
        ax.spines["top"].set_visible(False)
        ax.tick_params(length=3, color="#9ca3af")
    if handles := [*left.get_legend_handles_labels()[0], *lines]:
        figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    return figure


def _draw_loss(ax: Axes, steps: np.ndarray, loss: np.ndarray) -> None:
    """The loss as logged, pale, and its running mean over about a fiftieth of the run."""
    ax.plot(steps, loss, color=BLUE, alpha=0.25, linewidth=0.8)
    window = max(1, len(loss) // 50)
    smooth = np.convolve(
        np.pad(loss, (window // 2, window - 1 - window // 2), "edge"), np.ones(window) / window, "valid"
    )
    ax.plot(steps, smooth, color=BLUE, linewidth=1.8, label="training loss")


def _draw_metrics(ax: Axes, judged: Sequence[dict]) -> list:
    ax.set_ylabel("dev")
    lines = []
    for name, colour in zip(judged[0]["dev"], cycle(DEV_COLOURS), strict=False):
        points = [(r["step"], r["dev"][name]) for r in judged if r["dev"].get(name) is not None]
        steps, values = np.array(points, dtype=float).reshape(-1, 2).T
        (line,) = ax.plot(steps, values, "o-", color=colour, markersize=3.5, linewidth=1.5, label=f"dev {name}")
        lines.append(line)
        if len(lines) == 1 and np.isfinite(values).any():
            best = int(np.nanargmin(values) if "loss" in name or "perplexity" in name else np.nanargmax(values))
            ax.plot(steps[best], values[best], "o", color=colour, markersize=9, fillstyle="none")
            ax.annotate(f"{values[best]:.3g}", (steps[best], values[best]), xytext=(0, 8), textcoords="offset points",
                        ha="center", fontsize=9, fontweight="bold", color=colour)  # fmt: skip
    if len(lines) == 1:
        ax.set_ylabel(lines[0].get_label(), color=lines[0].get_color())
    return lines
