"""The translation tab: five translations of a sentence, and which source word each of their words came from."""

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from core.errors import InputError, UnrolledError
from core.metrics import bleu, chrf
from demos.i18n import both
from demos.translation.view import alignment_of, beam_html, translations_html
from demos.widgets import (
    INTERNAL,
    NETWORK,
    WORD_CLICKS,
    example_list,
    explained,
    photo_input,
    predict_module,
    problem,
    served,
    table,
)

if TYPE_CHECKING:
    from demos.translation.results import Translation, TranslationResult

TITLE = "Translation"
PROMISE = "A sentence in German, French or Czech, and which words it came from."
FIRST_CLICK = "#translation-examples tbody tr"  # what the first tab clicks on to show this one at work
KEEP_SECONDS = 3600  # how long a session's alignments stay in memory
LANGUAGES = [("English", "en"), ("German", "de"), ("French", "fr"), ("Czech", "cs")]

_HELLO = both(
    "Type a sentence, or click an example: the translations appear here, best first, and a click on a word shows which "
    "words of yours it came from."
)
_LEARNT = both(
    "German and Czech were learnt from descriptions of photos alone, French from everyday sentences too: that is what "
    "each can translate."
)
HELLO = f'<p class="hello">{_HELLO}</p><p class="hello">{_LEARNT}</p>'
FROM_PHOTOS = {"de", "cs"}  # languages to which an everyday sentence is strange: said beside every answer
EXAMPLES = [
    ["A little girl is climbing into a wooden playhouse.", "en", "de"],
    ["Zwei Hunde spielen am Strand mit einem Ball.", "de", "en"],
    ["How are you? Where is the station?", "en", "fr"],
    ["Je ne sais pas ce que tu veux dire.", "fr", "en"],
    ["A man in a blue shirt is standing on a ladder.", "en", "cs"],
    ["Muž spí na gauči v zeleném pokoji.", "cs", "en"],
]


@dataclass(frozen=True)
class Shown:
    """What a session keeps: the translations, whose alignments the clicks on words ask for."""

    translations: "tuple[Translation, ...]"


# --- what the events do: values in, values out -------------------------------------------------------------------


def warm_up() -> None:
    """Load the network. Raises ModelError when it cannot be had."""
    predict_module("translation").get_predictor()


def show_translation(text: str, source: str, target: str, beam_size: int, length_penalty: float, rerank: bool) -> tuple:
    """The translations as HTML, what the session keeps, the alignment of the best one's first sentence, its note."""
    if not text or not text.strip():
        return HELLO, None, None, None
    try:
        result = _translate(text, source, target, beam_size, length_penalty, rerank)
    except UnrolledError as error:
        return problem(error), None, None, None
    weights = predict_module("translation").get_predictor().weights
    learnt = f'<p class="looked">{_LEARNT}</p>' if FROM_PHOTOS & {source, target} else ""
    found = translations_html(result, length_penalty, weights)
    return found + learnt, Shown(result.hypotheses), *alignment_of(result.hypotheses[0], 0)


@served
def show_alignment(shown: Shown | None, click: gr.EventData) -> tuple[Image.Image | None, str]:
    """The alignment of the sentence that the clicked word belongs to, and a note."""
    if shown is None:
        raise InputError("This translation is no longer kept: translate again.")
    try:
        number, word = int(click.sequence), 0 if click.word == "all" else int(click.word)
        known = 0 <= number < len(shown.translations) and word >= 0
    except (AttributeError, TypeError, ValueError):
        known = False
    if not known:
        raise InputError("There is no such word: click one of a translation.")
    return alignment_of(shown.translations[number], word)


@explained
def show_beam(text: str, source: str, target: str, beam_size: int, length_penalty: float) -> str:
    """The beam as it grew over the first sentence, as HTML."""
    predict = predict_module("translation")
    options = predict.TranslationOptions(beam_size, length_penalty)
    return beam_html(predict.get_predictor().trace(text, source, target, options))


@explained
def show_scores(shown: Shown | None, references: str) -> str:
    """The best translation measured against the visitor's own, as HTML."""
    from core.input.text import clean_text

    if shown is None:
        raise InputError("There is no translation to score yet: translate a sentence first.")
    lines = clean_text(references, 5000, "translation of your own").splitlines()
    own = [line.strip() for line in lines if line.strip()]
    hypothesis = " ".join(shown.translations[0].text.split())
    scores = (("BLEU", bleu([hypothesis], [own])), ("chrF", chrf([hypothesis], [own])))
    rows = [(name, f"{score.value:.1f}", f"<code>{escape(score.signature)}</code>") for name, score in scores]
    header = (both("metric"), both("percent"), both("sacreBLEU signature"))
    return table(header, rows, both("“{caption}” against yours", caption=escape(hypothesis)))


@served
def caption_photo(photo: str | None, target: str) -> tuple[str, str, str]:
    """The captioner's English sentence for a photo, and the languages to translate it between."""
    if photo is None:
        raise InputError("Choose a photo first.")
    caption = predict_module("captioning").get_predictor()(photo).text
    return caption[:1].upper() + caption[1:] + ".", "en", target if target != "en" else "de"


def swap(text: str, source: str, target: str, shown: Shown | None) -> tuple[str, str, str]:
    """The translation becomes the text, and the languages change places."""
    return (shown.translations[0].text if shown else text), target, source


def other_language(changed: str, other: str) -> str:
    """The other language once one was chosen: one of the two is English, and they differ."""
    if changed != "en":
        return "en"
    return other if other != "en" else "de"


