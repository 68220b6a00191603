"""The beam as it grew over a sentence, as a table."""

from html import escape
from typing import TYPE_CHECKING

from demos.i18n import both
from demos.widgets import table

if TYPE_CHECKING:
    from demos.translation.results import BeamTrace


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
