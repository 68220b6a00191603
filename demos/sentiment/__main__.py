"""Command line: python -m demos.sentiment [predict] TEXT_OR_FILE ..., train, evaluate."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from core.bulk import Answer, open_lines, read_requests, write_answers
from core.errors import InputError, UnrolledError

COMMANDS = ("predict", "train", "evaluate")
FIELDS = ("language", "explain")


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
    """Only the chosen command's module is imported: training needs libraries that judging does not."""
    parser = argparse.ArgumentParser(prog="python -m demos.sentiment", description="Sentiment of English and Korean.")
    commands = parser.add_subparsers(dest="command", required=True)
    predict = commands.add_parser("predict", help="judge texts (may be left out)")
    train = commands.add_parser("train", help="train the network")
    evaluate = commands.add_parser("evaluate", help="measure the network as published")
    if command == "predict":
        _add_predict_arguments(predict)
    elif command == "train":
        from demos.sentiment import train as module

        module.add_arguments(train)
        train.set_defaults(run=module.main)
    elif command == "evaluate":
        from demos.sentiment import evaluate as module

        module.add_arguments(evaluate)
        evaluate.set_defaults(run=module.main)
    return parser


def _add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="*", metavar="TEXT_OR_FILE", help="a text, or a file with one text a line")
    parser.add_argument("--lines", metavar="FILE", help="bulk: one text a line; - = stdin")
    parser.add_argument("--json", action="store_true", help="one JSON object per text on standard output")
    parser.add_argument("--jsonl", metavar="FILE", help='bulk: one request like {"text": "Good."} per line; - = stdin')
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--batch-size", type=int, default=64, help="texts at a time (default: %(default)s)")
    parser.add_argument("--language", choices=["auto", "english", "korean"], help="default: auto, by the script")
    parser.add_argument("--explain", action="store_true", default=None, help="erase-one weights, running judgement")
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from demos.sentiment.predict import SentimentOptions, SentimentPredictor

    if bool(options.inputs) + bool(options.jsonl) + bool(options.lines) != 1:
        raise InputError("Give texts or files of texts, or a file of requests with --jsonl, or of texts with --lines.")
    if options.batch_size < 1:
        raise InputError(f"--batch-size must be 1 or more, not {options.batch_size}.")
    chosen = {name: value for name in FIELDS if (value := getattr(options, name)) is not None}
    SentimentOptions(**chosen)
    if options.jsonl:
        with open_lines(options.jsonl) as lines:
            requests = ({**chosen, **r} if isinstance(r, dict) else r for r in read_requests(lines, ["text"], FIELDS))
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


def answers(predictor: Any, requests: Iterable[dict | InputError], batch_size: int) -> Iterator[Answer]:
    """Answers in the order of the requests. Neighbours with the same options share batches; memory stays bounded."""
    for options, group in groupby(requests, key=_options_of):
        if isinstance(options, InputError):
            yield from (_error_of(request, options) for request in group)
            continue
        texts: list[Any] = []
        for result in predictor.stream(_remember(group, texts), options, batch_size):
            text = texts.pop(0)
            if isinstance(result, InputError):
                yield {"text": text, "error": str(result)}
            else:
                yield {"text": text, **result.to_dict()}


def _options_of(request: dict | InputError) -> Any:
    from demos.sentiment.predict import SentimentOptions

    if isinstance(request, InputError):
        return request
    try:
        return SentimentOptions(**{name: value for name, value in request.items() if name != "text"})
    except InputError as error:
        return error


def _error_of(request: dict | InputError, error: InputError) -> Answer:
    return {"text": request["text"], "error": str(error)} if isinstance(request, dict) else error


def _remember(group: Iterable[dict], texts: list[Any]) -> Iterator[Any]:
    for request in group:
        texts.append(request["text"])
        yield request["text"]


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


if __name__ == "__main__":
    sys.exit(main())
