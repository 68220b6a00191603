"""What the text generation tab draws, as HTML."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from demos.i18n import both

if TYPE_CHECKING:
    from core.input.tokenizers import Token
    from demos.generation.bars import BarReport
    from demos.generation.units import Unit

SHOWN = 600  # characters that a unit is drawn over

_HELLO = both("Choose a corpus and a beginning, and press “Write”: the text appears here as it is written.")
HELLO = f'<p class="hello">{_HELLO}</p>'
_SURPRISE = both(
    'Each piece is tinted by its surprise, -log of its probability: <span class="surprise-scale" '
    'aria-hidden="true"></span> from expected to 5 nats and more.'
)
SURPRISE = f'<p class="legend">{_SURPRISE}</p>'
WAITING = f'<p class="time">{both("The score appears here when the tune is written.")}</p>'


def written_html(notes: Sequence[str], prompt: str, spans: Sequence[str]) -> str:
    """What has been written until now: the prompt and a span for each piece."""
    head = "".join(f'<p class="looked">{escape(note)}</p>' for note in notes)
    region = 'class="written" role="region" aria-label="Written text" tabindex="0"'  # so that the keyboard can scroll
    return f'{head}<div {region}><span class="prompt">{escape(prompt)}</span>{"".join(spans)}</div>{SURPRISE}'


def surprise_span(token: "Token") -> str:
    """A piece, tinted by its surprise; 5 nats and more have the full tint."""
    title = f"{visible(token.text)}: {-token.logprob:.2f} nats, probability {math.exp(token.logprob):.2g}"
    share = min(1.0, max(0.0, -token.logprob / 5))
    return f'<span style="--p: {share:.2f}" title="{title}">{escape(token.text)}</span>'


def visible(piece: str) -> str:
    """A piece with its spaces and line ends as signs, as HTML."""
    return escape(piece.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥"))


def following_html(found: Sequence[tuple[str, float]], prose: bool) -> str:
    """The likeliest next pieces and their probabilities as bars."""
    names = {" ": both("a rare word, spelt out")} if prose else {}
    rows = "".join(
        f'<tr><th scope="row">{names.get(piece) or f"<code>{visible(piece)}</code>"}</th>'
        f'<td><span class="bar" style="--share: {p:.4f}"></span></td><td class="number">{p:.1%}</td></tr>'
        for piece, p in found
    )
    title = both("What the network expects next")
    return f'<p class="time">{title}</p><table class="bars"><tbody>{rows}</tbody></table>'


def units_html(units: Sequence["Unit"], text: str, hidden_size: int) -> str:
    """Each unit's cell over the beginning of a text."""
    note = both("Each unit was chosen on the first half of the text and scored on the second.")
    return f'<p class="time">{note}</p>{"".join(_unit_html(unit, text, hidden_size) for unit in units)}'


def _unit_html(unit: "Unit", text: str, hidden_size: int) -> str:
    low, high = unit.values.min(), unit.values.max()
    shares = (unit.values - low) / max(1e-6, high - low)
    spans = "".join(
        f'<span class="cell" style="--p: {share:.2f}">{escape(character)}</span>'
        for character, share in zip(text[:SHOWN], shares[:SHOWN], strict=True)
    )
    layer, number = divmod(unit.number, hidden_size)
    title = both(
        "{signal}: unit {number} of layer {layer}, correlation {score:.2f}",
        signal=escape(unit.signal.capitalize()), number=number, layer=layer + 1, score=unit.score,
    )  # fmt: skip
    return _titled(title, spans)


def moments_html(moments: Iterable[Mapping[str, Any]], corpus: str) -> str:
    """Samples of a corpus from some moments of the training."""
    return "".join(
        _titled(
            both(
                "After {step:,} steps: {loss:.2f} nats on the dev text",
                step=moment["step"], loss=moment["losses"][corpus],
            ),
            escape(moment["samples"][corpus]),
        )
        for moment in moments
        if corpus in moment["samples"]
    )  # fmt: skip


def _titled(title: str, content: str) -> str:
    return f'<h4>{title}</h4><div class="written small" tabindex="0">{content}</div>'


def score_html(abc: str, bars: "BarReport") -> str:
    """A tune in ABC notation for score.js to draw and play, and whether its bars add up."""
    said = both(
        "The first tune: {bars} bars, all complete."
        if bars.complete
        else "The first tune: {bars} bars, {wrong} that do not add up.",
        bars=bars.bars, wrong=bars.wrong,
    )  # fmt: skip
    return (
        f'<div data-abc="{escape(abc)}"><p class="time">{said}</p>'
        '<button type="button" class="play" disabled>Play</button><div class="staves"></div></div>'
    )
