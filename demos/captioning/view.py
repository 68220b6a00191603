"""What the captioning tab draws: captions as word buttons, tables, and the photo where the network looked."""

from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from demos.i18n import both
from demos.widgets import LEGEND, table, word_buttons, word_spans

if TYPE_CHECKING:
    from demos.captioning.compare import BlipCaption
    from demos.captioning.predict import Caption, CaptioningResult, RankedCaption

END = "<eos>"

_HELLO = both(
    "Choose a photo: the captions appear here, best first, and a click on a word shows where the network looked while "
    "it wrote it."
)
HELLO = f'<p class="hello">{_HELLO}</p>'


def captions_html(result: "CaptioningResult", pressed: int, length_penalty: float, reranked: bool) -> str:
    """The captions as a list of word buttons, and what ranked them; `pressed` is the chosen word of the first."""
    items = []
    for number, caption in enumerate(result.hypotheses):
        logprobs = [token.logprob for token in caption.tokens]
        buttons = word_buttons(words_of(caption), logprobs, number, None if number else pressed)
        items.append(
            f'<li><div class="words" role="group" aria-label="{escape(caption.text)}">{buttons}</div>'
            f'<div class="facts"><span class="logprob">logprob {caption.logprob:.2f}</span>'
            f'<button type="button" class="all" data-sequence="{number}" data-word="all" aria-pressed="false">'
            f"{both('all words')}</button></div></li>"
        )
    count = len(items)
    power = "" if length_penalty == 1 else f"<sup>{length_penalty:g}</sup>"
    rule = f"logprob / length{power}" if length_penalty else "logprob"
    if reranked:
        rule += f" + {both('(words on the photo − repeated words)')}"
    found = both(
        "{count} captions in {seconds:.2f} s, ranked by {rule}." if count > 1 else "1 caption in {seconds:.2f} s.",
        count=count, seconds=result.seconds, rule=rule,
    )  # fmt: skip
    return f'<ol class="captions">{"".join(items)}</ol><div class="below">{LEGEND}<p class="time">{found}</p></div>'


def words_of(caption: "Caption") -> list[str]:
    """Its words as they are shown, the mark of its end included."""
    return ["end" if token.text == END else token.text for token in caption.tokens]


def attention_picture(photo: Image.Image, caption: "Caption", word: int | None) -> tuple[Image.Image, str]:
    """(photo with the attention of one word, or of all when it is None, note as HTML)"""
    from core.plots import attention_overlay, attention_sheet

    words, attention = words_of(caption), caption.attention.astype(np.float32)  # (words, h, w)
    if word is None:
        buffer = BytesIO()
        attention_sheet(photo, words, attention, caption.photo_share).savefig(buffer, format="png", dpi=110)
        note = both("Where the network looked for each word. The percentage is the photo's share of its attention.")
        return Image.open(buffer).convert("RGB"), f'<p class="looked">{note}</p>'
    share = caption.photo_share[word]
    note = both(
        "For <strong>{word}</strong> it gave {photo:.0%} of its attention to the photo and {sentinel:.0%} to what it "
        "had already written (the visual sentinel).",
        word=escape(words[word]), photo=share, sentinel=1 - share,
    )  # fmt: skip
    bar = f'<div class="share" style="--share: {share:.3f}" aria-hidden="true"></div>'
    return attention_overlay(photo, attention[word]), f'<p class="looked">{note}</p>{bar}'


def scores_table(caption: str, scores: Mapping[str, float]) -> str:
    """Metrics of a caption against the visitor's own."""
    rows = [(name, f"{value:.1f}") for name, value in scores.items()]
    header = (both("metric"), both("percent"))
    return table(header, rows, both("“{caption}” against yours", caption=escape(caption)))


def ranking_table(ranked: Sequence["RankedCaption"]) -> str:
    """The visitor's captions, likeliest first."""
    rows = [
        (
            str(place),
            word_spans([token.text for token in caption.tokens[:-1]], [t.logprob for t in caption.tokens[:-1]]),
            f"{caption.logprob:.2f}",
            f"{caption.logprob / len(caption.tokens):.2f}",
            escape(", ".join(caption.unknown)) or both("none"),
        )
        for place, caption in enumerate(ranked, start=1)
    ]
    header = ("", both("caption"), both("log-probability"), both("per word"), both("unknown words"))
    return table(header, rows, both("Likeliest first"))


def comparison_table(ours: "CaptioningResult", other: "BlipCaption", name: str) -> str:
    """Our caption and the one of the network of this name, with the time that each took."""
    rows = [
        (both("This LSTM"), escape(ours.text), f"{ours.seconds:.2f}"),
        (f"BLIP ({name})", escape(other.text), f"{other.seconds:.2f}"),
    ]
    return table((both("network"), both("caption"), both("seconds")), rows, both("The same photo for both"))
