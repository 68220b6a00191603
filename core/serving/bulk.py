"""JSON Lines in and out, the same for every demo: one request per line, one answer per line, in order."""

import io
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from core.errors import InputError, UnrolledError

Request = dict[str, Any] | InputError  # the error says what is wrong with a line that is none
Answer = dict[str, Any] | UnrolledError


def read_requests(
    lines: Iterable[str], required: Iterable[str], optional: Iterable[str], defaults: dict[str, Any] | None = None
) -> Iterator[Request]:
    """Each line as a request, or the InputError that says what is wrong with it. Blank lines are skipped.

    What a line says goes before the `defaults`.
    """
    required, allowed = set(required), {*required, *optional}
    for line in lines:
        if line.strip():
            request = _read_request(line, required, allowed)
            yield request if isinstance(request, InputError) else {**(defaults or {}), **request}


def _read_request(line: str, required: set[str], allowed: set[str]) -> Request:
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


def answers_one_by_one(
    requests: Iterable[Request], answer: Callable[[dict], Any], about: Callable[[dict], dict]
) -> Iterator[Answer]:
    """An answer for each request, or an error in its place.

    answer: request -> a result with `to_dict`; may raise InputError. about: request -> what its answer repeats of it.
    """
    for request in requests:
        if isinstance(request, InputError):
            yield request
            continue
        try:
            result = answer(request)
        except InputError as error:
            result = error
        yield answer_with(about(request), result)


def answers_in_batches(
    requests: Iterable[Request],
    options_of: Callable[[dict], Any],
    stream: Callable[[Iterator[dict], Any], Iterator[Any]],
    about: Callable[[dict], dict],
) -> Iterator[Answer]:
    """The same for what is served in batches: neighbours with the same options share them; memory stays bounded.

    options_of: request -> its options; may raise InputError. stream: (requests, their options) -> results in order,
    each with `to_dict` or an InputError.
    """

    def tried(request: Request) -> Any:
        if isinstance(request, InputError):
            return request
        try:
            return options_of(request)
        except InputError as error:
            return error

    for options, group in groupby(requests, key=tried):
        if isinstance(options, InputError):
            yield from (answer_with(about(r), options) if isinstance(r, dict) else r for r in group)
            continue
        asked: deque[dict] = deque()
        for result in stream(_remember(group, asked), options):
            yield answer_with(about(asked.popleft()), result)


def _remember(requests: Iterable[dict], asked: deque[dict]) -> Iterator[dict]:
    for request in requests:
        asked.append(request)
        yield request


def answer_with(about: dict[str, Any], result: Any) -> dict[str, Any]:
    """What was asked and a result, which has `to_dict` or is an InputError, as one answer."""
    return {**about, "error": str(result)} if isinstance(result, InputError) else {**about, **result.to_dict()}


def with_progress(answers: Iterator[Answer], total: int, unit: str) -> Iterator[Answer]:
    """The same answers; on a terminal a bar shows how many of them there are."""
    from tqdm import tqdm

    quiet = total < 2 or not sys.stderr.isatty()
    return iter(tqdm(answers, total=total, unit=unit, disable=quiet, file=sys.stderr))


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
    """A text file, or standard input for "-"; a line ends with a line feed. Raises InputError when it cannot be read.

    What is not UTF-8 stays in its line as surrogates, which clean_text refuses: the other lines are served.
    """
    how = {"encoding": "utf-8", "errors": "surrogateescape", "newline": "\n"}
    if name == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(**how)
        yield sys.stdin
        return
    try:
        file = Path(name).open(**how)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror}): name a file with one request per line.") from error
    with file:
        yield file
