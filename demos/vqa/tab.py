"""The VQA tab: ask about the visitor's photo, see where the network looked, and what it says without the photo."""

from html import escape
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from core.errors import UnrolledError
from demos.i18n import both
from demos.widgets import INTERNAL, NETWORK, example_list, photo_input, predict_module, problem, served

if TYPE_CHECKING:
    from demos.vqa.predict import Answer, VQAResult

TITLE = "Questions"
PROMISE = "Answers about a photo, beside what it would have said without looking."
FIRST_CLICK = "#vqa-examples tbody tr"  # what the first tab clicks on to show this one at work

_HELLO = both(
    "Choose a photo and ask about it in plain English. Beside each answer stands what the same network would say "
    "without the photo: how much of it did it see, and how much did it guess from the question?"
)
HELLO = f'<p class="hello">{_HELLO}</p>'
HOPS = ("first look", "second look", "third look")
_TYPE_NAMES = {"color": "colour"}


# --- what the events do: values in, values out -------------------------------------------------------------------


def warm_up() -> None:
    """Load the network. Raises ModelError when it cannot be had."""
    predict_module("vqa").get_predictor()


def show_answer(photo: str | None, question: str | None, choices: str | None) -> tuple[str, Image.Image | None]:
    """The answers as HTML, and the photo with the attention of each hop."""
    question, choices = question or "", choices or ""  # the page sends null for a box that was never shown
    if photo is None and not question.strip():
        return HELLO, None
    try:
        result = _ask(photo, question, split_choices(choices))
        return answers_html(result), attention_picture(photo, result)
    except UnrolledError as error:
        return problem(error), None


@served
def vqa(image: str, question: str, choices: list[str] | None = None) -> dict[str, Any]:
    """Answer a question about a photo with a recurrent network that looks at the photo twice.

    Parameters:
        image: the photo (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC, at most 40 MB)
        question: the question in English, for example "What color is the bus?"
        choices: answers to rank (multiple choice); without any, the likeliest of all answers are given
    Returns:
        text of the best answer, answers [{text, logprob, blind_logprob (without the photo), probability,
        blind_probability}], blind_text, question_type, read_as, unknown, wording (share of what the question alone
        suggests that was taken away, for yes and no), evidence {word: log-odds that it adds to yes, by what the photo
        shows}, seconds
    """
    return _ask(image, question, choices or []).to_dict()


def split_choices(text: str) -> list[str]:
    """Choices as a visitor types them: one a line, or with commas between them. Empty ones do not count."""
    parts = text.replace(",", "\n").splitlines()
    return [part.strip() for part in parts if part.strip()]


def _ask(photo: str | None, question: str, choices: list[str]) -> "VQAResult":
    predict = predict_module("vqa")
    return predict.get_predictor()(photo, question, predict.VQAOptions(choices))


# --- how it looks ------------------------------------------------------------------------------------------------


def answers_html(result: "VQAResult") -> str:
    """The answers as a list of bars: with the photo above, without it below, and the difference."""
    items = "".join(_bars(answer) for answer in result.answers)
    kind = _TYPE_NAMES.get(result.question_type, result.question_type)
    notes = [
        both("Type of question: {kind}.", kind=escape(kind)),
        both(
            "Without the photo it would say <strong>{answer}</strong>, too."
            if result.blind_text == result.text
            else "Without the photo it would say <strong>{answer}</strong>.",
            answer=escape(result.blind_text),
        ),
    ]
    if result.wording:
        notes.append(
            both(
                "For yes and no, {share} of what the question alone suggests is taken away.",
                share=f"{result.wording:.0%}",
            )
        )
    if result.evidence:
        words = ", ".join(f"{escape(word)} {odds:+.1f}" for word, odds in result.evidence.items())
        notes.append(both("What the photo says of its words, in log-odds of “yes”: {words}.", words=words))
    if result.read_as:
        pairs = ", ".join(f"{escape(word)} → {escape(known)}" for word, known in result.read_as.items())
        notes.append(both("Read as: {pairs}.", pairs=pairs))
    if result.unknown:
        notes.append(both("Words it does not know: {words}.", words=escape(", ".join(result.unknown))))
    return (
        f'<p class="answer">{escape(result.text)}</p><p class="looked">{" ".join(notes)}</p>'
        f'<ol class="answers">{items}</ol><div class="below"><p class="legend"><span class="key seeing"></span> '
        f'{both("with the photo")} <span class="key blind"></span> {both("without it")}</p>'
        f'<p class="time">{result.seconds:.2f} s</p></div>'
    )


