"""Command line: python -m demos.lipreading [predict] VIDEO ..., train, evaluate, draw."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from core.bulk import Answer, open_lines, read_requests, write_answers
from core.errors import InputError, UnrolledError

COMMANDS = ("predict", "train", "evaluate", "draw")
FIELDS = ("model", "beam_size", "n_best", "grammar", "insertion_penalty")


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
    """Only the chosen command's module is imported: training needs libraries that reading does not."""
    parser = argparse.ArgumentParser(prog="python -m demos.lipreading", description="Silent clips become text.")
    commands = parser.add_subparsers(dest="command", required=True)
    predict = commands.add_parser("predict", help="read clips (may be left out)")
    train = commands.add_parser("train", help="train a network")
    evaluate = commands.add_parser("evaluate", help="measure a network as published")
    draw = commands.add_parser("draw", help="draw a mouth that says a sentence, as an MP4 file")
    if command == "predict":
        _add_predict_arguments(predict)
    elif command == "train":
        from demos.lipreading import train as module

        module.add_arguments(train)
        train.set_defaults(run=module.main)
    elif command == "evaluate":
        from demos.lipreading import evaluate as module

        module.add_arguments(evaluate)
        evaluate.set_defaults(run=module.main)
    elif command == "draw":
        draw.add_argument("sentence", help="in English")
        draw.add_argument("file", type=Path, help="where to write the clip (.mp4)")
        draw.add_argument("--speaker", type=int, default=1, help="a number; each draws another one")
        draw.add_argument("--seed", type=int, default=1, help="another take of the same speaker")
        draw.set_defaults(run=_draw)
    return parser


def _add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="a clip of somebody speaking")
    parser.add_argument("--json", action="store_true", help="one JSON object per clip on standard output")
    parser.add_argument("--jsonl", metavar="FILE", help='bulk: one request like {"video": "a.mp4"} per line; - = stdin')
    parser.add_argument("--checkpoint", help="folder with words/, grid/ and animated/ (default: the repository's own)")
    parser.add_argument("--model", choices=["words", "grid", "animated"], help="default: words, of any speaker")
    parser.add_argument("--beam-size", type=int, help="default: 10")
    parser.add_argument("--n-best", type=int, help="default: 5")
    parser.add_argument("--grammar", action="store_true", default=None, help="only commands of GRID's grammar")
    parser.add_argument("--insertion-penalty", type=float, help="sentences: off each word's log-probability")
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from demos.lipreading.predict import LipreadingOptions, LipreadingPredictor

    if bool(options.videos) == bool(options.jsonl):
        raise InputError("Name a clip or more, or a file of requests with --jsonl.")
    chosen = {name: value for name in FIELDS if (value := getattr(options, name)) is not None}
    LipreadingOptions(**chosen)
    predictor = LipreadingPredictor.from_pretrained(options.checkpoint)
    if options.jsonl:
        with open_lines(options.jsonl) as lines:
            return write_answers(answers(predictor, read_requests(lines, ["video"], FIELDS), chosen))
    found = answers(predictor, ({"video": video} for video in options.videos), chosen)
    if options.json:
        return write_answers(found)
    return max(_print(answer) for answer in found)


def answers(predictor: Any, requests: Iterable[dict | InputError], chosen: dict[str, Any]) -> Iterator[Answer]:
    """An answer, or an error in its place, for each request; its own fields go before the `chosen` ones."""
    from demos.lipreading.predict import LipreadingOptions

    for request in requests:
        if isinstance(request, InputError):
            yield request
            continue
        try:
            own = {name: request[name] for name in FIELDS if name in request}
            if not isinstance(request["video"], str):
                raise InputError("The video must be the path of a file, as a string.")
            result = predictor(request["video"], LipreadingOptions(**{**chosen, **own}))
            yield {"video": request["video"], **result.to_dict()}
        except InputError as error:
            yield {"video": request["video"], "error": str(error)}


def _print(answer: Answer) -> int:
    if "error" in answer:
        print(f"{answer['video']}: {answer['error']}", file=sys.stderr)
        return 1
    print(f"{answer['video']}: {answer['text']}")
    for note in answer["notes"]:
        print(f"    {note}", file=sys.stderr)
    for hypothesis in answer["hypotheses"]:
        print(f"    {hypothesis['logprob']:8.2f}  {hypothesis['text']}")
    return 0


def _draw(options: argparse.Namespace) -> int:
    from core.video import save_video
    from demos.lipreading.animator import FPS, speak

    spoken = speak(options.sentence, options.speaker, options.seed)
    try:
        save_video(options.file, spoken.video.frames, FPS)
    except OSError as error:
        raise InputError(f"{options.file} cannot be written ({error.strerror}): name another file.") from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
