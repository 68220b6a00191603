"""The first tab: what this is, the core that all demos share as a picture, and a click that shows each at work."""

from collections.abc import Sequence
from html import escape

import gradio as gr

from demos import DEMOS
from demos.i18n import both
from demos.protocol import Tab

TITLE = "Start"

_WORDS = (
    both(
        "Here recurrent neural networks look at photos, answer, translate, judge, write and read lips, each trained "
        "by this project's own code and small enough for a laptop."
    ),
    both("Every tab is one of them: give it something of your own, and see beside its answer what went on inside."),
    both("What you upload stays on the machine that runs this page, and is deleted within two hours."),
)

# The colours are the page's own variables, so that the picture is right in light and dark.
_PICTURE = f"""
<svg viewBox="0 0 720 190" role="img" aria-label="An encoder turns a photo, a sentence or a clip into a memory; a
decoder made of LSTM cells looks at the memory and gives one word after another.">
<defs><marker id="tip" markerWidth="7" markerHeight="7" refX="6" refY="3.5" orient="auto">
<path d="M0,0 L7,3.5 L0,7 z" fill="currentColor"/></marker></defs>
<g fill="none" stroke="currentColor" stroke-width="1.5">
<rect x="10" y="60" width="110" height="64" rx="8"/><rect x="165" y="60" width="120" height="64" rx="8"
 class="part"/><g class="memory"><rect x="335" y="48" width="20" height="88"/><rect x="359" y="48" width="20"
 height="88"/><rect x="383" y="48" width="20" height="88"/><rect x="407" y="48" width="20" height="88"/></g>
<rect x="490" y="60" width="52" height="64" rx="8" class="part"/><rect x="572" y="60" width="52" height="64" rx="8"
 class="part"/><rect x="654" y="60" width="52" height="64" rx="8" class="part"/>
<g marker-end="url(#tip)"><path d="M120,92 H161"/><path d="M285,92 H329"/><path d="M542,92 H568"/><path d="M624,92
 H650"/><path d="M516,60 V30"/><path d="M598,60 V30"/><path d="M680,60 V30"/>
<path d="M417,136 C440,176 500,176 515,128" class="look"/><path d="M417,136 C450,190 580,190 597,128" class="look"/>
<path d="M417,136 C460,204 660,204 679,128" class="look"/></g></g>
<g fill="currentColor" font-size="14" text-anchor="middle"><text x="65" y="88">{both("photo, text", "tspan")}</text>
<text x="65" y="108">{both("or clip", "tspan")}</text><text x="225" y="88">{both("encoder", "tspan")}</text>
<text x="225" y="108">{both("CNN or LSTM", "tspan")}</text>
<text x="381" y="36">{both("memory", "tspan")}</text><text x="516" y="97">LSTM</text><text x="598" y="97">LSTM</text>
<text x="680" y="97">LSTM</text><text x="516" y="20">a</text><text x="598" y="20">dog</text>
<text x="680" y="20">runs</text>
<text x="458" y="82" font-size="12" class="small">{both("attention", "tspan")}</text></g></svg>
"""

# Opens the tab, waits until it is laid out, and clicks on its first example.
_SHOW = """
element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-tab]');
    if (!button) return;
    document.querySelector(`button[role=tab]#tab-${button.dataset.tab}-button`)?.click();
    const until = Date.now() + 20000;
    const timer = setInterval(() => {
        const target = document.querySelector(button.dataset.click);
        if (target && target.offsetParent) {
            clearInterval(timer);
            target.click();
        } else if (Date.now() > until) {
            clearInterval(timer);
        }
    }, 100);
});
"""


def build(tabs: Sequence[Tab]) -> None:
    """Lay out the tab. Called inside the gr.Tab."""
    cards = "".join(
        f'<li><h3>{both(tab.TITLE)}</h3><p>{both(tab.PROMISE)}</p><button type="button" data-tab="{name}" '
        f'data-click="{escape(tab.FIRST_CLICK)}">{both("Show an example")}'
        f'<span class="unseen">: {both(tab.TITLE)}</span></button></li>'
        for name, tab in zip(DEMOS, tabs, strict=True)
    )
    gr.HTML(f'<p>{" ".join(_WORDS)}</p>{_PICTURE}<ul class="cards">{cards}</ul>', js_on_load=_SHOW, elem_id="start")
