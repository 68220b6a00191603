"""What the translation tab draws: the translations, their alignment, and the beam as it grew over a sentence."""

from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from demos.i18n import both
from demos.widgets import LEGEND, table, word_buttons

if TYPE_CHECKING:
    from demos.translation.results import BeamTrace, Translation, TranslationResult

SHOWN_CHARACTERS = 8000  # of a translation as word buttons; a longer one is shown as plain text
END = "<eos>"
SCORES = {  # what the page calls each score of demos.translation.reranking, and says of it
    "channel": (
        "back",
        "Back: log-probability of your text as a translation of that one, by its length like the first.",
    ),
    "backward": (
        "backwards",
        "Backwards: the same of that one, by a decoder that writes from the last word to the first.",
    ),
}


def translations_html(result: "TranslationResult", length_penalty: float, weights: Mapping[str, float]) -> str:
    """The translations as a list of word buttons. weights: of the scores that ranked them, where they have some."""
    items = []
    for number, each in enumerate(result.hypotheses):
        if len(each.text) > SHOWN_CHARACTERS:
            words = f'<div class="words long">{escape(each.text)}</div>'
        else:
            texts, logprobs = words_of(each)
            buttons = word_buttons(texts, logprobs, number)
            words = f'<div class="words" role="group" aria-label="{escape(each.text)}">{buttons}</div>'
        scores = "".join(
            f'<span class="logprob">{both(label)} {each.scores[name]:.2f}</span>'
            for name, (label, _) in SCORES.items()
            if name in each.scores
        )
        items.append(
            f'<li>{words}<div class="facts"><span class="logprob">logprob {each.logprob:.2f}</span>{scores}'
            f'<button type="button" class="all" data-sequence="{number}" data-word="all" aria-pressed="false">'
            f"{both('alignment')}</button></div></li>"
        )
    power = "" if length_penalty == 1 else f"<sup>{length_penalty:g}</sup>"
    rule = f"logprob / length{power}" if length_penalty else "logprob"
    ranked_by = [name for name in SCORES if weights.get(name) and name in result.hypotheses[0].scores]
    rule += "".join(f" + {weights[name]:g} × {both(SCORES[name][0])}" for name in ranked_by)
    found = both(
        "{count} translations in {seconds:.2f} s, ranked by {rule}."
        if len(items) > 1
        else "1 translation in {seconds:.2f} s.",
        count=len(items), seconds=result.seconds, rule=rule,
    )  # fmt: skip
    found = " ".join([found, *(both(SCORES[name][1]) for name in ranked_by)])
    below = f'<div class="below">{LEGEND}<p class="time">{found}</p></div>'
    return f'<ol class="captions translations">{"".join(items)}</ol>{below}'


def words_of(each: "Translation") -> tuple[list[str], list[float]]:
    """The words of a translation with their log-probabilities: the sums over their pieces."""
    from demos.translation.alignment import group_words

    tokens = [token for token in each.tokens if token.text != END]
    words = group_words([token.text for token in tokens])
    return [word for word, _ in words], [sum(tokens[p].logprob for p in places) for _, places in words]


def alignment_of(each: "Translation", word: int) -> tuple[Image.Image | None, str]:
    """The alignment of the sentence of a translation that its word `word` belongs to, as a picture, and a note."""
    from core.plots import alignment_matrix

    alignments = each.alignments
    place, first = 0, 0
    while place + 1 < len(alignments) and word >= first + len(alignments[place].target):
        first += len(alignments[place].target)
        place += 1
    chosen = alignments[place]
    if not chosen.source or not chosen.target:
        nothing = both("Nothing was translated here, so there is nothing to align.")
        return None, f'<p class="looked">{nothing}</p>'
    figure = alignment_matrix(chosen.weights, _short(chosen.source), _short(chosen.target))
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    note = both("Each row is a word of the translation; the darker a cell, the more it looked at that word of yours.")
    if len(alignments) > 1:
        note += " " + both("Sentence {place} of {count}.", place=place + 1, count=len(alignments))
    return Image.open(buffer).convert("RGB"), f'<p class="looked">{note}</p>'


def _short(words: Sequence[str], longest: int = 24) -> list[str]:
    return [word if len(word) <= longest else word[: longest - 1] + "…" for word in words]


def beam_html(trace: "BeamTrace") -> str:
    """A row per step: the hypotheses that were alive, where each ended, and the way of the winner."""
    rows = []
    for number, step in enumerate(trace.steps):
        following = trace.steps[number + 1] if number + 1 < len(trace.steps) else None
        goes_on = {*following.parents, *(parent for parent, _ in following.ended)} if following else set()
        cells = [
            _beam_cell(word, logprob, slot == step.winner, slot in goes_on)
            for slot, (word, logprob) in enumerate(zip(trace.words[number], step.logprobs, strict=True))
        ]
        ended = ", ".join(
            f"{both('beam {number}', number=parent + 1)} ({logprob:.2f})" for parent, logprob in step.ended
        )
        rows.append((str(number + 1), *cells, ended))
    header = (
        both("step"),
        *(both("beam {number}", number=slot + 1) for slot in range(len(trace.words[0]))),
        both("ended"),
    )
    about = both(
        "Each cell is the token that a hypothesis took and its log-probability so far. Outlined: the winner's way. "
        "Pale: nothing grew from it. A hypothesis ends when it takes the end mark. Translating back may then prefer "
        "another one."
    )
    grown = table(header, rows, both("The winner: “{text}”", text=escape(trace.best)))
    return f'<div class="beams">{grown}<p class="looked">{about}</p></div>'


def _beam_cell(piece: str, logprob: float, won: bool, goes_on: bool) -> str:
    if logprob == float("-inf"):
        return ""
    kind = "won" if won else "alive" if goes_on else "lost"
    label = {"won": " (winner)", "alive": "", "lost": " (dropped next)"}[kind]
    return (
        f'<span class="beam {kind}" title="{logprob:.2f}{label}">{escape(piece.replace("▁", "␣"))}</span> {logprob:.1f}'
    )
