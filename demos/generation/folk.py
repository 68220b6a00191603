"""Folk tunes in ABC tokens: finding them in a text, parsing, what abcjs is given to draw and play."""

import contextlib
import io
import re


def tunes(text: str) -> list[str]:
    """The tunes of a corpus or of a sample: blocks of lines with a blank one between, each with its meter."""
    return [block.strip() for block in re.split(r"\n\s*\n", text) if block.lstrip().startswith("M:")]


def to_abc(tune: str, number: int = 1) -> str:
    """A tune in tokens -> ABC notation with the fields that a parser expects, notes joined as beamed by the bar."""
    header = [line.strip() for line in tune.split("\n") if re.match(r"[MKL]:", line.strip())]
    body = [line.strip() for line in tune.split("\n") if line.strip() and not re.match(r"[A-Z]:", line.strip())]
    meter = next((line for line in header if line.startswith("M:")), "M:4/4")
    key = next((line for line in header if line.startswith("K:")), "K:C")
    music = re.sub(r" (?=[\d/]+[<>]?(?:\s|$))", "", "\n".join(body))  # a length stands at its note,
    music = re.sub(r" *([<>]) *", r"\1", music)  # as a broken rhythm does at both of its notes,
    music = re.sub(r"(\(\d|\[) +(?=[\w^_=])", r"\1", music)  # and a triplet's or chord's sign at its first
    return f"X:{number}\n{meter}\nL:1/8\n{key}\n{music}\n"


def parses(tune: str) -> bool:
    """Whether music21, a musicologist's library, reads a tune and finds notes. Raises ImportError without it."""
    from music21 import converter

    try:
        with contextlib.redirect_stderr(io.StringIO()):
            score = converter.parseData(to_abc(tune), format="abc")
        return len(list(score.recurse().notes)) > 0
    except Exception:  # whatever its parser stumbles over
        return False
