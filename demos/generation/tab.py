"""The text generation tab: a network writes on, piece by piece, and shows how surprised it is at what it wrote."""

import json
import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from core.errors import InputError, UnrolledError
from demos.generation.sources import SOURCES
from demos.i18n import both
from demos.widgets import INTERNAL, NETWORK, explained, predict_module, problem, served

if TYPE_CHECKING:
    from core.input.tokenizers import Token

TITLE = "Writing"
PROMISE = "Shakespeare, C or a folk tune, written on character by character."
FIRST_CLICK = "#generation-write"  # what the first tab clicks on to show this one at work
BEGINNING = "ROMEO:\n"  # proposed for the corpus that is chosen first
HERE = Path(__file__).parent
ABCJS = HERE / "abcjs" / "abcjs-basic-min.js"
MAX_SHOWN = 4000  # pieces that a stream writes here: the command line writes longer texts
MAX_READ = 1500  # characters whose hidden units are shown

_HELLO = both("Choose a corpus and a beginning, and press “Write”: the text appears here as it is written.")
HELLO = f'<p class="hello">{_HELLO}</p>'
_SURPRISE = both(
    'Each piece is tinted by its surprise, -log of its probability: <span class="surprise-scale" '
    'aria-hidden="true"></span> from expected to 5 nats and more.'
)
SURPRISE = f'<p class="legend">{_SURPRISE}</p>'


# --- what the events do: values in, values out -------------------------------------------------------------------


def warm_up() -> None:
    """Load the network. Raises ModelError when it cannot be had."""
    predict_module("generation").get_predictor()


