"""The sentiment tab: the judgement while the network reads, word by word, and what each word does to it."""

from collections.abc import Sequence
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

import gradio as gr

from core.errors import InputError, UnrolledError
from demos.i18n import both
from demos.widgets import (
    INTERNAL,
    NETWORK,
    example_list,
    explained,
    file_input,
    photo_input,
    predict_module,
    problem,
    served,
    table,
)

if TYPE_CHECKING:
    from demos.sentiment.predict import SentimentResult, Word

TITLE = "Sentiment"
PROMISE = "Praise or blame, English or Korean, and the words that decided."
FIRST_CLICK = "#sentiment-examples .gallery-item"  # what the first tab clicks on to show this one at work
MAX_LINES = 5000  # of a file of texts
SHOWN_LINES = 200
LONGEST_WORD = 60  # letters that are shown of one
LANGUAGES = [("by its script", "auto"), ("English", "english"), ("Korean", "korean")]

_HELLO = both("Type a review, or click an example: the judgement appears here and moves with every word.")
HELLO = f'<p class="hello">{_HELLO}</p>'
_LEGEND = both(
    'Each word by what leaving it out would change: <span class="against">speaks for negative</span> <span '
    'class="for">speaks for positive</span>'
)
# How the classes are called on the page.
_NAMES = {
    "very negative": both("very negative"), "negative": both("negative"), "neutral": both("neutral"),
    "positive": both("positive"), "very positive": both("very positive"), "not judged": both("not judged"),
}  # fmt: skip
_VERDICTS = {"negative": both("Negative"), "positive": both("Positive")}
EXAMPLES = [
    "The plot is not bad at all.",
    "This is not a good film.",
    "I expected to hate it, but I left the cinema smiling.",
    "It starts as a clever thriller and ends as a tired, predictable mess.",
    "A brilliant cast can't save this dull script.",
    "Nobody who likes good acting should miss it.",
    "연기는 좋았는데 스토리가 너무 지루했다",
    "기대 안 했는데 생각보다 재미있네요",
    "돈이 아깝지 않은 영화",
]


# --- what the events do: values in, values out -------------------------------------------------------------------


def warm_up() -> None:
    """Load the networks. Raises ModelError when they cannot be had."""
    predict_module("sentiment").get_predictor()


def judge(text: str, language: str, explain: bool = True) -> "SentimentResult":
    """The answer of the repository's networks."""
    predict = predict_module("sentiment")
    return predict.get_predictor()(text, predict.SentimentOptions(language, explain))


def show_judgement(text: str, language: str) -> str:
    """Judgement, words and running judgement of a text, as HTML."""
    if not text or not text.strip():
        return HELLO
    try:
        return judgement_html(judge(text, language))
    except UnrolledError as error:
        return problem(error)


@served
def show_caption(photo: str | None) -> str:
    """The caption of a photo, for the text box."""
    if photo is None:
        raise InputError("Choose a photo first.")
    return predict_module("captioning").get_predictor()(photo).text


@explained
def show_file(file: str | None, language: str) -> str:
    """The judgements of a file of texts, one a line, as HTML."""
    from core.serving.bulk import open_lines

    if file is None:
        raise InputError("Choose a file of texts first: plain text, one a line.")
    with open_lines(file) as lines:
        texts = list(islice((line.strip() for line in lines if line.strip()), MAX_LINES + 1))
    if not texts:
        raise InputError("The file is empty: write one text a line.")
    if len(texts) > MAX_LINES:
        raise InputError(f"The file has more than the {MAX_LINES:,} lines that work here: use the command line for it.")
    predict = predict_module("sentiment")
    results = list(predict.get_predictor().stream(texts, predict.SentimentOptions(language)))
    return distribution_html(results) + lines_html(texts, results)


@served
def sentiment(text: str, language: str = "auto", explain: bool = True) -> dict[str, Any]:
    """Say whether a text is positive or negative, and how much each word speaks for it, with an LSTM.

    Parameters:
        text: a sentence or a review in English or Korean, at most 50,000 characters
        language: english, korean, or auto (by the script of the text)
        explain: weigh each word by leaving it out, and judge after each word; else a quicker, rougher weight
    Returns:
        label, probability, language, classes {negative, positive}, fine (English: five classes), tokens [{text,
        weight}] with weights in log-odds of "positive", steps [probability of "positive" after each word], seconds
    """
    return judge(text, language, explain).to_dict()


# --- how it looks ------------------------------------------------------------------------------------------------


def judgement_html(result: "SentimentResult") -> str:
    """The whole answer to one text."""
    parts = [
        f'<p class="verdict {result.label}"><strong>{_VERDICTS[result.label]}</strong> '
        f"<span>{result.probability:.0%}</span></p>",
        bars_html(list((result.fine or result.classes).items())),
        f'<div class="words" role="group" aria-label="Words">{words_html(result.tokens)}</div>',
        f'<p class="legend">{_LEGEND}</p>',
    ]
    if result.steps:
        parts.append(line_html([word.text for word in result.tokens], result.steps))
    network = both("English network") if result.language == "english" else both("Korean network")
    parts.append(f'<p class="time">{network}, {result.seconds:.2f} s</p>')
    return f'<div class="judgement">{"".join(parts)}</div>'


def bars_html(values: Sequence[tuple[str, float]], as_counts: bool = False) -> str:
    """Horizontal bars from worst to best; as_counts: the values are numbers of texts."""
    total = sum(value for _, value in values) or 1
    rows = "".join(
        f'<tr><th scope="row">{_NAMES.get(name, escape(name))}</th>'
        f'<td><span class="bar" style="--share: {value / total:.4f}"></span></td>'
        f'<td class="number">{f"{value:,}" if as_counts else f"{value:.1%}"}</td></tr>'
        for name, value in values
    )
    return f'<table class="bars"><tbody>{rows}</tbody></table>'


