"""Command line: python -m demos.sentiment [predict] TEXT_OR_FILE ..., train, evaluate."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from core.errors import InputError
from core.serving.bulk import Answer, Request, answers_in_batches, open_lines
from core.serving.command_line import Command, run_command, train_command
from core.serving.predict_command import PredictCommand, print_error


class SentimentCommand(PredictCommand):
    """Judges texts, or every line of files of texts."""

    module, options, predictor = "demos.sentiment.predict", "SentimentOptions", "SentimentPredictor"
    about = "judge texts (may be left out)"
    example = '{"text": "Good."}'
    required = ("text",)
    option_help: ClassVar = {
        "language": "auto (by the script), english or korean",
        "explain": "erase-one weights, running judgement",
    }
    batch_size = 64
    unit = "text"

    def add_inputs(self, parser: argparse.ArgumentParser) -> None:
        help_text = "a text, or a file with one text a line; - = stdin"
        parser.add_argument("inputs", nargs="*", metavar="TEXT_OR_FILE", help=help_text)

    def requests(self, options: argparse.Namespace) -> Iterable[dict[str, Any]]:
        if not options.inputs:
            raise InputError("Give texts or files of texts, or a file of requests with --jsonl.")
        return ({"text": text} for name in options.inputs for text in _texts(name))

    def answers(self, predictor: Any, requests: Iterable[Request], batch_size: int) -> Iterator[Answer]:
        return answers_in_batches(
            requests,
            self.options_of,
            lambda group, options: predictor.stream((request["text"] for request in group), options, batch_size),
            about=lambda request: {"text": request["text"]},
        )

    def show(self, answer: Answer) -> int:
        text = " ".join(str(answer.get("text")).split())
        text = text if len(text) <= 70 else text[:69] + "…"
        if "error" in answer:
            return print_error(text, answer)
        print(f"{answer['label']}  {answer['probability']:.3f}  {text}")
        if answer["steps"] is not None:
            for word, after in zip(answer["tokens"], answer["steps"], strict=True):
                print(f"    {word['weight']:+6.2f}  {after:.3f}  {word['text']}")
        return 0


def _texts(name: str) -> Iterator[str]:
    """A text as it is, a file as the lines in it."""
    if name == "-" or (len(name) < 256 and "\n" not in name and Path(name).is_file()):
        with open_lines(name) as lines:
            yield from (line.rstrip("\n") for line in lines if line.strip())
    else:
        yield name


COMMANDS = {
    "predict": SentimentCommand().command(),
    "train": train_command("sentiment", "demos.sentiment.train"),
    "evaluate": Command("measure the network as published", module="demos.sentiment.evaluate"),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.sentiment", "Sentiment of English and Korean.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
