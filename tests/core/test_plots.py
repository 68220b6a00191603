"""Figures: the light falls where the weight is, the words stand where they belong, and all of it renders."""

import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from skimage import data

from core.plots import alignment_matrix, attention_overlay, attention_sheet, learning_curve


def rendered(figure: Figure) -> np.ndarray:
    """(H, W, 3) pixels of the figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))


def one_hot(row: int, column: int, grid: tuple[int, int] = (6, 8)) -> np.ndarray:
    weights = np.zeros(grid, np.float32)
    weights[row, column] = 0.3
    return weights


GREY_PHOTO = Image.new("RGB", (400, 300), (128, 128, 128))


@pytest.mark.parametrize("place", [(0, 0), (2, 6), (5, 7), (4, 0)])
@pytest.mark.parametrize("photo", [GREY_PHOTO, Image.new("RGB", (400, 300), "black")], ids=["grey", "black"])
def test_the_brightest_place_is_where_the_weight_is(photo, place):
    light = np.asarray(attention_overlay(photo, one_hot(*place)).convert("L"), dtype=float)
    cells = light.reshape(6, 50, 8, 50).mean((1, 3))
    assert np.unravel_index(cells.argmax(), cells.shape) == place
    assert cells.max() > 1.8 * np.median(cells)


def test_the_overlay_does_not_depend_on_the_scale_of_the_weights():
    weights = np.random.default_rng(0).random((6, 8))
    assert attention_overlay(GREY_PHOTO, weights) == attention_overlay(GREY_PHOTO, 1e-3 * weights)


def test_a_smaller_gamma_lifts_lesser_weights():
    weights = np.linspace(0.1, 1, 48).reshape(6, 8)
    mean = [np.asarray(attention_overlay(GREY_PHOTO, weights, gamma)).mean() for gamma in (0.5, 1.0, 2.0)]
    assert mean[0] > mean[1] > mean[2]


@pytest.mark.parametrize("weights", [np.zeros((6, 8)), np.full((6, 8), np.nan)], ids=["none", "not a number"])
def test_no_weight_anywhere_is_dark_everywhere(weights):
    assert np.asarray(attention_overlay(GREY_PHOTO, weights)).max() < 60


def test_the_overlay_is_at_most_640_pixels_and_keeps_the_aspect_ratio():
    assert attention_overlay(Image.new("RGB", (1024, 512)), one_hot(0, 0)).size == (640, 320)
    assert attention_overlay(Image.new("L", (100, 50)), one_hot(0, 0)).size == (100, 50)
    assert attention_overlay(Image.new("RGB", (1, 1024)), one_hot(0, 0)).size == (1, 640)


def test_the_overlay_takes_milliseconds():
    photo = Image.fromarray(data.astronaut()).resize((1024, 768))
    times = []
    for _ in range(10):
        start = time.thread_time()
        attention_overlay(photo, one_hot(2, 3))
        times.append(time.thread_time() - start)
    assert min(times) < 0.03


def test_nothing_that_is_given_is_changed():
    photo, weights = Image.fromarray(data.astronaut()), np.random.default_rng(0).random((2, 6, 8))
    pixels, before = photo.tobytes(), weights.copy()
    attention_overlay(photo, weights[0])
    attention_sheet(photo, ["a", "cat"], weights, [0.5, 0.7])
    alignment_matrix(weights[0], list("abcdefgh"), list("uvwxyz"))
    assert photo.size == (512, 512)
    assert photo.tobytes() == pixels
    assert np.array_equal(weights, before)


@pytest.mark.parametrize("number", [0, 1, 5, 23])
@pytest.mark.parametrize("size", [(400, 300), (1, 1024), (1024, 1)])
def test_the_sheet_has_the_photo_and_one_panel_per_word(number, size):
    words, weights = [f"word{n}" for n in range(number)], np.random.default_rng(0).random((number, 6, 8))
    shares = np.linspace(0, 1, number)
    figure = attention_sheet(Image.new("RGB", size, "red"), words, weights, shares)
    panels = [ax for ax in figure.axes if ax.get_images()]
    assert [ax.get_title() for ax in panels] == ["photo", *words]
    assert [ax.texts[0].get_text() for ax in panels[1:]] == [f"{share:.0%} photo" for share in shares]
    assert rendered(figure).std() > 0


def test_the_sheet_without_shares_shows_none():
    figure = attention_sheet(GREY_PHOTO, ["cat"], one_hot(0, 0)[None])
    assert not figure.axes[1].texts


def test_each_panel_of_the_sheet_is_lit_by_its_own_weights():
    figure = attention_sheet(GREY_PHOTO, ["left", "right"], np.stack([one_hot(3, 0), one_hot(3, 7)]))
    left, right = (np.asarray(ax.get_images()[0].get_array(), dtype=float).mean((0, 2)) for ax in figure.axes[1:3])
    assert left.argmax() < len(left) / 4
    assert right.argmax() > len(right) * 3 / 4


def test_words_that_look_like_formulas_are_drawn_as_they_are():
    figure = attention_sheet(GREY_PHOTO, [r"$\frac$", "a_b^"], np.ones((2, 6, 8)))
    assert rendered(figure).size
    assert rendered(alignment_matrix(np.eye(2), ["$5$", r"\x"], ["$^$", "%"])).size


def test_the_alignment_matrix_carries_the_weights_and_the_words():
    weights = np.random.default_rng(0).random((3, 4))
    figure = alignment_matrix(weights, ["die", "Katze", "sitzt", "."], ["the", "cat", "sits"])
    (ax,) = figure.axes
    assert np.allclose(ax.get_images()[0].get_array(), weights)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["die", "Katze", "sitzt", "."]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["the", "cat", "sits"]
    assert rendered(figure).std() > 0


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 30), (60, 60), (3, 12)])
def test_no_word_of_the_alignment_matrix_is_cut_off(rows, columns):
    long_word = "Donaudampfschifffahrtsgesellschaft"
    figure = alignment_matrix(np.zeros((rows, columns)), [long_word] * columns, [long_word] * rows)
    page = rendered(figure)
    for edge in (page[:, 0], page[:, -1], page[0], page[-1]):
        assert (edge == 255).all()
    assert max(figure.get_size_inches()) < 16


def log_records() -> list[dict]:
    losses = [{"step": step, "epoch": step / 100, "loss": 5 / step**0.2, "rate": 1e-3} for step in range(1, 300)]
    judged = [{"step": 100 * n, "dev": {"cider": cider, "bleu": cider / 2}} for n, cider in enumerate([0.2, 0.5, 0.4])]
    return [*losses, *judged]


def test_the_learning_curve_has_loss_left_and_metrics_right():
    figure = learning_curve(log_records())
    left, right = figure.axes
    assert left.lines[0].get_ydata() == pytest.approx([5 / step**0.2 for step in range(1, 300)])
    assert right.lines[0].get_ydata() == pytest.approx([0.2, 0.5, 0.4])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training loss", "dev cider", "dev bleu"]
    assert right.texts[0].get_text() == "0.5"  # the best CIDEr is marked
    assert rendered(figure).std() > 0


def test_the_smoothed_loss_follows_the_loss():
    raw, smooth = (line.get_ydata() for line in learning_curve(log_records()).axes[0].lines)
    assert len(smooth) == len(raw)
    assert smooth[10:-10] == pytest.approx(raw[10:-10], rel=0.02)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [{"step": 1, "loss": 3.0}],
        [{"step": 5, "dev": {"wer": 0.3}}],
        [{"step": 1, "loss": float("nan")}, {"step": 1, "dev": {"cider": float("nan")}}],
        [{"step": 1, "dev": {"cider": 0.1}}, {"step": 2, "dev": {}}, {"step": 3, "dev": {"bleu": None}}],
    ],
)
def test_a_learning_curve_never_stops_a_training(records):
    assert rendered(learning_curve(records)).size


def test_a_falling_metric_is_best_at_its_lowest():
    records = [{"step": n, "dev": {"loss": loss}} for n, loss in enumerate([3.0, 1.5, 2.0])]
    assert learning_curve(records).axes[1].texts[0].get_text() == "1.5"


def test_pyplot_and_gradio_stay_out():
    code = "import sys, core.plots; print([m for m in ('matplotlib.pyplot', 'gradio') if m in sys.modules])"
    root = Path(__file__).parents[2]
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=root).strip() == "[]"
