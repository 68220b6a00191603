"""JSON Lines in and out, the same for every demo: one request per line, one answer per line, in order."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from core.errors import InputError, UnrolledError

Answer = dict[str, Any] | UnrolledError


def read_requests(
    lines: Iterable[str], required: Iterable[str], optional: Iterable[str]
) -> Iterator[dict | InputError]:
    """Each line as a request, or the InputError that says what is wrong with it. Blank lines are skipped."""
    required, allowed = set(required), {*required, *optional}
    for line in lines:
        if line.strip():
            yield _read_request(line, required, allowed)


def _read_request(line: str, required: set[str], allowed: set[str]) -> dict | InputError:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        return InputError(f"This line is not JSON ({error}): write one request like {_example(required)} per line.")
    if not isinstance(request, dict):
        return InputError(f"A request is a JSON object like {_example(required)}, not {type(request).__name__}.")
    if missing := required - request.keys():
        return InputError(f"The request lacks {', '.join(sorted(missing))}.")
    if unknown := request.keys() - allowed:
        return InputError(f"Unknown field {', '.join(sorted(unknown))}: the fields are {', '.join(sorted(allowed))}.")
    return request


def _example(required: set[str]) -> str:
    return json.dumps(dict.fromkeys(sorted(required), "..."))


def write_answers(answers: Iterable[Answer], out: TextIO | None = None) -> int:
    """One JSON object per answer, {"error": sentence} for what could not be served. Returns 1 if any, else 0."""
    out, status = out or sys.stdout, 0
    for answer in answers:
        if isinstance(answer, UnrolledError):
            answer = {"error": str(answer)}
        status |= "error" in answer
        print(json.dumps(answer, ensure_ascii=False), file=out, flush=True)
    return status


@contextmanager
def open_lines(name: str) -> Iterator[TextIO]:
    """A text file, or standard input for "-". Raises InputError when it cannot be read."""
    if name == "-":
        yield sys.stdin
        return
    try:
        file = Path(name).open(encoding="utf-8", errors="replace")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror}): name a file with one request per line.") from error
    with file:
        yield file
