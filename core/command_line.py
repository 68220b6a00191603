"""The command line that every demo has: python -m demos.<task> [predict] INPUT ..., train, evaluate, and its own."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from core.errors import UnrolledError

DEFAULT = "predict"  # may be left out


@dataclass(frozen=True)
class Command:
    """One command: what `--help` says of it, its arguments, and what runs it and gives the exit status (None: 0).

    A command of another `module`, with functions add_arguments and main, is imported only when it is called: training
    needs libraries that answering does not.
    """

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None
    run: Callable[[argparse.Namespace], int | None] | None = None
    module: str | None = None


def given(options: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Those of the options that were given, by name: the others keep the defaults of what they are for."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def run_command(package: str, description: str, commands: Mapping[str, Command], arguments: list[str] | None) -> int:
    """Run a command of `python -m PACKAGE`; arguments: without the program's name, None: those of this process.

    Returns the exit status: 0, 1 if some input could not be served, 2 if none could be tried.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in (*commands, "-h", "--help"):
        arguments = [DEFAULT, *arguments]
    try:
        options = _parser(package, description, commands, arguments[0]).parse_args(arguments)
        return options.run(options) or 0
    except UnrolledError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130


def _parser(package: str, description: str, commands: Mapping[str, Command], called: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=description)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, command in commands.items():
        subparser = subparsers.add_parser(name, help=command.help)
        if name == called:
            module = import_module(command.module) if command.module else None
            (module.add_arguments if module else command.add_arguments)(subparser)
            subparser.set_defaults(run=module.main if module else command.run)
    return parser
