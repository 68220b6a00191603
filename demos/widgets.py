"""Pieces of the page that the tabs share: a photo from the visitor, words as buttons, errors as sentences."""

import importlib
import itertools
import json
import math
import threading
from collections.abc import Callable, Sequence
from functools import wraps
from html import escape
from types import ModuleType
from typing import Any

import gradio as gr

from core.errors import UnrolledError
from demos.gradio_hooks import uploaded_path
from demos.i18n import both

# All networks use every core, so one request at a time is quickest for everybody. (The longer ones wait elsewhere.)
NETWORK = {"concurrency_id": "network", "concurrency_limit": 1}
# Events of the page itself: no part of the API.
INTERNAL = {"api_visibility": "private"}

_IMPORTING = threading.Lock()
_TABLES = itertools.count()  # each needs a name that no other on the page has


def predict_module(task: str) -> ModuleType:
    """demos.<task>.predict, imported when first needed: it brings PyTorch with it, which takes seconds.

    Threads take turns: Transformers, which loads its parts lazily, fails when two import it at the same moment.
    """
    with _IMPORTING:
        return importlib.import_module(f"demos.{task}.predict")


def served(function: Callable) -> Callable:
    """A handler whose errors for people (InputError, ModelError) reach the visitor or script as their sentence."""

    @wraps(function)
    def handler(*arguments: Any, **keywords: Any) -> Any:
        try:
            return function(*arguments, **keywords)
        except UnrolledError as error:
            # The page shows the sentence as HTML, and it may quote what somebody typed.
            raise gr.Error(escape(str(error), quote=False), print_exception=False) from error

    return handler


def explained(function: Callable[..., str]) -> Callable[..., str]:
    """A handler that makes HTML, and whose errors for people stand in its place: they stay there to be read."""

    @wraps(function)
    def handler(*arguments: Any, **keywords: Any) -> str:
        try:
            return function(*arguments, **keywords)
        except UnrolledError as error:
            return problem(error)

    return handler


def problem(error: UnrolledError) -> str:
    """The sentence of an error as HTML."""
    return f'<p class="problem" role="alert">{escape(str(error))}</p>'


def photo_input(**options: Any) -> gr.Image:
    """A photo by upload, webcam or clipboard; handlers get the path of the file as it was uploaded.

    gr.Image itself would open it with any of Pillow's decoders first, and answer what it cannot open with an error of
    its own. Here nothing is decoded before core.input.image has looked at it.
    """
    photo = gr.Image(type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"], **options)
    photo.preprocess = uploaded_path
    return photo


def video_input(**options: Any) -> gr.Video:
    """A clip by upload or webcam, without its sound; handlers get the path of the file as it was uploaded."""
    video = gr.Video(sources=["upload", "webcam"], include_audio=False, **options)
    video.preprocess = uploaded_path
    return video


def file_input(**options: Any) -> gr.File:
    """A file by upload; handlers get its path. Only an uploaded file can be named, as with `photo_input`."""
    file = gr.File(type="filepath", file_count="single", **options)
    file.preprocess = uploaded_path
    return file


# --- words ---------------------------------------------------------------------------------------------------------

# A click on a word tells the handler `sequence` and `word` (gr.EventData); "all" stands for all words of a sequence.
WORD_CLICKS = """
element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-word]');
    if (!button) return;
    for (const other of element.querySelectorAll('[aria-pressed=true]')) other.setAttribute('aria-pressed', 'false');
    button.setAttribute('aria-pressed', 'true');
    trigger('click', {sequence: Number(button.dataset.sequence), word: button.dataset.word});
});
"""
_TINTED = both(
    'Each word is tinted by its probability: <span class="scale" aria-hidden="true"></span> from a guess to certain.'
)
LEGEND = f'<p class="legend">{_TINTED}</p>'


def word_spans(words: Sequence[str], logprobs: Sequence[float]) -> str:
    """Words as HTML, each tinted by its probability."""
    return " ".join(
        f'<span class="word" {_probability(logprob)}>{escape(word)}</span>'
        for word, logprob in zip(words, logprobs, strict=True)
    )


def word_buttons(words: Sequence[str], logprobs: Sequence[float], sequence: int, pressed: int | None = None) -> str:
    """Words as HTML buttons, each tinted by its probability; for a gr.HTML with `js_on_load=WORD_CLICKS`."""
    return " ".join(
        f'<button type="button" class="word" {_probability(logprob)} data-sequence="{sequence}" data-word="{number}" '
        f'aria-pressed="{str(number == pressed).lower()}">{escape(word)}</button>'
        for number, (word, logprob) in enumerate(zip(words, logprobs, strict=True))
    )


def _probability(logprob: float) -> str:
    p = min(1.0, math.exp(logprob))
    return f'style="--p: {p:.3f}" title="probability {p:.2g}, log-probability {logprob:.2f}"'


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """An HTML table. Header, caption and cells are HTML already, so escape what somebody typed."""
    name = f"table-{next(_TABLES)}"
    head = "".join(f'<th scope="col">{title}</th>' for title in header)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="table" tabindex="0" role="region" aria-labelledby="{name}"><table><caption id="{name}">{caption}'
        "</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(content: str) -> str:
    number = content.lstrip("-").replace(".", "", 1).isdigit()
    return f'<td class="number">{content}</td>' if number else f"<td>{content}</td>"


def example_list(*arguments: Any, **keywords: Any) -> gr.Examples:
    """gr.Examples whose choice sets values alone: gradio's own would put back label and placeholder, untranslated."""
    examples = gr.Examples(*arguments, **keywords, api_visibility="private")
    examples.input_component_props = [{} for _ in examples.input_component_props]
    return examples


def name_examples(elem_id: str, names: Sequence[str]) -> None:
    """Give the pictures of a gr.Examples names for screen readers: gradio makes them buttons without any."""
    script = """
    const timer = setInterval(() => {
        const items = document.querySelectorAll('#ELEMENT .gallery-item');
        items.forEach((item, number) => item.setAttribute('aria-label', NAMES[number]));
        if (items.length) clearInterval(timer);
    }, 100);
    """.replace("ELEMENT", elem_id).replace("NAMES", json.dumps(list(names)))
    gr.HTML('<span class="empty"></span>', js_on_load=script, padding=False)