def words_html(words: "Sequence[Word]") -> str:
    """Words, tinted towards positive or negative by their weights; a weight of 2 or more has the full tint."""
    spans = []
    for word in words:
        side, share = ("for" if word.weight >= 0 else "against"), min(1.0, abs(word.weight) / 2)
        title = f"{word.weight:+.2f} log-odds"
        shown = word.text if len(word.text) <= LONGEST_WORD else word.text[: LONGEST_WORD - 1] + "…"
        spans.append(f'<span class="weighed {side}" style="--p: {share:.3f}" title="{title}">{escape(shown)}</span>')
    return " ".join(spans)


def line_html(words: Sequence[str], steps: Sequence[float], width: int = 640, height: int = 190) -> str:
    """The probability of "positive" after each word, as a line plot (SVG: it follows the theme, and the browser has
    the fonts for Korean)."""
    left, right, top, bottom = 44, 12, 12, 62
    count = len(steps)
    xs = [left + (width - left - right) * (n + 0.5) / count for n in range(count)]
    ys = [top + (height - top - bottom) * (1 - p) for p in steps]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    middle = top + (height - top - bottom) / 2
    parts = [
        f'<line class="even" x1="{left}" x2="{width - right}" y1="{middle}" y2="{middle}"/>',
        *(
            f'<text class="tick" x="{left - 6}" y="{top + (height - top - bottom) * (1 - p) + 4}">{p:.0%}</text>'
            for p in (0, 0.5, 1)
        ),
        f'<polyline points="{points}"/>',
    ]
    every = -(-count // 28)  # labels that fit side by side
    for number, (word, step, x, y) in enumerate(zip(words, steps, xs, ys, strict=True)):
        short = word if len(word) <= 11 else word[:10] + "…"
        title = f"<title>{escape(word)}: {step:.0%}</title>"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3.5 if count <= 60 else 2}">{title}</circle>')
        if number % every == 0:
            parts.append(
                f'<text class="word-label" transform="translate({x + 4:.1f} {height - bottom + 14}) rotate(-38)">'
                f"{escape(short)}</text>"
            )
    label = f"Probability of positive after each word, from {steps[0]:.0%} to {steps[-1]:.0%}"
    return (
        f'<figure class="running"><svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg><figcaption>{both('Probability of “positive” after each word')}</figcaption></figure>"
    )


def distribution_html(results: "Sequence[SentimentResult | InputError]") -> str:
    """How many texts of a file are negative and positive."""
    labels = [result.label for result in results if not isinstance(result, InputError)]
    counts = [(name, labels.count(name)) for name in ("negative", "positive")]
    if failed := len(results) - len(labels):
        counts.append(("not judged", failed))
    return bars_html(counts, as_counts=True)


def lines_html(texts: Sequence[str], results: "Sequence[SentimentResult | InputError]") -> str:
    """A table of texts and judgements; of many, the first."""
    rows = []
    for text, result in islice(zip(texts, results, strict=True), SHOWN_LINES):
        short = escape(text if len(text) <= 160 else text[:159] + "…")
        if isinstance(result, InputError):
            rows.append((short, escape(str(result)), ""))
        else:
            rows.append((short, _NAMES[result.label], f"{result.probability:.2f}"))
    if len(texts) > SHOWN_LINES:
        caption = both("The first {shown} of {count:,} texts", shown=SHOWN_LINES, count=len(texts))
    else:
        caption = both("{count} texts" if len(texts) > 1 else "1 text", count=len(texts))
    return table((both("text"), both("label"), both("probability")), rows, caption)


# --- the page ----------------------------------------------------------------------------------------------------


def build() -> None:
    """Lay out the tab and connect its events. Called inside the gr.Tab."""
    with gr.Row(elem_id="sentiment", elem_classes="two-columns"):
        with gr.Column(scale=5):
            text = gr.Textbox(
                label="Text", lines=4, max_lines=12, elem_id="sentiment-text",
                placeholder="A review in English or Korean",
            )  # fmt: skip
            example_list(
                [[example] for example in EXAMPLES], text, label="Or click one", elem_id="sentiment-examples",
            )  # fmt: skip
            language = gr.Radio(LANGUAGES, value="auto", label="Language")
            with gr.Accordion("Start from a photo", open=False):
                photo = photo_input(label="Photo", height=220, elem_id="sentiment-photo", alt_text="Your photo")
                gr.Markdown("Its caption becomes the text, for you to edit.")
        with gr.Column(scale=6):
            judgement = gr.HTML(HELLO, elem_id="judgement")
    with gr.Accordion("A file of texts", open=False):
        gr.Markdown(f"Plain text, one a line, at most {MAX_LINES:,} lines.")
        file = file_input(label="File", height=120, elem_id="sentiment-file", file_types=[".txt", ".csv", ".tsv"])
        lines = gr.HTML(elem_id="sentiment-lines")

    gr.on(
        [text.change, language.change], show_judgement, [text, language], judgement, **NETWORK, **INTERNAL,
        trigger_mode="always_last", show_progress="minimal",
    )  # fmt: skip
    photo.upload(show_caption, photo, text, **NETWORK, **INTERNAL)
    file.upload(show_file, [file, language], lines, **NETWORK, **INTERNAL)

    with gr.Row(visible=False):
        explain = gr.Checkbox(True, label="Explain")
        answer = gr.JSON(label="Result")
    gr.on([], sentiment, [text, language, explain], answer, api_name="sentiment", **NETWORK)
