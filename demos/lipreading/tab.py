"""The lipreading tab: a clip, or a drawn mouth that says what is typed, and what the network reads from the lips."""

import base64
import io
import json
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from core.errors import InputError, UnrolledError
from demos.i18n import both
from demos.widgets import (
    INTERNAL,
    NETWORK,
    example_list,
    predict_module,
    problem,
    served,
    table,
    video_input,
    word_spans,
)

if TYPE_CHECKING:
    from demos.lipreading.animator import Spoken
    from demos.lipreading.predict import LipreadingResult

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
        result = predict.get_predictor()(video, predict.LipreadingOptions(model, grammar=grammar and model != "words"))
        return result_html(result), time_line_picture(result), confusions_html(result)
    except UnrolledError as error:
        return problem(error), None, ""


def say(first: str, second: str, speaker: int, grammar: bool) -> tuple[str, str, Image.Image | None, str]:
    """The drawn clips as HTML, the readings of both, and time line and confusions of the first."""
    try:
        predict = predict_module("lipreading")
        from demos.lipreading.animator import speak

        predictor = predict.get_predictor()
        spoken = [speak(text, int(speaker)) for text in (first, second) if text and text.strip()]
        if not spoken:
            raise InputError("Type a sentence for the mouth to say, such as `place blue by f two now`.")
        options = predict.LipreadingOptions("animated", grammar=grammar)
        results = [predictor(s.video, options) for s in spoken]
    except UnrolledError as error:
        return problem(error), "", None, ""
    html = "".join(
        f'<p class="time">{both("Said: {words}", words=escape(" ".join(s.words)))}</p>{result_html(r)}'
        for s, r in zip(spoken, results, strict=True)
    )
    return clips_html(spoken), html, time_line_picture(results[0]), confusions_html(results[0])


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


# --- how it looks ------------------------------------------------------------------------------------------------


def result_html(result: "LipreadingResult") -> str:
    """The best reading, the others with their log-probabilities, and notes."""
    words = [word.text for word in result.words if word.text]
    logprobs = [word.logprob for word in result.words if word.text]
    best = word_spans(words, logprobs) if words else both("nothing")
    rest = "".join(
        f'<li><span class="text">{escape(h.text) or both("nothing")}</span> '
        f'<span class="logprob">{h.logprob:.2f}</span></li>'
        for h in result.hypotheses
    )
    notes = "".join(f'<p class="looked">{escape(note)}</p>' for note in result.notes)
    told = both("log-probability of each reading")
    if result.insertion_penalty:
        told = both(
            "log-probability of each reading; ranked by it less {penalty} for each word",
            penalty=result.insertion_penalty,
        )
    return (
        f'<p class="answer">{best}</p>{notes}<ol class="readings">{rest}</ol>'
        f'<div class="below"><p class="legend">{told}</p>'
        f'<p class="time">{both("{count} frames", count=len(result.frames))}, {result.seconds:.2f} s</p></div>'
    )


def clips_html(spoken: "list[Spoken]") -> str:
    """The drawn clips, with what is said, heard and seen; where two look the same, that is said."""
    from demos.lipreading.phonemes import pronounce

    parts = []
    for clip in spoken:
        source = f"data:video/mp4;base64,{base64.b64encode(mp4(clip)).decode()}"
        said = pronounce(" ".join(clip.words))
        cells = "".join(
            f'<tr><th scope="row">{escape(p.word)}</th><td><code>{" ".join(p.phonemes)}</code></td>'
            f"<td>{escape(', '.join(p.visemes))}</td></tr>"
            for p in said
        )
        spelt = both("Said by their spelling: {words}.", words=escape(", ".join(clip.guessed)))
        guessed = f'<p class="looked">{spelt}</p>' if clip.guessed else ""
        label = escape(f"A drawn mouth says: {' '.join(clip.words)}", quote=True)
        parts.append(
            f'<figure class="drawn"><video src="{source}" controls loop muted autoplay playsinline '
            f'aria-label="{label}"></video><div class="table" tabindex="0" role="region" aria-label="Sounds">'
            f"<table><thead><tr><th>{both('said')}</th><th>{both('phonemes')}</th>"
            f"<th>{both('visemes: what can be seen')}</th></tr></thead><tbody>{cells}</tbody></table></div>"
            f"{guessed}</figure>"
        )
    lesson = ""
    if len(spoken) == 2:
        visemes = [[v for p in pronounce(" ".join(clip.words)) for v in p.visemes] for clip in spoken]
        same = visemes[0] == visemes[1]
        told = both(
            "Both are the same to the eye: every sound of the one looks like its partner in the other. No network, and "
            "no person, can tell them apart by the lips."
            if same
            else "They differ to the eye, too."
        )
        lesson = f'<p class="looked lesson">{told}</p>'
    return f'<div class="drawn-pair">{"".join(parts)}</div>{lesson}'


def mp4(clip: "Spoken") -> bytes:
    """A drawn clip as a file that browsers play."""
    from core.input.video import save_video
    from demos.lipreading.animator import FPS

    buffer = io.BytesIO()
    save_video(buffer, clip.video.frames, FPS)
    return buffer.getvalue()


def time_line_picture(result: "LipreadingResult") -> Image.Image:
    """The figure of demos.lipreading.figures as a picture."""
    from demos.lipreading.figures import time_line

    saliency = predict_module("lipreading").get_predictor().saliency(result)
    buffer = io.BytesIO()
    time_line(result, saliency).savefig(buffer, format="png", dpi=110)
    return Image.open(buffer).convert("RGB")


def confusions_html(result: "LipreadingResult") -> str:
    """How the words at hand fared in the test set: what they were taken for, and what was taken for them."""
    from core.checkpoint import checkpoint_folder

    file = checkpoint_folder("lipreading") / result.model / "metrics.json"
    if not file.exists():
        return ""
    entry = next((e for e in json.loads(file.read_text())["evaluations"] if e.get("confusions")), None)
    if entry is None:
        return ""
    counts = entry["confusions"]
    rows = []
    for word in dict.fromkeys(w.text for w in result.words if w.text):
        own = counts.get(word, {})
        wrong = ", ".join(f"{escape(o) or both('nothing')} ({n})" for o, n in own.items() if o != word)
        for_it = ", ".join(
            f"{escape(s) or both('nothing')} ({c[word]})" for s, c in counts.items() if word in c and s != word
        )
        rows.append([escape(word), f"{own.get(word, 0)} / {sum(own.values())}", wrong or "-", for_it or "-"])
    if not rows:
        return ""
    caption = both(
        "These words in the test set ({data}, {clips} clips)", data=escape(entry["data"]), clips=entry["clips"]
    )
    header = (both("said"), both("read right"), both("taken for"), both("others taken for it"))
    return table(header, rows, caption)


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
