"""Command line: python -m demos.translation [predict] TEXT_OR_FILE ... --from en --to de, train, evaluate, captions."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from core.bulk import Answer, open_lines, read_requests, write_answers
from core.errors import InputError, UnrolledError

COMMANDS = ("predict", "train", "evaluate", "captions")
FIELDS, OPTIONS = ("text", "source", "target"), ("beam_size", "length_penalty", "channel_weight")
_FILES = (".txt", ".en", ".de", ".fr", ".cs", ".tsv", ".csv", ".md")  # endings that no sentence has


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 if some input could not be served, 2 if none could be tried."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in (*COMMANDS, "-h", "--help"):
        arguments = ["predict", *arguments]
    try:
        options = _parser(arguments[0]).parse_args(arguments)
        return options.run(options) or 0
    except UnrolledError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130


def _parser(command: str) -> argparse.ArgumentParser:
    """Only the chosen command's module is imported: training needs libraries that translating does not."""
    parser = argparse.ArgumentParser(prog="python -m demos.translation", description="Translate sentences.")
    commands = parser.add_subparsers(dest="command", required=True)
    predict = commands.add_parser("predict", help="translate sentences (may be left out)")
    train = commands.add_parser("train", help="train the network")
    evaluate = commands.add_parser("evaluate", help="measure the network as published")
    captions = commands.add_parser("captions", help="translate Flickr8k's captions, to train on")
    if command == "predict":
        _add_predict_arguments(predict)
    elif command == "train":
        from demos.translation import train as module

        module.add_arguments(train)
        train.set_defaults(run=module.main)
    elif command == "evaluate":
        from demos.translation import evaluate as module

        module.add_arguments(evaluate)
        evaluate.set_defaults(run=module.main)
    elif command == "captions":
        from demos.translation import captions as module

        module.add_arguments(captions)
        captions.set_defaults(run=module.main)
    return parser


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
    parser.set_defaults(run=_predict)


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
            known = read_requests(lines, required, [name for name in (*FIELDS, *OPTIONS) if name not in required])
            requests = ({**given, **r} if isinstance(r, dict) else r for r in known)
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


def _answers(predictor: Any, requests: Iterable[dict | InputError], batch_size: int) -> Iterator[Answer]:
    """Answers in the order of the requests. Neighbours with the same options share batches; memory stays bounded."""
    for options, group in groupby(requests, key=_options_of):
        if isinstance(options, InputError):
            yield from (_error_of(request, options) for request in group)
            continue
        texts: list[Any] = []
        for result in predictor.stream(_remember(group, texts), options, batch_size):
            text = texts.pop(0)
            if isinstance(result, InputError):
                yield {"source_text": text, "error": str(result)}
            else:
                yield {"source_text": text, **result.to_dict()}


def _options_of(request: dict | InputError) -> Any:
    from demos.translation.predict import TranslationOptions

    if isinstance(request, InputError):
        return request
    try:
        return TranslationOptions(**{name: request[name] for name in OPTIONS if name in request})
    except InputError as error:
        return error


def _error_of(request: dict | InputError, error: InputError) -> Answer:
    return {"source_text": request["text"], "error": str(error)} if isinstance(request, dict) else error


def _remember(group: Iterable[dict], texts: list[Any]) -> Iterator[tuple[Any, Any, Any]]:
    for request in group:
        texts.append(request["text"])
        yield request["text"], request["source"], request["target"]


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


if __name__ == "__main__":
    sys.exit(main())
