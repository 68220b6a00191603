"""What the lipreading tab draws: results as HTML and pictures, without any event."""

import base64
import io
import json
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from demos.i18n import both
from demos.widgets import table, word_spans

if TYPE_CHECKING:
    from demos.lipreading.animator import DrawnClip
    from demos.lipreading.predict import LipreadingResult


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
    legend = both("log-probability of each reading")
    if result.insertion_penalty:
        legend = both(
            "log-probability of each reading; ranked by it less {penalty} for each word",
            penalty=result.insertion_penalty,
        )
    return (
        f'<p class="answer">{best}</p>{notes}<ol class="readings">{rest}</ol>'
        f'<div class="below"><p class="legend">{legend}</p>'
        f'<p class="time">{both("{count} frames", count=len(result.frames))}, {result.seconds:.2f} s</p></div>'
    )


def clips_html(clips: "list[DrawnClip]") -> str:
    """The drawn clips, with what is said, heard and seen; where two look the same, that is said."""
    from demos.lipreading.phonemes import pronounce

    parts = []
    for clip in clips:
        source = f"data:video/mp4;base64,{base64.b64encode(mp4(clip)).decode()}"
        cells = "".join(
            f'<tr><th scope="row">{escape(p.word)}</th><td><code>{" ".join(p.phonemes)}</code></td>'
            f"<td>{escape(', '.join(p.visemes))}</td></tr>"
            for p in pronounce(" ".join(clip.words))
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
    if len(clips) == 2:
        visemes = [[v for p in pronounce(" ".join(clip.words)) for v in p.visemes] for clip in clips]
        same = visemes[0] == visemes[1]
        text = both(
            "Both are the same to the eye: every sound of the one looks like its partner in the other. No network, and "
            "no person, can tell them apart by the lips."
            if same
            else "They differ to the eye, too."
        )
        lesson = f'<p class="looked lesson">{text}</p>'
    return f'<div class="drawn-pair">{"".join(parts)}</div>{lesson}'


def mp4(clip: "DrawnClip") -> bytes:
    """A drawn clip as a file that browsers play."""
    from core.input.video import save_video
    from demos.lipreading.animator import FPS

    buffer = io.BytesIO()
    save_video(buffer, clip.video.frames, FPS)
    return buffer.getvalue()


def time_line_picture(result: "LipreadingResult", saliency: np.ndarray) -> Image.Image:
    """The figure of demos.lipreading.figures as a picture; saliency: (T, H, W) 0..1, of the crops."""
    from demos.lipreading.figures import time_line

    buffer = io.BytesIO()
    time_line(result, saliency).savefig(buffer, format="png", dpi=110)
    return Image.open(buffer).convert("RGB")


def confusions_html(result: "LipreadingResult") -> str:
    """How the words at hand fared in the test set: what they were taken for, and what was taken for them."""
    from core.checkpoint import checkpoint_folder

    file = checkpoint_folder("lipreading") / result.model / "metrics.json"
    if not file.exists():
        return ""
    entries = json.loads(file.read_text())["evaluations"]
    entry = next((e for e in entries if e["split"] == "test" and "confusions" in e), None)
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
