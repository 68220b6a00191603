"""The command line that every task has: python -m PACKAGE [predict] INPUT ..., train, evaluate, and its own."""

import argparse
import io
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from core.errors import UnrolledError
from core.training import recipes

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


def train_command(task: str, module: str) -> Command:
    """`train --recipe FILE` of a task; module: with its kinds of stages as STAGES, imported only when it is called."""

    def run(options: argparse.Namespace) -> None:
        recipes.main(task, import_module(module).STAGES, options)

    return Command("train the network by a recipe", recipes.add_arguments, run)


def given(options: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Those of the options that were given, by name: the others keep the defaults of what they are for."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def run_command(package: str, description: str, commands: Mapping[str, Command], arguments: list[str] | None) -> int:
    """Run a command of `python -m PACKAGE`; arguments: without the program's name, None: those of this process.

    Options may stand between the inputs. Returns the exit status: 0, 1 if some input could not be served, 2 if none
    could be tried.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):  # a file name need not be UTF-8, nor a text valid: they are shown escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if arguments[:1] in (["-h"], ["--help"]):
        _overview(package, description, commands).parse_args(arguments[:1])  # prints, and ends the program
    name = arguments[0] if arguments and arguments[0] in commands else DEFAULT
    rest = arguments[1:] if arguments[:1] == [name] else arguments
    command = commands[name]
    try:
        module = import_module(command.module) if command.module else None
        parser = argparse.ArgumentParser(
            prog=f"python -m {package} {name}", description=command.help.capitalize() + "."
        )
        (module or command).add_arguments(parser)
        options = parser.parse_intermixed_args(rest)
        return (module.main if module else command.run)(options) or 0
    except UnrolledError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130


def _overview(package: str, description: str, commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """What `--help` without a command prints."""
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=description)
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for name, command in commands.items():
        subparsers.add_parser(name, help=command.help)
    return parser
