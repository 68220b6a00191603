"""The golden files: where they lie, how they are written, and what of an answer may differ from them.

In float32 nothing but the last digits may: numbers by TOLERANCE, texts not at all. Where a task computes in bfloat16,
because the processor does that fast, near ties fall the other way and a text that is sampled soon goes another way. So
there an answer has to be one of the likeliest of the golden file, with a log-probability not far from the one there,
and what is written piece by piece is compared as far as both wrote the same.
"""

import json
import math
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from tests.golden.cases import Record

FOLDER = Path(__file__).parent
DIGITS = 4  # of a number in a file
TOLERANCE = 1e-2  # nats or log-odds, of a whole sequence as of one piece; processors differ by a third of it at most
LOOSE_TEXT, LOOSE_PIECE = 0.4, 0.2  # nats, where the network computes in bfloat16; three times what was seen
FLOAT32 = ("sentiment", "lipreading")  # tasks that compute in float32 everywhere


def computes_loosely(checkpoint: str) -> bool:
    """Whether a checkpoint's network computes in bfloat16 on this processor."""
    return not checkpoint.startswith(FLOAT32) and cpu_has_bfloat16()


def cpu_has_bfloat16() -> bool:
    """What the networks themselves go by."""
    try:
        from core.fast.precision import cpu_has_bfloat16 as asked
    except ImportError:
        from core.precision import cpu_has_bfloat16 as asked
    return asked()


def golden_file(checkpoint: str) -> Path:
    """sentiment/english -> sentiment-english.json"""
    return FOLDER / f"{checkpoint.replace('/', '-')}.json"


def load(checkpoint: str) -> dict[str, Record]:
    """{name of the case: its record}"""
    return json.loads(golden_file(checkpoint).read_text(encoding="utf-8"))


def save(checkpoint: str, records: dict[str, Record]) -> None:
    """Write a golden file, a field a line, so that a diff shows what has changed."""
    cases = []
    for name, record in records.items():
        fields = [f"  {_json(field)}: {_json(_rounded(value))}" for field, value in record.items()]
        cases.append(f" {_json(name)}: {{\n" + ",\n".join(fields) + "\n }")
    golden_file(checkpoint).write_text("{\n" + ",\n".join(cases) + "\n}\n", encoding="utf-8")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, DIGITS) if isinstance(value, float) else value


# --- what differs ------------------------------------------------------------------------------------------------


def differences(golden: dict[str, Record], found: dict[str, Record], loosely: bool) -> list[str]:
    """A line for each difference between two {name of the case: record}; none where they agree."""
    lines = [f"{name}: only in the golden file" for name in golden if name not in found]
    lines += [f"{name}: not in the golden file" for name in found if name not in golden]
    for name in golden:
        if name in found:
            compared = _loose_differences if loosely else _exact_differences
            lines += [f"{name}: {line}" for line in compared(golden[name], found[name])]
    return lines


def _exact_differences(golden: Any, found: Any, where: str = "", tolerance: float = TOLERANCE) -> Iterator[str]:
    """Values of JSON, all the way down. The order of an object's fields does not count."""
    place = where or "the record"
    if isinstance(golden, dict) and isinstance(found, dict):
        if golden.keys() != found.keys():
            yield f"{place} has {list(found)} instead of {list(golden)}"
        for key in golden.keys() & found.keys():
            yield from _exact_differences(golden[key], found[key], f"{where}/{key}" if where else key, tolerance)
    elif isinstance(golden, list) and isinstance(found, list | tuple):
        if len(golden) != len(found):
            yield f"{place} has {len(found)} entries instead of {len(golden)}"
        for number, pair in enumerate(zip(golden, found, strict=False)):
            yield from _exact_differences(*pair, f"{place}[{number}]", tolerance)
    elif _is_number(golden) and _is_number(found):
        if not math.isclose(golden, found, rel_tol=0, abs_tol=tolerance):
            yield f"{place} is {found:.{DIGITS}f} instead of {golden:.{DIGITS}f}"
    elif golden != found:
        yield f"{place} is {found!r} instead of {golden!r}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _loose_differences(golden: Record, found: Record) -> Iterator[str]:
    yield from _exact_differences(golden["input"], found["input"], "input")
    if "others" in golden:
        likely = {golden["text"]: golden["logprob"], **golden["others"]}
        if found["text"] not in likely:
            yield f"text is {found['text']!r} instead of one of {list(likely)}"
        else:
            yield from _exact_differences(likely[found["text"]], found["logprob"], "logprob", LOOSE_TEXT)
    elif "tokens" in golden:
        pairs = zip(golden["tokens"], found["tokens"], strict=False)
        same = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        if not same or len(golden["tokens"]) != len(found["tokens"]):
            yield f"{len(found['tokens'])} tokens begin with {found['tokens'][:5]} instead of {golden['tokens'][:5]}"
        logprobs = (record["token_logprobs"][:same] for record in (golden, found))
        yield from _exact_differences(*logprobs, "token_logprobs", LOOSE_PIECE)
    else:
        yield from _exact_differences(golden, found, tolerance=LOOSE_TEXT)