def write(
    corpus: str, prompt: str, temperature: float, top_k: int, top_p: float, length: int, seed: int,
    whole_bars: bool = True,
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """The text as HTML while it grows, and as it is."""
    try:
        predict = predict_module("generation")
        options = predict.GenerationOptions(temperature, top_k, top_p, length, seed, whole_bars)
        predictor = predict.get_predictor(corpus)
        pieces, notes = predictor.pieces(corpus, prompt)
        start, spans, text = "".join(pieces), [], []
        head = "".join(f'<p class="looked">{escape(note)}</p>' for note in notes)
        for number, burst in enumerate(predictor.stream(corpus, prompt, options)):
            spans += [surprise_span(token) for token in burst]
            text += [token.text for token in burst]
            if number % 2 == 0:
                yield page_html(head, start, spans), start + "".join(text)
        yield page_html(head, start, spans), start + "".join(text)
    except UnrolledError as error:
        yield problem(error), ""


def choose_corpus(corpus: str, prompt: str, proposed: str) -> tuple[str, str, str, dict, dict]:
    """The beginning, which stays if the visitor typed it, and the one that the corpus proposes; its samples as the
    network trained, and whether there are bars and a score."""
    own = prompt.strip() not in ("", proposed.strip())
    try:
        proposed = predict_module("generation").get_predictor(corpus).corpora[corpus][2]
    except (UnrolledError, KeyError):
        proposed = ""
    tunes = gr.update(visible=corpus == "folk")
    return prompt if own else proposed, proposed, show_moments(corpus), tunes, tunes


@explained
def show_following(corpus: str, prompt: str) -> str:
    """The likeliest next pieces as bars."""
    found = predict_module("generation").get_predictor(corpus).following(corpus, prompt)
    words = next((source.kind == "prose" for source in SOURCES if source.name == corpus), False)
    names = {" ": both("a rare word, spelt out")} if words else {}
    rows = "".join(
        f'<tr><th scope="row">{names.get(piece) or f"<code>{visible(piece)}</code>"}</th>'
        f'<td><span class="bar" style="--share: {p:.4f}"></span></td><td class="number">{p:.1%}</td></tr>'
        for piece, p in found
    )
    title = both("What the network expects next")
    return f'<p class="time">{title}</p><table class="bars"><tbody>{rows}</tbody></table>'


@explained
def show_units(corpus: str, text: str) -> str:
    """For each signal that varies in the text, the unit that follows it best, over the text."""
    from demos.generation.units import SHORTEST, best_units

    predictor = predict_module("generation").get_predictor(corpus)
    if predictor.corpora.get(corpus, ("", "characters"))[1] != "characters":
        raise InputError(
            "Hidden units are shown over characters: choose another corpus than the folk tunes or reviews."
        )
    reading = predictor.read(corpus, text[-MAX_READ:])
    characters = "".join(token.text for token in reading.tokens)
    if len(characters) < SHORTEST:
        raise InputError(f"The text is too short to tell: write at least {SHORTEST} characters first.")
    units = best_units(characters, reading.cells)
    if not units:
        raise InputError("Nothing in this text varies that a unit could follow: no lines, quotes or brackets.")
    size = predictor.model.config.decoder.hidden_size
    parts = []
    for unit in units:
        low, high = unit.values.min(), unit.values.max()
        shares = (unit.values - low) / max(1e-6, high - low)
        spans = "".join(
            f'<span class="cell" style="--p: {share:.2f}">{escape(character)}</span>'
            for character, share in zip(characters[:600], shares[:600], strict=True)
        )
        layer, number = divmod(unit.number, size)
        found = both(
            "{signal}: unit {number} of layer {layer}, correlation {score:.2f}",
            signal=escape(unit.signal.capitalize()), number=number, layer=layer + 1, score=unit.score,
        )  # fmt: skip
        parts.append(f'<h4>{found}</h4><div class="written small" tabindex="0">{spans}</div>')
    note = both("Each unit was chosen on the first half of the text and scored on the second.")
    return f'<p class="time">{note}</p>{"".join(parts)}'


def show_score(text: str) -> str:
    """The first tune of a text as a place for score.js to draw in."""
    from demos.generation.bars import check_bars
    from demos.generation.folk import to_abc, tunes

    found = tunes(text)
    if not found:
        return problem(InputError("There is no tune yet: choose the folk tunes and press Write."))
    bars = check_bars(found[0])
    told = both(
        "The first tune: {bars} bars, all complete."
        if bars.complete
        else "The first tune: {bars} bars, {wrong} that do not add up.",
        bars=bars.bars, wrong=bars.wrong,
    )  # fmt: skip
    return (
        f'<div data-abc="{escape(to_abc(found[0]))}"><p class="time">{told}</p>'
        '<button type="button" class="play" disabled>Play</button><div class="staves"></div></div>'
    )


def show_moments(corpus: str) -> str:
    """Samples of the same beginning from four moments of the training."""
    from core.checkpoint import checkpoint_folder  # brings PyTorch

    folder = next((source.checkpoint for source in SOURCES if source.name == corpus), "generation")
    file = checkpoint_folder(folder) / "moments.json"
    if not file.exists():
        return ""
    parts = []
    for moment in json.loads(file.read_text(encoding="utf-8")):
        if corpus in moment["samples"]:
            loss = moment["losses"][corpus]
            facts = both("After {step:,} steps: {loss:.2f} nats on the dev text", step=moment["step"], loss=loss)
            parts.append(
                f'<h4>{facts}</h4><div class="written small" tabindex="0">{escape(moment["samples"][corpus])}</div>'
            )
    return "".join(parts)


@served
def generation(
    corpus: str, prompt: str = "", temperature: float = 0.7, top_k: int = 0, top_p: float = 1.0, length: int = 600,
    seed: int = 1, whole_bars: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Write on after a beginning, in the manner of a corpus, with an LSTM, character by character or word by word.

    Parameters:
        corpus: tinyshakespeare, shakespeare, linux, latex, speeches, war_and_peace, folk or reviews
        prompt: a beginning; empty: the network begins
        temperature: 0 always takes the likeliest character, 1 samples as the network thinks, at most 5
        top_k: sample only among so many of the likeliest; 0: among all
        top_p: sample only among the likeliest of this probability together; 1: among all
        length: how many characters (of folk tunes: ABC tokens; of reviews: words and marks) to write, at most 20,000
        seed: the same seed writes the same text
        whole_bars: of folk tunes: sample within what lets every bar add up to the meter
    Returns:
        text (without the prompt), logprob in nats, prompt as it was read, tokens [{text, logprob}], notes on what was
        skipped or bounded, seconds
    """
    predict = predict_module("generation")
    options = predict.GenerationOptions(temperature, top_k, top_p, length, seed, whole_bars)
    return predict.get_predictor(corpus)(corpus, prompt, options).to_dict()


# --- how it looks ------------------------------------------------------------------------------------------------


def page_html(head: str, prompt: str, spans: Sequence[str]) -> str:
    """What has been written until now."""
    region = (
        'class="written" role="region" aria-label="Written text" tabindex="0"'  # one scrolls it by the keyboard too
    )
    return f'{head}<div {region}><span class="prompt">{escape(prompt)}</span>{"".join(spans)}</div>{SURPRISE}'


def surprise_span(token: "Token") -> str:
    """A piece, tinted by its surprise; 5 nats and more have the full tint."""
    title = f"{visible(token.text)}: {-token.logprob:.2f} nats, probability {math.exp(token.logprob):.2g}"
    share = min(1.0, max(0.0, -token.logprob / 5))
    return f'<span style="--p: {share:.2f}" title="{title}">{escape(token.text)}</span>'


def visible(piece: str) -> str:
    """A piece with its spaces and line ends as signs, as HTML."""
    return escape(piece.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥"))


# --- the page ----------------------------------------------------------------------------------------------------


def build() -> None:
    """Lay out the tab and connect its events. Called inside the gr.Tab."""
    gr.set_static_paths([ABCJS.parent])
    script = (HERE / "score.js").read_text().replace("ABCJS_URL", f"gradio_api/file={ABCJS.as_posix()}")
    with gr.Row(elem_id="generation", elem_classes="two-columns"):
        with gr.Column(scale=5):
            corpus = gr.Radio([(s.title, s.name) for s in SOURCES], value="tinyshakespeare", label="Corpus")
            prompt = gr.Textbox(BEGINNING, label="Beginning", lines=3, max_lines=10, elem_id="generation-prompt")
            proposed = gr.State(BEGINNING)
            with gr.Row():
                start = gr.Button("Write", variant="primary", elem_id="generation-write")
                stop = gr.Button("Stop")
            with gr.Accordion("How to sample", open=False):
                temperature = gr.Slider(0, 2, 0.7, step=0.05, label="Temperature", info="0: always the likeliest")
                top_k = gr.Slider(0, 100, 0, step=1, precision=0, label="Top-k", info="0: among all")
                top_p = gr.Slider(0.05, 1, 1, step=0.05, label="Top-p", info="1: among all")
                length = gr.Slider(50, MAX_SHOWN, 600, step=50, precision=0, label="Length", info="characters, tokens")
                seed = gr.Number(1, label="Seed", precision=0, minimum=0)
                info = "Sample within what lets each add up to the meter."
                whole_bars = gr.Checkbox(True, label="Whole bars only", info=info, visible=False)
            following = gr.HTML(elem_id="following")
        with gr.Column(scale=6):
            written = gr.HTML(HELLO, elem_id="written")
            text = gr.Textbox(visible=False)
            with gr.Column(visible=False) as music:
                waiting = f'<p class="time">{both("The score appears here when the tune is written.")}</p>'
                score = gr.HTML(waiting, js_on_load=script, elem_id="score")
    with gr.Accordion("As it trained", open=False) as training:
        gr.Markdown("The same beginning, continued by the network at four moments of its training, temperature 0.7.")
        moments = gr.HTML(elem_id="moments")
    with gr.Accordion("What single units know", open=False):
        gr.Markdown(
            "Karpathy et al. (2015) found units that count lines or wait for a closing quote. Here all units are "
            "searched over the text above, or over the beginning where nothing is written yet."
        )
        search = gr.Button("Search the units", elem_classes="act")
        units = gr.HTML(elem_id="units")

    inputs = [corpus, prompt, temperature, top_k, top_p, length, seed, whole_bars]
    writing = start.click(
        write, inputs, [written, text], **NETWORK, **INTERNAL, show_progress="minimal", show_progress_on=written
    )
    stop.click(None, cancels=writing, **INTERNAL)
    writing.then(show_score, text, score, **INTERNAL, show_progress="hidden")
    corpus.change(
        choose_corpus, [corpus, prompt, proposed], [prompt, proposed, moments, music, whole_bars],
        **INTERNAL, show_progress="hidden",
    )  # fmt: skip
    gr.on(
        [prompt.focus, prompt.change, corpus.change], show_following, [corpus, prompt], following,
        **NETWORK, **INTERNAL, trigger_mode="always_last", show_progress="hidden",
    )  # fmt: skip
    training.expand(show_moments, corpus, moments, **INTERNAL, show_progress="hidden")
    search.click(
        lambda corpus, text, prompt: show_units(corpus, text or prompt), [corpus, text, prompt], units,
        **NETWORK, **INTERNAL,
    )  # fmt: skip

    with gr.Row(visible=False):
        answer = gr.JSON(label="Result")
        size = gr.Number(600, label="Length", precision=0)
    gr.on(
        [],
        generation,
        [corpus, prompt, temperature, top_k, top_p, size, seed, whole_bars],
        answer,
        api_name="generation",
        **NETWORK,
    )
