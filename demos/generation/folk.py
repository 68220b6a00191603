"""Folk tunes in ABC tokens: whole bars, parsing, what abcjs is given to draw and play."""

import contextlib
import io
import re
from dataclasses import dataclass
from fractions import Fraction

_TOKEN = re.compile(r"(\S+)")
_NOTE = re.compile(r"(?:\^\^?|__?|=)?[A-Ga-g][,']*$|[zx]$")
_LENGTH = re.compile(r"\d*(/\d*)*$")
_BAR = re.compile(r"[:|\[\]]*\|[:|\]\d]*$|\|?:+\|?$|::$")
_METER = re.compile(r"M:(\d+)/(\d+)")
_TUPLETS = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}  # (p: p notes in the time of so many


@dataclass(frozen=True)
class BarReport:
    """What is to be said of a tune's bars."""

    bars: int
    wrong: int  # bars between two bar lines that are neither full nor, at the start or end of a part, a pick-up

    @property
    def complete(self) -> bool:
        """Whether there are bars, and all of them add up."""
        return self.bars > 0 and not self.wrong


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


def check_bars(tune: str) -> BarReport:
    """Add up every bar, in eighths, against the meter. First and last bars of a part may be pick-ups."""
    found = _METER.search(tune)
    if not found:
        return BarReport(0, 0)
    full = Fraction(8 * int(found[1]), int(found[2]))
    sums, sum_, factor, left, last = [], Fraction(0), Fraction(1), 0, Fraction(0)
    inside, chord = False, Fraction(0)
    for token in _TOKEN.findall("\n".join(line for line in tune.split("\n") if not re.match(r"\s*[A-Z]:", line))):
        if _BAR.match(token) and token not in "[]":
            if sum_:
                sums.append((sum_, ":" in token or "]" in token or "||" in token))
            sum_, left, factor, last = Fraction(0), 0, Fraction(1), Fraction(0)
        elif token == "[":
            inside, chord = True, Fraction(0)
        elif token == "]" and inside:
            inside, last = False, chord
            sum_ += chord
        elif token.startswith("(") and token[1:2].isdigit():
            left = int(token[1])
            factor = Fraction(_TUPLETS.get(left, 2), left)
        elif _NOTE.match(token):
            factor = factor if left else Fraction(1)
            left = max(0, left - 1)
            last = factor
            if inside:
                chord = chord or last
            else:
                sum_ += last
        elif _LENGTH.match(token) and last and not inside:
            sum_ += last * (_length(token) - 1)
        elif token in "<>" and last:
            pass  # lengthens one note by what it takes from the next
    if sum_:
        sums.append((sum_, True))
    wrong, starts = 0, True
    for length, ends in sums:
        pick_up = (starts or ends) and length < full
        if length != full and not pick_up:
            wrong += 1
        starts = ends
    return BarReport(len(sums), wrong)


def _length(token: str) -> Fraction:
    """ "3" -> 3, "/2" -> 1/2, "3/2" -> 3/2, "/" -> 1/2"""
    top, *rest = token.split("/")
    value = Fraction(int(top or 1))
    for part in rest:
        value /= int(part or 2)
    return value


def parses(tune: str) -> bool:
    """Whether music21, a musicologist's library, reads a tune and finds notes. Raises ImportError without it."""
    from music21 import converter

    try:
        with contextlib.redirect_stderr(io.StringIO()):
            score = converter.parseData(to_abc(tune), format="abc")
        return len(list(score.recurse().notes)) > 0
    except Exception:  # whatever its parser stumbles over
        return False
