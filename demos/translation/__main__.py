"""Command line: python -m demos.translation [predict] TEXT_OR_FILE ... --from en --to de, train, evaluate."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from core.errors import InputError
from core.serving.bulk import Answer, Request, answers_in_batches, open_lines
from core.serving.command_line import Command, run_command, train_command
from core.serving.predict_command import PredictCommand

_FILES = (".txt", ".en", ".de", ".fr", ".cs", ".tsv", ".csv", ".md")  # endings that no sentence has


class Translate(PredictCommand):
    """`predict`: one translation a line, in order."""

    module, options, predictor = "demos.translation.predict", "TranslationOptions", "TranslationPredictor"
    about = "translate sentences (may be left out)"
    example = '{"text": "Hi!", "source": "en", "target": "fr"}'
    required = ("text", "source", "target")
    option_help: ClassVar[dict[str, str]] = {
        "beam_size": "hypotheses that the search keeps and returns",
        "length_penalty": "0 ranks by log-probability, 1 by the mean per token",
        "rerank": "rank by translating back and by reading from right to left, too",
    }
    batch_size = 512
    unit = "line"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The languages besides."""
        super().add_arguments(parser)
        parser.add_argument("--from", dest="source", metavar="LANGUAGE", help="en, de, fr or cs")
        parser.add_argument("--to", dest="target", metavar="LANGUAGE", help="the same; one of the two must be en")

    def add_inputs(self, parser: argparse.ArgumentParser) -> None:
        help_text = "a text, or a file with one a line; - or nothing: standard input. One translation a line, in order"
        parser.add_argument("inputs", nargs="*", metavar="TEXT_OR_FILE", help=help_text)

    def requests(self, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
        if not (options.source and options.target):
            raise InputError("Name both languages, for example --from en --to de.")
        languages = {"source": options.source, "target": options.target}
        return ({"text": line, **languages} for line in _lines(options.inputs or ["-"]))

    def served(self, options: argparse.Namespace, requests: Iterable[Request]) -> Iterator[Answer]:
        predictor = self.load(options.checkpoint)
        if options.source and options.target:
            predictor.check_pair(options.source, options.target)  # once for all lines
        return self.answers(predictor, requests, options.batch_size)

    def answers(self, predictor: Any, requests: Iterable[Request], batch_size: int) -> Iterator[Answer]:
        return answers_in_batches(
            requests,
            self.options_of,
            lambda group, options: predictor.stream(
                (tuple(request[name] for name in self.required) for request in group), options, batch_size
            ),
            about=lambda request: {"source_text": request["text"]},
        )

    def show(self, answer: Answer) -> int:
        """A translation on one line, so that both files stay aligned; a blank line stays blank."""
        if isinstance(answer, dict) and "error" not in answer:
            print(" ".join(answer["text"].splitlines()))
            return 0
        print()
        if isinstance(answer, dict) and not str(answer["source_text"]).strip():
            return 0
        print(answer["error"] if isinstance(answer, dict) else answer, file=sys.stderr)
        return 1


def _lines(inputs: Iterable[str]) -> Iterator[str]:
    """Texts as they are; files and standard input line by line."""
    for name in inputs:
        if name != "-" and not Path(name[:255]).is_file() and Path(name).suffix.lower() not in _FILES:
            yield name
            continue
        with open_lines(name) as lines:
            yield from (line.rstrip("\n") for line in lines)


COMMANDS = {
    "predict": Translate().command(),
    "train": train_command("translation", "demos.translation.train"),
    "evaluate": Command("measure the network as published", module="demos.translation.evaluate"),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.translation", "Translate sentences.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
