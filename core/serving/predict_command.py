"""`predict`, the command that every demo has: inputs or a file of requests in, answers as text or JSON Lines out."""

import argparse
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any, ClassVar, get_args, get_type_hints

from core.errors import InputError
from core.serving.bulk import Answer, Request, open_lines, read_requests, with_progress, write_answers
from core.serving.command_line import Command, given


class PredictCommand(ABC):
    """Subclass it in a demo's __main__.py and put `PredictCommand().command()` among its commands.

    Nothing is imported or loaded before it is needed, so the classes are given by name: a wrong option is said at once.
    """

    module: ClassVar[str]  # the dotted name of the demo's predict.py
    options: ClassVar[str]  # the frozen dataclass of a request's options there; it refuses what makes no sense
    predictor: ClassVar[str]  # the class there with `from_pretrained(folder, Hub id or None)`

    about: ClassVar[str]  # what `--help` says of the command
    example: ClassVar[str]  # a request as a line of JSON, for `--help`
    required: ClassVar[tuple[str, ...]]  # fields of a request; the fields of `Options` are optional ones
    optional: ClassVar[tuple[str, ...]] = ()  # more fields that a request may have, as the positional arguments do
    option_help: ClassVar[Mapping[str, str]] = {}  # of each field of `Options` that is an option on the command line
    batch_size: ClassVar[int | None] = None  # inputs at a time, where they are answered in batches
    unit: ClassVar[str] = "input"  # what the progress bar counts

    @abstractmethod
    def add_inputs(self, parser: argparse.ArgumentParser) -> None:
        """Add the positional arguments, all of which may be left out."""

    @abstractmethod
    def requests(self, options: argparse.Namespace) -> Iterable[dict[str, Any]]:
        """The requests that the positional arguments make, without the options. Raises InputError for too few."""

    @abstractmethod
    def answers(self, predictor: Any, requests: Iterable[Request], batch_size: int) -> Iterator[Answer]:
        """An answer, or an error in its place, for each request, in order."""

    @abstractmethod
    def show(self, answer: Answer) -> int:
        """Print an answer for a person; 1 if it is an error, else 0."""

    def options_class(self) -> Any:
        """The class of a request's options."""
        return getattr(import_module(self.module), self.options)

    def options_of(self, request: dict[str, Any]) -> Any:
        """A request's options. Raises InputError for values that make no sense."""
        inputs = (*self.required, *self.optional)
        return self.options_class()(**{name: value for name, value in request.items() if name not in inputs})

    def load(self, checkpoint: str | None) -> Any:
        """The predictor; None: the repository's own checkpoint."""
        return getattr(import_module(self.module), self.predictor).from_pretrained(checkpoint)

    def command(self) -> Command:
        """For `run_command`."""
        return Command(self.about, self.add_arguments, self.run)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Inputs, --json, --jsonl, --checkpoint, and one option for each field that has a help text."""
        self.add_inputs(parser)
        parser.add_argument("--json", action="store_true", help="one JSON object per input on standard output")
        parser.add_argument(
            "--jsonl", metavar="FILE", help=f"bulk: one request like {self.example} per line; - = stdin"
        )
        parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
        if self.batch_size:
            text = "inputs at a time (default: %(default)s)"
            parser.add_argument("--batch-size", type=int, default=self.batch_size, help=text)
        options_class = self.options_class()
        types = get_type_hints(options_class)
        for each in fields(options_class):
            if each.name in self.option_help:
                default = "" if each.default in (None, "", ()) else f" (default: {each.default})"
                flag, text = f"--{each.name.replace('_', '-')}", self.option_help[each.name] + default
                parser.add_argument(flag, dest=each.name, help=text.replace("%", "%%"), **_parsing(types[each.name]))

    def run(self, options: argparse.Namespace) -> int:
        """Serve what was asked for; the exit status."""
        if self.batch_size and options.batch_size < 1:
            raise InputError(f"--batch-size must be 1 or more, not {options.batch_size}.")
        options_class = self.options_class()
        chosen = given(options, self.option_help)
        options_class(**chosen)  # a wrong option is said before anything is loaded
        if options.jsonl:
            if self._has_inputs(options):
                raise InputError("Name inputs, or a file of requests with --jsonl, not both.")
            # a field of the request that is an option of the command, too, serves every line that lacks it
            same = {name: v for name in self.required if isinstance(v := getattr(options, name, None), str)}
            required = [name for name in self.required if name not in same]
            optional = [*same, *self.optional, *(each.name for each in fields(options_class))]
            with open_lines(options.jsonl) as lines:
                requests = read_requests(lines, required, optional, {**same, **chosen})
                return write_answers(self.served(options, requests))
        requests = self.requests(options)
        count = len(requests) if isinstance(requests, list) else 0
        answers = self.served(options, ({**request, **chosen} for request in requests))
        answers = with_progress(answers, count, self.unit)
        return write_answers(answers) if options.json else max(map(self.show, answers), default=0)

    def served(self, options: argparse.Namespace, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answers in the order of the requests."""
        batch_size = options.batch_size if self.batch_size else 1
        return self.answers(self.load(options.checkpoint), requests, batch_size)

    def _has_inputs(self, options: argparse.Namespace) -> bool:
        parser = argparse.ArgumentParser()
        self.add_inputs(parser)
        return any(getattr(options, name) for name in vars(parser.parse_args([])))


def _parsing(kind: Any) -> dict[str, Any]:
    """argparse's keywords for a field of this type, absent unless it is given."""
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction, "default": None}
    if getattr(kind, "__origin__", None) is tuple:
        return {"nargs": "+", "metavar": "TEXT"}
    plain = [each for each in get_args(kind) if each is not type(None)] or [kind]  # `float | None` -> float
    return {"type": plain[0]}


def print_error(what: str, answer: Answer) -> int:
    """Say on standard error why something was not served; 1, as `PredictCommand.show` returns then."""
    print(f"{what}: {answer['error'] if isinstance(answer, dict) else answer}", file=sys.stderr)
    return 1
