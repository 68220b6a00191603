"""The captioning tab: five captions for the visitor's photo, and where the network looked for each word."""

from dataclasses import dataclass, replace
from html import escape
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from core.errors import InputError, UnrolledError
from core.metrics import caption_scores, java_available
from demos.captioning import compare
from demos.i18n import both
from demos.widgets import (
    INTERNAL,
    LEGEND,
    NETWORK,
    WORD_CLICKS,
    example_list,
    explained,
    name_examples,
    photo_input,
    predict_module,
    problem,
    served,
    table,
    word_buttons,
    word_spans,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from demos.captioning.predict import Caption, CaptioningResult

TITLE = "Captions"
PROMISE = "Five captions of a photo, and where the network looked for every word."
FIRST_CLICK = "#examples .gallery-item"  # what the first tab clicks on to show this one at work
KEEP_SECONDS = 3600  # how long a session's attention stays in memory
END = "<eos>"

_HELLO = both(
    "Choose a photo: the captions appear here, best first, and a click on a word shows where the network looked while "
    "it wrote it."
)
HELLO = f'<p class="hello">{_HELLO}</p>'


@dataclass(frozen=True)
class Shown:
    """What a session keeps: the photo and its captions, whose attention the clicks on words ask for."""

    photo: str
    captions: "tuple[Caption, ...]"


# --- what the events do: values in, values out -------------------------------------------------------------------


def warm_up() -> None:
    """Load the network. Raises ModelError when it cannot be had."""
    predict_module("captioning").get_predictor()


def show_captions(
    photo: str | None, beam_size: int, length_penalty: float, max_length: int, detector_weight: float
) -> tuple:
    """The captions of a photo as HTML, what the session keeps, attention for the most visual word and its note."""
    if photo is None:
        return HELLO, None, None, None
    try:
        result = _caption(photo, beam_size, length_penalty, max_length, detector_weight)
    except UnrolledError as error:
        return problem(error), None, None, None
    best = result.hypotheses[0]
    word = int(np.argmax(best.looked[:-1] or best.looked))
    small = tuple(replace(caption, attention=caption.attention.astype(np.float16)) for caption in result.hypotheses)
    shown = Shown(photo, small)
    return captions_html(result, word, length_penalty, detector_weight), shown, *attention_of(shown, 0, word)


def show_labels(photo: str | None, shown: Shown | None) -> dict[str, float] | None:
    """What the ImageNet CNN alone sees on a photo that got captions."""
    return None if shown is None else dict(predict_module("captioning").get_predictor().imagenet(photo))


@served
def show_attention(shown: Shown | None, click: gr.EventData) -> tuple[Image.Image, str]:
    """The photo with the attention of the clicked word, or of all words of its caption, and a note."""
    if shown is None:
        raise InputError("This photo is no longer kept: choose it again.")
    try:
        number, word = int(click.sequence), None if click.word == "all" else int(click.word)
        known = 0 <= number < len(shown.captions) and 0 <= (word or 0) < len(shown.captions[number].tokens)
    except (AttributeError, TypeError, ValueError):
        known = False
    if not known:
        raise InputError("There is no such word: click one of a caption.")
    return attention_of(shown, number, word)


@explained
def show_scores(shown: Shown | None, references: str, with_meteor: bool) -> str:
    """The best caption measured against the visitor's own, as HTML."""
    from core.input.text import clean_text

    if shown is None:
        raise InputError("There is no caption to score yet: choose a photo first.")
    lines = clean_text(references, 2000, "caption of your own").splitlines()
    own = [line.strip() for line in lines if line.strip()]
    hypothesis = [shown.captions[0].text]
    scores = caption_scores(hypothesis, [own], ("BLEU", "ROUGE-L"), tokenizer="simple")
    if with_meteor:
        scores |= caption_scores(hypothesis, [own], ("METEOR",))
    rows = [(name, f"{value:.1f}") for name, value in scores.items()]
    header = (both("metric"), both("percent"))
    return table(header, rows, both("“{caption}” against yours", caption=escape(hypothesis[0])))


@explained
def show_ranking(photo: str | None, captions: str) -> str:
    """The visitor's captions by their log-probability given the photo, as HTML."""
    predictor = predict_module("captioning").get_predictor()
    ranked = predictor.rank(photo, captions.splitlines() if captions.strip() else [""])
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


@explained
def show_comparison(photo: str | None, *search: float) -> str:
    """Our answer and BLIP's for the same photo, as HTML."""
    other = compare.caption_with_blip(photo)
    ours = _caption(photo, *search)
    rows = [
        (both("This LSTM"), escape(ours.text), f"{ours.seconds:.2f}"),
        (f"BLIP ({compare.BLIP})", escape(other.text), f"{other.seconds:.2f}"),
    ]
    return table((both("network"), both("caption"), both("seconds")), rows, both("The same photo for both"))


@served
def captioning(
    image: str, beam_size: int = 5, length_penalty: float = 1.0, max_length: int = 20, detector_weight: float = 1.0
) -> dict[str, Any]:
    """Write captions for a photo with an LSTM that attends to the photo, best first.

    Parameters:
        image: the photo (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC, at most 40 MB)
        beam_size: number of hypotheses to return; with the word detector they are chosen among twice as many
        length_penalty: alpha; the hypotheses are ranked by logprob / length ** alpha
        max_length: longest caption in words
        detector_weight: plus this times what the word detector says of the hypothesis' words, less for words that it
            repeats; 0: nothing
    Returns:
        text and logprob of the best caption, hypotheses [{text, logprob, tokens [{text, logprob}]}], seconds
    """
    return _caption(image, beam_size, length_penalty, max_length, detector_weight).to_dict()


@served
def captioning_rank(image: str, captions: str) -> dict[str, Any]:
    """Rank captions by their log-probability given a photo, likeliest first: which caption fits?

    Parameters:
        image: the photo (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC, at most 40 MB)
        captions: English captions, one a line
    Returns:
        captions [{text, logprob, tokens [{text, logprob}], unknown [words that the network does not know]}]
    """
    from dataclasses import asdict

    ranked = predict_module("captioning").get_predictor().rank(image, captions.splitlines())
    return {"captions": [asdict(caption) for caption in ranked]}


def _caption(photo: str | None, *search: float) -> "CaptioningResult":
    predict = predict_module("captioning")
    return predict.get_predictor()(photo, predict.CaptioningOptions(*search))


# --- how it looks ------------------------------------------------------------------------------------------------


def captions_html(result: "CaptioningResult", pressed: int, length_penalty: float, detector_weight: float = 0.0) -> str:
    """The captions as a list of word buttons, and what ranked them; `pressed` is the chosen word of the first."""
    items = []
    for number, caption in enumerate(result.hypotheses):
        words = [_word(token.text) for token in caption.tokens]
        buttons = word_buttons(words, [t.logprob for t in caption.tokens], number, None if number else pressed)
        items.append(
            f'<li><div class="words" role="group" aria-label="{escape(caption.text)}">{buttons}</div>'
            f'<div class="facts"><span class="logprob">logprob {caption.logprob:.2f}</span>'
            f'<button type="button" class="all" data-sequence="{number}" data-word="all" aria-pressed="false">'
            f"{both('all words')}</button></div></li>"
        )
    count = len(items)
    power = "" if length_penalty == 1 else f"<sup>{length_penalty:g}</sup>"
    rule = f"logprob / length{power}" if length_penalty else "logprob"
    if detector_weight:
        factor = "" if detector_weight == 1 else f"{detector_weight:g} × "
        rule += f" + {factor}{both('(words on the photo − repeated words)')}"
    found = both(
        "{count} captions in {seconds:.2f} s, ranked by {rule}." if count > 1 else "1 caption in {seconds:.2f} s.",
        count=count, seconds=result.seconds, rule=rule,
    )  # fmt: skip
    return f'<ol class="captions">{"".join(items)}</ol><div class="below">{LEGEND}<p class="time">{found}</p></div>'


def attention_of(shown: Shown, number: int, word: int | None) -> tuple[Image.Image, str]:
    """(photo with the attention of one word, or of all when it is None, note as HTML) for a caption of a session."""
    from core.input.image import load_image
    from core.plots import attention_overlay, attention_sheet

    if not Path(shown.photo).exists():
        raise InputError("This photo is no longer kept: choose it again.")
    photo, caption = load_image(shown.photo), shown.captions[number]
    words = [_word(token.text) for token in caption.tokens]
    attention = caption.attention.astype(np.float32)  # (words, h, w)
    if word is None:
        note = both("Where the network looked for each word. The percentage is the photo's share of its attention.")
        return _picture(attention_sheet(photo, words, attention, caption.looked)), f'<p class="looked">{note}</p>'
    return attention_overlay(photo, attention[word]), _looked(words[word], caption.looked[word])


def _picture(figure: "Figure") -> Image.Image:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return Image.open(buffer).convert("RGB")


def _looked(word: str, share: float) -> str:
    told = both(
        "For <strong>{word}</strong> it gave {photo:.0%} of its attention to the photo and {sentinel:.0%} to what it "
        "had already written (the visual sentinel).",
        word=escape(word), photo=share, sentinel=1 - share,
    )  # fmt: skip
    return f'<p class="looked">{told}</p><div class="share" style="--share: {share:.3f}" aria-hidden="true"></div>'


def _word(token: str) -> str:
    return "end" if token == END else token


def examples() -> list[list[str]]:
    """Photos that come with gradio and scikit-image."""
    ours = [gr.media.get_image(name) for name in ("lion.jpg", "tower.jpg")]
    folder = Path(find_spec("skimage").origin).parent / "data"
    others = [folder / name for name in ("astronaut.png", "chelsea.png", "camera.png", "motorcycle_left.png")]
    return [[str(file)] for file in (*others, *ours) if Path(file).exists()]


# --- the page ----------------------------------------------------------------------------------------------------


def build() -> None:
    """Lay out the tab and connect its events. Called inside the gr.Tab."""
    shown = gr.State(time_to_live=KEEP_SECONDS)
    with gr.Row(elem_id="captioning", elem_classes="two-columns"):
        with gr.Column(scale=5):
            photo = photo_input(
                label="Photo", height=340, elem_id="photo", alt_text="Your photo. Some browsers cannot show its format."
            )
            example_list(examples(), photo, label="Or try one of these", elem_id="examples")
            name_examples("examples", [Path(file).stem.split("_")[0] for (file,) in examples()])
            with gr.Accordion("How to search", open=False):
                beam_size = gr.Slider(1, 10, 5, step=1, precision=0, label="Beam size", info="captions to show")
                length_penalty = gr.Slider(
                    0, 2, 1.0, step=0.1, label="Length penalty", info="0 ranks by log-probability, more favours length"
                )
                max_length = gr.Slider(3, 40, 20, step=1, precision=0, label="Maximum length", info="in words")
                detector = gr.Slider(
                    0, 2, 1, step=0.1, label="Word detector",
                    info="how much it counts that a caption's words are on the photo; 0: log-probability alone",
                )  # fmt: skip
                again = gr.Button("Write captions", variant="primary")
            labels = gr.Label(num_top_classes=5, label="What the CNN alone sees", elem_id="labels")
        with gr.Column(scale=6):
            captions = gr.HTML(HELLO, js_on_load=WORD_CLICKS, elem_id="captions")
            note = gr.HTML(elem_id="note")
            overlay = gr.Image(
                show_label=False, format="jpeg", interactive=False, buttons=["fullscreen"], elem_id="overlay",
                alt_text="The photo, bright where the network looked for the chosen word",
            )  # fmt: skip
    with gr.Accordion("Which caption fits?", open=False):
        gr.Markdown("Type captions, one a line. They are ranked by their log-probability given the photo.")
        typed = gr.Textbox(
            "a cat looks at the camera\na dog runs through the snow\na woman smiles", label="Captions", lines=4
        )
        rank = gr.Button("Rank", elem_classes="act")
        ranking = gr.HTML(elem_id="ranking")
    with gr.Accordion("Score against your own caption", open=False):
        gr.Markdown("Describe the photo yourself, in one line or several. The best caption is scored against them all.")
        own = gr.Textbox(label="Your captions", lines=2, placeholder="a brown dog runs along the beach")
        meteor = gr.Checkbox(
            label="METEOR too", interactive=java_available(),
            info="Starts Java, which takes about 8 seconds." if java_available() else "Needs Java, which is not here.",
        )  # fmt: skip
        score = gr.Button("Score", elem_classes="act")
        scores = gr.HTML(elem_id="scores")
    with gr.Accordion("Compare with a Transformer", open=False):
        gr.Markdown(f"The same photo for BLIP (`{compare.BLIP}`, 247 million parameters). It needs a network once.")
        ask = gr.Button("Ask BLIP", elem_classes="act")
        comparison = gr.HTML(elem_id="comparison")

    search = [beam_size, length_penalty, max_length, detector]
    outputs = [captions, shown, overlay, note]
    changes = [photo.change, again.click, *(slider.release for slider in search)]
    found = gr.on(
        changes, show_captions, [photo, *search], outputs, **NETWORK, **INTERNAL,
        trigger_mode="always_last", show_progress="minimal", show_progress_on=captions,
    )  # fmt: skip
    found.success(show_labels, [photo, shown], labels, **NETWORK, **INTERNAL, show_progress="hidden")
    looked = captions.click(
        show_attention, shown, [overlay, note], **INTERNAL, trigger_mode="always_last", show_progress="minimal"
    )
    looked.success(None, js="() => document.querySelector('#overlay').scrollIntoView({block: 'nearest'})")
    rank.click(show_ranking, [photo, typed], ranking, **NETWORK, **INTERNAL)
    score.click(show_scores, [shown, own, meteor], scores, **INTERNAL)
    ask.click(show_comparison, [photo, *search], comparison, **INTERNAL)

    with gr.Row(visible=False):
        given = gr.Textbox(label="Captions, one a line")
        answer = gr.JSON(label="Result")
    gr.on([], captioning, [photo, *search], answer, api_name="captioning", **NETWORK)
    gr.on([], captioning_rank, [photo, given], answer, api_name="captioning_rank", **NETWORK)
