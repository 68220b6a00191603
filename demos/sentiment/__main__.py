"""Command line: python -m demos.sentiment [predict] TEXT_OR_FILE ..., train, evaluate."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.serving.bulk import Answer, Request, answers_in_batches, open_lines, read_requests, write_answers
from core.serving.command_line import Command, given, run_command

FIELDS = ("language", "explain")


def _add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="*", metavar="TEXT_OR_FILE", help="a text, or a file with one text a line")
    parser.add_argument("--lines", metavar="FILE", help="bulk: one text a line; - = stdin")
    parser.add_argument("--json", action="store_true", help="one JSON object per text on standard output")
    parser.add_argument("--jsonl", metavar="FILE", help='bulk: one request like {"text": "Good."} per line; - = stdin')
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--batch-size", type=int, default=64, help="texts at a time (default: %(default)s)")
    parser.add_argument("--language", choices=["auto", "english", "korean"], help="default: auto, by the script")
    parser.add_argument("--explain", action="store_true", default=None, help="erase-one weights, running judgement")


def _predict(options: argparse.Namespace) -> int:
    from demos.sentiment.predict import SentimentOptions, SentimentPredictor

    if bool(options.inputs) + bool(options.jsonl) + bool(options.lines) != 1:
        raise InputError("Give texts or files of texts, or a file of requests with --jsonl, or of texts with --lines.")
    if options.batch_size < 1:
        raise InputError(f"--batch-size must be 1 or more, not {options.batch_size}.")
    chosen = given(options, FIELDS)
    SentimentOptions(**chosen)
    if options.jsonl:
        with open_lines(options.jsonl) as lines:
            requests = read_requests(lines, ["text"], FIELDS, chosen)
            predictor = SentimentPredictor.from_pretrained(options.checkpoint)
            return write_answers(answers(predictor, requests, options.batch_size))
    if options.lines:
        with open_lines(options.lines) as lines:
            return _serve(options, _nonblank(lines), chosen)
    return _serve(options, _texts(options.inputs), chosen)


def _serve(options: argparse.Namespace, texts: Iterable[str], chosen: dict[str, Any]) -> int:
    from demos.sentiment.predict import SentimentPredictor

    predictor = SentimentPredictor.from_pretrained(options.checkpoint)
    found = answers(predictor, ({"text": text, **chosen} for text in texts), options.batch_size)
    if options.json:
        return write_answers(found)
    return max((_print(answer) for answer in found), default=0)


def _texts(inputs: Iterable[str]) -> Iterator[str]:
    """Texts as they are, files as the lines in them."""
    for name in inputs:
        if len(name) < 256 and "\n" not in name and Path(name).is_file():
            with open_lines(name) as lines:
                yield from _nonblank(lines)
        else:
            yield name


def _nonblank(lines: Iterable[str]) -> Iterator[str]:
    return (line.rstrip("\n") for line in lines if line.strip())


def answers(predictor: Any, requests: Iterable[Request], batch_size: int) -> Iterator[Answer]:
    """Answers in the order of the requests."""
    from demos.sentiment.predict import SentimentOptions

    return answers_in_batches(
        requests,
        lambda request: SentimentOptions(**{name: value for name, value in request.items() if name != "text"}),
        lambda group, options: predictor.stream((request["text"] for request in group), options, batch_size),
        about=lambda request: {"text": request["text"]},
    )


def _print(answer: Answer) -> int:
    text = " ".join(str(answer.get("text")).split())
    text = text if len(text) <= 70 else text[:69] + "…"
    if "error" in answer:
        print(f"{text}: {answer['error']}", file=sys.stderr)
        return 1
    print(f"{answer['label']}  {answer['probability']:.3f}  {text}")
    if answer["steps"] is not None:
        for word, after in zip(answer["tokens"], answer["steps"], strict=True):
            print(f"    {word['weight']:+6.2f}  {after:.3f}  {word['text']}")
    return 0


COMMANDS = {
    "predict": Command("judge texts (may be left out)", _add_predict_arguments, _predict),
    "train": Command("train the network", module="demos.sentiment.train"),
    "evaluate": Command("measure the network as published", module="demos.sentiment.evaluate"),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.sentiment", "Sentiment of English and Korean.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
