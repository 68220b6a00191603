"""The text generation tab: a network writes on, piece by piece, and shows how surprised it is at what it wrote."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from core.errors import InputError, UnrolledError
from demos.generation.sources import SOURCES
from demos.generation.view import (
    HELLO,
    WAITING,
    following_html,
    moments_html,
    score_html,
    surprise_span,
    units_html,
    written_html,
)
from demos.widgets import INTERNAL, NETWORK, explained, predict_module, problem, served

TITLE = "Writing"
PROMISE = "Shakespeare, C or a folk tune, written on character by character."
FIRST_CLICK = "#generation-write"  # what the first tab clicks on to show this one at work
HERE = Path(__file__).parent
ABCJS = HERE / "abcjs" / "abcjs-basic-min.js"
MAX_SHOWN = 4000  # pieces that a stream writes here: the command line writes longer texts
MAX_READ = 1500  # characters whose hidden units are shown


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
        for number, chunk in enumerate(predictor.stream(corpus, prompt, options)):
            spans += map(surprise_span, chunk)
            text += [token.text for token in chunk]
            if number % 2 == 0:
                yield written_html(notes, start, spans), start + "".join(text)
        yield written_html(notes, start, spans), start + "".join(text)
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
    predictor = predict_module("generation").get_predictor(corpus)
    return following_html(predictor.following(corpus, prompt), prose=predictor.corpora[corpus][1] == "prose")


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
    return units_html(units, characters, predictor.model.config.decoder.hidden_size)


def show_score(text: str) -> str:
    """The first tune of a text as a place for score.js to draw in."""
    from demos.generation.bars import check_bars
    from demos.generation.folk import to_abc, tunes

    found = tunes(text)
    if not found:
        return problem(InputError("There is no tune yet: choose the folk tunes and press Write."))
    return score_html(to_abc(found[0]), check_bars(found[0]))


def show_moments(corpus: str) -> str:
    """Samples of the same beginning from four moments of the training."""
    from core.checkpoint import checkpoint_folder  # brings PyTorch

    folder = next((source.checkpoint for source in SOURCES if source.name == corpus), "generation")
    file = checkpoint_folder(folder) / "moments.json"
    return moments_html(json.loads(file.read_text(encoding="utf-8")), corpus) if file.exists() else ""


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


# --- the page ----------------------------------------------------------------------------------------------------


def build() -> None:
    """Lay out the tab and connect its events. Called inside the gr.Tab."""
    gr.set_static_paths([ABCJS.parent])
    script = (HERE / "score.js").read_text().replace("ABCJS_URL", f"gradio_api/file={ABCJS.as_posix()}")
    with gr.Row(elem_id="generation", elem_classes="two-columns"):
        with gr.Column(scale=5):
            corpus = gr.Radio([(s.title, s.name) for s in SOURCES], value=SOURCES[0].name, label="Corpus")
            prompt = gr.Textbox(
                SOURCES[0].prompt, label="Beginning", lines=3, max_lines=10, elem_id="generation-prompt"
            )
            proposed = gr.State(SOURCES[0].prompt)
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
                score = gr.HTML(WAITING, js_on_load=script, elem_id="score")
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
