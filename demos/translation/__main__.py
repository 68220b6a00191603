"""Command line: python -m demos.translation [predict] TEXT_OR_FILE ... --from en --to de, train, evaluate, captions."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.serving.bulk import Answer, Request, answers_in_batches, open_lines, read_requests, write_answers
from core.serving.command_line import Command, run_command

FIELDS = ("text", "source", "target")
OPTIONS = ("beam_size", "length_penalty", "channel_weight", "backward_weight")
_FILES = (".txt", ".en", ".de", ".fr", ".cs", ".tsv", ".csv", ".md")  # endings that no sentence has


def _add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    help_text = "a text, or a file with one a line; - or nothing: standard input. One translation a line, in order"
    parser.add_argument("inputs", nargs="*", metavar="TEXT_OR_FILE", help=help_text)
    parser.add_argument("--from", dest="source", metavar="LANGUAGE", help="en, de, fr or cs")
    parser.add_argument("--to", dest="target", metavar="LANGUAGE", help="en, de, fr or cs; one of the two must be en")
    parser.add_argument("--json", action="store_true", help="one JSON object per line of text on standard output")
    help_text = 'bulk: one request like {"text": "Hi!", "source": "en", "target": "fr"} per line; - = stdin'
    parser.add_argument("--jsonl", metavar="FILE", help=help_text)
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--batch-size", type=int, default=512, help="lines at a time (default: %(default)s)")
    parser.add_argument("--beam-size", type=int, help="default: 5")
    parser.add_argument("--length-penalty", type=float, help="0 ranks by log-probability, 1 by the mean per token")
    parser.add_argument("--channel-weight", type=float, help="of translating back, when ranking; 0 leaves it out")
    parser.add_argument("--backward-weight", type=float, help="of reading from right to left; 0 leaves it out")


def _predict(options: argparse.Namespace) -> int:
    from demos.translation.predict import TranslationOptions, TranslationPredictor

    if options.inputs and options.jsonl:
        raise InputError("Give texts or files to translate, or a file of requests with --jsonl, not both.")
    if options.batch_size < 1:
        raise InputError(f"--batch-size must be 1 or more, not {options.batch_size}.")
    given = {name: getattr(options, name) for name in (*OPTIONS, "source", "target")}
    given = {name: value for name, value in given.items() if value is not None}
    TranslationOptions(**{name: given[name] for name in OPTIONS if name in given})  # said before anything is loaded
    if options.jsonl:
        required = [name for name in FIELDS if name not in given]
        with open_lines(options.jsonl) as lines:
            optional = [name for name in (*FIELDS, *OPTIONS) if name not in required]
            requests = read_requests(lines, required, optional, given)
            predictor = TranslationPredictor.from_pretrained(options.checkpoint)
            return write_answers(_answers(predictor, requests, options.batch_size))
    if not {"source", "target"} <= given.keys():
        raise InputError("Name both languages, for example --from en --to de.")
    predictor = TranslationPredictor.from_pretrained(options.checkpoint)
    predictor.check_pair(options.source, options.target)
    requests = ({"text": line, **given} for line in _lines(options.inputs or ["-"]))
    answers = _answers(predictor, requests, options.batch_size)
    return write_answers(answers) if options.json else max(map(_print, answers), default=0)


def _lines(inputs: Iterable[str]) -> Iterator[str]:
    """Texts as they are; files and standard input line by line."""
    for name in inputs:
        if name != "-" and not Path(name[:255]).is_file() and Path(name).suffix.lower() not in _FILES:
            yield name
            continue
        with open_lines(name) as lines:
            yield from (line.rstrip("\n") for line in lines)


def _answers(predictor: Any, requests: Iterable[Request], batch_size: int) -> Iterator[Answer]:
    """Answers in the order of the requests."""
    from demos.translation.predict import TranslationOptions

    return answers_in_batches(
        requests,
        lambda request: TranslationOptions(**{name: request[name] for name in OPTIONS if name in request}),
        lambda group, options: predictor.stream((tuple(r[f] for f in FIELDS) for r in group), options, batch_size),
        about=lambda request: {"source_text": request["text"]},
    )


def _print(answer: Answer) -> int:
    """The translation of one line on one line, so that both files stay aligned; a blank line stays blank."""
    if isinstance(answer, dict) and "text" in answer and "error" not in answer:
        print(" ".join(answer["text"].splitlines()))
        return 0
    print()
    if isinstance(answer, dict) and isinstance(answer.get("source_text"), str) and not answer["source_text"].strip():
        return 0
    print(answer["error"] if isinstance(answer, dict) else answer, file=sys.stderr)
    return 1


COMMANDS = {
    "predict": Command("translate sentences (may be left out)", _add_predict_arguments, _predict),
    "train": Command("train the network", module="demos.translation.train"),
    "evaluate": Command("measure the network as published", module="demos.translation.evaluate"),
    "captions": Command("translate Flickr8k's captions, to train on", module="demos.translation.captions"),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.translation", "Translate sentences.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
