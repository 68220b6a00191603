"""The lipreading tab: a clip, or a drawn mouth that says what is typed, and what the network reads from the lips."""

from html import escape
from typing import Any

import gradio as gr
from PIL import Image

from core.errors import InputError, UnrolledError
from demos.i18n import both
from demos.lipreading.view import clips_html, confusions_html, result_html, time_line_picture
from demos.widgets import INTERNAL, NETWORK, example_list, predict_module, problem, served, video_input

TITLE = "Lipreading"
PROMISE = "What a mouth says without its sound, and why “pat” and “bat” look alike."
FIRST_CLICK = "#lipreading-examples tbody tr"  # what the first tab clicks on to show this one at work
_HELLO = both(
    "Upload or record a clip of one word or short phrase, or let the drawn mouth say a sentence: here appears what can "
    "be read from the lips alone."
)
HELLO = f'<p class="hello">{_HELLO}</p>'
MODELS = (
    ("Words and phrases, anybody's", "words"),
    ("Commands, one speaker's", "grid"),
    ("Drawn mouths", "animated"),
)
ABOUT = {
    "words": both(
        "It knows ten words and ten phrases of MIRACL-VC1, such as “hello”, “stop”, “thank you”, “how are you”, and "
        "was tested on people whom it had never seen."
    ),
    "grid": both(
        "It knows the mouth of ONE speaker, s1 of GRID, and his commands of six words, such as “place blue at f two "
        "now”. Of anybody else's lips it reads little."
    ),
    "animated": both("It was trained on mouths that this app draws itself, and reads those only."),
}
SENTENCES = (
    ("place blue by f two now", "", 5),
    ("pat", "bat", 5),
    ("lay green at b nine please", "lay green at p nine please", 12),
    ("fan", "van", 21),
    ("set white with x zero soon", "bin red in k seven again", 33),
)


# --- what the events do: values in, values out -------------------------------------------------------------------


def warm_up() -> None:
    """Load the network. Raises ModelError when it cannot be had."""
    predict_module("lipreading").get_predictor().model("words")


def about(model: str) -> str:
    """What the chosen network can be expected to read."""
    return f'<p class="looked">{ABOUT[model]}</p>'


def read_clip(video: str | None, model: str, grammar: bool) -> tuple[str, Image.Image | None, str]:
    """The reading as HTML, its time line, and what the words at hand were taken for in the test set."""
    if video is None:
        return HELLO, None, ""
    try:
        predict = predict_module("lipreading")
        predictor = predict.get_predictor()
        result = predictor(video, predict.LipreadingOptions(model, grammar=grammar and model != "words"))
        return result_html(result), time_line_picture(result, predictor.saliency(result)), confusions_html(result)
    except UnrolledError as error:
        return problem(error), None, ""


def say(first: str, second: str, speaker: int, grammar: bool) -> tuple[str, str, Image.Image | None, str]:
    """The drawn clips as HTML, the readings of both, and time line and confusions of the first."""
    try:
        predict = predict_module("lipreading")
        from demos.lipreading.animator import speak

        predictor = predict.get_predictor()
        clips = [speak(text, int(speaker)) for text in (first, second) if text and text.strip()]
        if not clips:
            raise InputError("Type a sentence for the mouth to say, such as `place blue by f two now`.")
        options = predict.LipreadingOptions("animated", grammar=grammar)
        results = [predictor(clip.video, options) for clip in clips]
    except UnrolledError as error:
        return problem(error), "", None, ""
    html = "".join(
        f'<p class="time">{both("Said: {words}", words=escape(" ".join(clip.words)))}</p>{result_html(result)}'
        for clip, result in zip(clips, results, strict=True)
    )
    picture = time_line_picture(results[0], predictor.saliency(results[0]))
    return clips_html(clips), html, picture, confusions_html(results[0])


@served
def lipreading(
    video: str, model: str = "words", beam_size: int = 10, n_best: int = 5, grammar: bool = False
) -> dict[str, Any]:
    """Read lips: what somebody says in a silent clip, by a CNN and a bidirectional recurrent network.

    Parameters:
        video: the clip (MP4, MOV, WebM, MKV, AVI, MPEG or GIF, at most 60 MB; the first 10 seconds are read)
        model: words (20 words and phrases, of anybody), grid (commands, of one speaker) or animated (drawn mouths)
        beam_size: of the prefix beam search over CTC's paths
        n_best: how many readings to return
        grammar: grid and animated: only sentences of GRID's grammar
    Returns:
        text, logprob, hypotheses [{text, logprob}], words [{text, start, end, logprob}], frames [{time, box, text,
        probability}], notes, model, seconds
    """
    predict = predict_module("lipreading")
    options = predict.LipreadingOptions(model, int(beam_size), int(n_best), grammar)
    return predict.get_predictor()(video, options).to_dict()


# --- the page ----------------------------------------------------------------------------------------------------


def build() -> None:
    """Lay out the tab and connect its events. Called inside the gr.Tab."""
    with gr.Row(elem_id="lipreading", elem_classes="two-columns"):
        with gr.Column(scale=5):
            video = video_input(label="Clip of somebody speaking", elem_id="lipreading-video", height=260)
            model = gr.Radio(list(MODELS), value="words", label="Read as", elem_id="lipreading-model")
            known = gr.HTML(about("words"), elem_id="lipreading-about")
            grammar = gr.Checkbox(False, label="Only commands of GRID's grammar (sentences)")
            with gr.Group():
                first = gr.Textbox(label="Or let a drawn mouth say", placeholder="place blue by f two now",
                                   elem_id="lipreading-first")  # fmt: skip
                second = gr.Textbox(label="and, to compare", elem_id="lipreading-second")
                speaker = gr.Slider(1, 60, 5, step=1, precision=0, label="Drawn speaker")
                draw = gr.Button("Say it", variant="primary", elem_id="lipreading-say")
        with gr.Column(scale=6):
            drawn = gr.HTML(elem_id="drawn", elem_classes="empty")
            reading = gr.HTML(HELLO, elem_id="reading")
    line = gr.Image(
        show_label=False, interactive=False, elem_id="time-line", buttons=["download", "fullscreen"],
        alt_text="Over time: the frames, the mouth, where it mattered, and the probability of each word",
    )  # fmt: skip
    confusions = gr.HTML(elem_id="confusions")

    inputs, outputs = [video, model, grammar], [reading, line, confusions]
    gr.on(
        [video.change, model.change, grammar.change], read_clip, inputs, outputs, **NETWORK, **INTERNAL,
        trigger_mode="always_last",
    )  # fmt: skip
    model.change(about, model, known, **INTERNAL, show_progress="hidden")
    typed = [first, second, speaker, grammar]
    gr.on([draw.click, first.submit, second.submit], say, typed, [drawn, *outputs], **NETWORK, **INTERNAL)
    examples = example_list(
        [list(example) for example in SENTENCES], [first, second, speaker], label="Or try one of these",
        elem_id="lipreading-examples",
    )  # fmt: skip
    examples.load_input_event.then(say, typed, [drawn, *outputs], **NETWORK, **INTERNAL)

    with gr.Row(visible=False):
        answer = gr.JSON(label="Result")
        beam_size, n_best = gr.Number(10, label="Beam size", precision=0), gr.Number(5, label="N best", precision=0)
    gr.on(
        [], lipreading, [video, model, beam_size, n_best, grammar], answer, api_name="lipreading", **NETWORK
    )  # fmt: skip