def _bars(answer: "Answer") -> str:
    change = 100 * (answer.probability - answer.blind_probability)
    title = f"log-probability {answer.logprob:.2f}, without the photo {answer.blind_logprob:.2f}"
    return (
        f'<li title="{title}"><span class="text">{escape(answer.text)}</span>'
        f'<span><span class="bar seeing" style="--p: {answer.probability:.4f}"></span>'
        f'<span class="bar blind" style="--p: {answer.blind_probability:.4f}"></span></span>'
        f'<span class="number">{answer.probability:.1%}</span>'
        f'<span class="change">{both("{change:+.1f} points by the photo", change=change)}</span></li>'
    )


def attention_picture(photo: str, result: "VQAResult") -> Image.Image:
    """The photo beside itself as each hop saw it."""
    from core.input.image import load_image
    from core.plots import attention_sheet

    figure = attention_sheet(load_image(photo), HOPS[: len(result.hops)], result.hops, result.looked)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return Image.open(buffer).convert("RGB")


def examples() -> list[list[str]]:
    """A photo that comes with gradio or scikit-image, and a question of each type."""
    folder = Path(find_spec("skimage").origin).parent / "data"
    pairs = [
        (gr.media.get_image("bus.png"), "What color is the bus?"),
        (gr.media.get_image("lion.jpg"), "What animal is this?"),
        (folder / "chelsea.png", "Is there a dog in the picture?"),
        (folder / "astronaut.png", "How many people are there?"),
        (folder / "motorcycle_left.png", "Where is the motorcycle?"),
        (folder / "camera.png", "What is the man doing?"),
    ]
    return [[str(file), question] for file, question in pairs if Path(file).exists()]


# --- the page ----------------------------------------------------------------------------------------------------


def build() -> None:
    """Lay out the tab and connect its events. Called inside the gr.Tab."""
    with gr.Row(elem_id="vqa", elem_classes="two-columns"):
        with gr.Column(scale=5):
            photo = photo_input(
                label="Photo", height=300, elem_id="vqa-photo",
                alt_text="Your photo. Some browsers cannot show its format.",
            )  # fmt: skip
            question = gr.Textbox(
                label="Question", placeholder="What color is the bus?", elem_id="vqa-question", submit_btn=True
            )
            with gr.Accordion("Multiple choice", open=False):
                choices = gr.Textbox(
                    label="Choices", lines=3, placeholder="red\nblue\nyellow", elem_id="vqa-choices",
                    info="One a line, or with commas between them. Without choices every answer is possible.",
                )  # fmt: skip
                again = gr.Button("Rank the choices", elem_classes="act")
            example_list(
                examples(), [photo, question], label="Or try one of these", elem_id="vqa-examples",
            )  # fmt: skip
        with gr.Column(scale=6):
            answers = gr.HTML(HELLO, elem_id="vqa-answers")
            looks = gr.Image(
                label="Where it looked", format="jpeg", interactive=False, buttons=["fullscreen"], elem_id="vqa-looks",
                alt_text="The photo, bright where the network looked in each hop of its attention",
            )  # fmt: skip
    gr.on(
        [question.submit, again.click, photo.change], show_answer, [photo, question, choices],
        [answers, looks], **NETWORK, **INTERNAL, trigger_mode="always_last", show_progress="minimal",
        show_progress_on=answers,
    )  # fmt: skip

    with gr.Row(visible=False):
        given = gr.JSON(label="Choices", value=[])
        answer = gr.JSON(label="Result")
    gr.on([], vqa, [photo, question, given], answer, api_name="vqa", **NETWORK)