@served
def translation(
    text: str,
    source: str = "en",
    target: str = "de",
    beam_size: int = 5,
    length_penalty: float = 1.0,
    rerank: bool = True,
) -> dict[str, Any]:
    """Translate between English and German, French or Czech with an LSTM encoder, decoder and attention.

    Parameters:
        text: one or more sentences and lines, at most 100,000 characters
        source: language of the text: en, de, fr or cs
        target: language to translate to: en, de, fr or cs; one of the two must be en
        beam_size: number of hypotheses that beam search keeps and returns, 3 to 5 is best
        length_penalty: alpha; the search ranks by logprob / length ** alpha
        rerank: rank what was found by translating back (channel) and, into English, by a decoder that writes from
            right to left (backward), too
    Returns:
        text and logprob of the best translation, hypotheses [{text, logprob, scores {copies, channel, backward}
        (those that ranked it: words to be copied that are amiss, log-probability of the text as a translation of this
        hypothesis, and of this hypothesis written from right to left, both / length ** alpha), tokens [{text,
        logprob}]}], attention [{source words, target words, weights}] of the best, sentence by sentence, seconds
    """
    return _translate(text, source, target, beam_size, length_penalty, rerank).to_dict()


def _translate(text: str, source: str, target: str, *options: float) -> "TranslationResult":
    predict = predict_module("translation")
    return predict.get_predictor()(text, source, target, predict.TranslationOptions(*options))


# --- the page ----------------------------------------------------------------------------------------------------


def build() -> None:
    """Lay out the tab and connect its events. Called inside the gr.Tab."""
    shown = gr.State(time_to_live=KEEP_SECONDS)
    with gr.Row(elem_id="translation", elem_classes="two-columns"):
        with gr.Column(scale=5):
            with gr.Row(elem_classes="languages"):
                source = gr.Dropdown(LANGUAGES, value="en", label="From", elem_id="source-language", min_width=110)
                swapped = gr.Button("⇄", elem_id="swap", min_width=48, scale=0)
                target = gr.Dropdown(LANGUAGES, value="de", label="To", elem_id="target-language", min_width=110)
            text = gr.Textbox(label="Text", lines=4, max_lines=12, elem_id="source-text", max_length=100_000)
            go = gr.Button("Translate", variant="primary", elem_id="translate")
            example_list(
                EXAMPLES, [text, source, target], label="Or try one of these", elem_id="translation-examples",
            )  # fmt: skip
            with gr.Accordion("How to search", open=False):
                beam_size = gr.Slider(1, 10, 5, step=1, precision=0, label="Beam size", info="3 to 5 is best")
                length_penalty = gr.Slider(
                    0, 2, 1.0, step=0.1, label="Length penalty", info="0 ranks by log-probability, more favours length"
                )
                rerank = gr.Checkbox(
                    True, label="Rank by translating back, too",
                    info="and, into English, by a decoder that writes from right to left",
                )  # fmt: skip
            with gr.Accordion("Start from a photo", open=False):
                photo = photo_input(label="Photo", height=240, elem_id="translation-photo")
                describe = gr.Button("Caption it and translate", elem_classes="act")
        with gr.Column(scale=6):
            translations = gr.HTML(HELLO, js_on_load=WORD_CLICKS, elem_id="translations")
            note = gr.HTML(elem_id="alignment-note")
            alignment = gr.Image(
                show_label=False, format="png", interactive=False, buttons=["fullscreen"], elem_id="alignment",
                alt_text="Heat map: words of the translation against words of the source",
            )  # fmt: skip
    with gr.Accordion("The beam as it grows", open=False):
        gr.Markdown("Which hypotheses were alive after each step, for the first sentence, and which won.")
        watch = gr.Button("Show the beam", elem_classes="act")
        beam = gr.HTML(elem_id="beam")
    with gr.Accordion("Score against your own translation", open=False):
        gr.Markdown("Translate it yourself, in one line or several. The best translation is scored against them all.")
        own = gr.Textbox(label="Your translations", lines=2)
        score = gr.Button("Score", elem_classes="act")
        scores = gr.HTML(elem_id="translation-scores")

    search = [beam_size, length_penalty]
    request = [text, source, target, *search]
    outputs = [translations, shown, alignment, note]
    show = {**NETWORK, **INTERNAL, "trigger_mode": "always_last", "show_progress_on": translations}
    source.input(other_language, [source, target], target, **INTERNAL, show_progress="hidden")
    target.input(other_language, [target, source], source, **INTERNAL, show_progress="hidden")
    moved = [slider.release for slider in search]
    changes = [go.click, text.change, source.change, target.change, *moved, rerank.input]
    gr.on(changes, show_translation, [*request, rerank], outputs, **show, show_progress="minimal")
    swapped.click(swap, [text, source, target, shown], [text, source, target], **INTERNAL, show_progress="hidden")
    describe.click(caption_photo, [photo, target], [text, source, target], **NETWORK, **INTERNAL)
    translations.click(
        show_alignment, shown, [alignment, note], **INTERNAL, trigger_mode="always_last", show_progress="minimal"
    )
    watch.click(show_beam, request, beam, **NETWORK, **INTERNAL)
    score.click(show_scores, [shown, own], scores, **INTERNAL)

    with gr.Row(visible=False):
        answer = gr.JSON(label="Result")
    gr.on([], translation, [*request, rerank], answer, api_name="translation", **NETWORK)
