"""The captioning tab: five captions for the visitor's photo, and where the network looked for each word."""

from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from core.errors import InputError, UnrolledError
from core.metrics import caption_scores, java_available
from demos.captioning import compare, view
from demos.widgets import (
    INTERNAL,
    NETWORK,
    WORD_CLICKS,
    example_list,
    explained,
    name_examples,
    photo_input,
    predict_module,
    problem,
    served,
)

if TYPE_CHECKING:
    from demos.captioning.predict import Caption, CaptioningResult

TITLE = "Captions"
PROMISE = "Five captions of a photo, and where the network looked for every word."
FIRST_CLICK = "#examples .gallery-item"  # what the first tab clicks on to show this one at work
KEEP_SECONDS = 3600  # how long a session's attention stays in memory


@dataclass(frozen=True)
class Shown:
    """What a session keeps: the photo and its captions, whose attention the clicks on words ask for."""

    photo: str
    captions: "tuple[Caption, ...]"


# --- what the events do: values in, values out -------------------------------------------------------------------


def warm_up() -> None:
    """Load the network. Raises ModelError when it cannot be had."""
    predict_module("captioning").get_predictor()


def show_captions(photo: str | None, *search: Any) -> tuple:
    """The captions of a photo as HTML, what the session keeps, attention for the most visual word and its note.

    search: the fields of CaptioningOptions in order.
    """
    if photo is None:
        return view.HELLO, None, None, None
    try:
        result = _caption(photo, *search)
    except UnrolledError as error:
        return problem(error), None, None, None
    best = result.hypotheses[0]
    word = int(np.argmax(best.photo_share[:-1] or best.photo_share))
    small = tuple(replace(caption, attention=caption.attention.astype(np.float16)) for caption in result.hypotheses)
    shown = Shown(photo, small)
    options = predict_module("captioning").CaptioningOptions(*search)
    html = view.captions_html(result, word, options.length_penalty, options.rerank)
    return html, shown, *_attention(shown, 0, word)


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
    return _attention(shown, number, word)


def _attention(shown: Shown, number: int, word: int | None) -> tuple[Image.Image, str]:
    from core.input.image import load_image

    if not Path(shown.photo).exists():
        raise InputError("This photo is no longer kept: choose it again.")
    return view.attention_picture(load_image(shown.photo), shown.captions[number], word)


@explained
def show_scores(shown: Shown | None, references: str, with_meteor: bool) -> str:
    """The best caption measured against the visitor's own, as HTML."""
    from core.input.text import clean_text

    if shown is None:
        raise InputError("There is no caption to score yet: choose a photo first.")
    lines = clean_text(references, 2000, "caption of your own").splitlines()
    own = [line.strip() for line in lines if line.strip()]
    caption = shown.captions[0].text
    scores = caption_scores([caption], [own], ("BLEU", "ROUGE-L"), tokenizer="simple")
    if with_meteor:
        scores |= caption_scores([caption], [own], ("METEOR",))
    return view.scores_table(caption, scores)


@explained
def show_ranking(photo: str | None, captions: str) -> str:
    """The visitor's captions by their log-probability given the photo, as HTML."""
    predictor = predict_module("captioning").get_predictor()
    return view.ranking_table(predictor.rank(photo, captions.splitlines() if captions.strip() else [""]))


@explained
def show_comparison(photo: str | None, *search: Any) -> str:
    """Our answer and BLIP's for the same photo, as HTML."""
    other = compare.caption_with_blip(photo)
    return view.comparison_table(_caption(photo, *search), other, compare.BLIP)


@served
def captioning(
    image: str,
    beam_size: int = 10,
    n_best: int = 5,
    length_penalty: float = 1.0,
    max_length: int = 20,
    rerank: bool = True,
) -> dict[str, Any]:
    """Write captions for a photo with an LSTM that attends to the photo, best first.

    Parameters:
        image: the photo (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC, at most 40 MB)
        beam_size: number of hypotheses to search with
        n_best: number of captions to return, no more than the beam size
        length_penalty: alpha; the hypotheses are ranked by logprob / length ** alpha
        max_length: longest caption in words
        rerank: whether to add what the word detector says of the hypothesis' words, less for words that it repeats
    Returns:
        text and logprob of the best caption, hypotheses [{text, logprob, tokens [{text, logprob}]}], seconds
    """
    return _caption(image, beam_size, n_best, length_penalty, max_length, rerank).to_dict()


@served
def captioning_rank(image: str, captions: str) -> dict[str, Any]:
    """Rank captions by their log-probability given a photo, likeliest first: which caption fits?

    Parameters:
        image: the photo (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC, at most 40 MB)
        captions: English captions, one a line
    Returns:
        captions [{text, logprob, tokens [{text, logprob}], unknown [words that the network does not know]}]
    """
    ranked = predict_module("captioning").get_predictor().rank(image, captions.splitlines())
    return {"captions": [asdict(caption) for caption in ranked]}


def _caption(photo: str | None, *search: Any) -> "CaptioningResult":
    predict = predict_module("captioning")
    return predict.get_predictor()(photo, predict.CaptioningOptions(*search))


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
                n_best = gr.Slider(1, 10, 5, step=1, precision=0, label="Captions to show")
                beam_size = gr.Slider(
                    1, 20, 10, step=1, precision=0, label="Beam size", info="hypotheses to search with"
                )
                length_penalty = gr.Slider(
                    0, 2, 1.0, step=0.1, label="Length penalty", info="0 ranks by log-probability, more favours length"
                )
                max_length = gr.Slider(3, 40, 20, step=1, precision=0, label="Maximum length", info="in words")
                rerank = gr.Checkbox(
                    True, label="Rerank with the word detector",
                    info="captions whose words are on the photo come first; off: log-probability alone",
                )  # fmt: skip
                again = gr.Button("Write captions", variant="primary")
            labels = gr.Label(num_top_classes=5, label="What the CNN alone sees", elem_id="labels")
        with gr.Column(scale=6):
            captions = gr.HTML(view.HELLO, js_on_load=WORD_CLICKS, elem_id="captions")
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

    search = [beam_size, n_best, length_penalty, max_length, rerank]  # as CaptioningOptions has them
    outputs = [captions, shown, overlay, note]
    changes = [photo.change, again.click, rerank.input, *(slider.release for slider in search[:-1])]
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
