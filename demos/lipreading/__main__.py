"""Command line: python -m demos.lipreading [predict] VIDEO ..., train, evaluate, draw."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.serving.bulk import Answer, Request, answers_one_by_one, open_lines, read_requests, write_answers
from core.serving.command_line import Command, given, run_command

FIELDS = ("model", "beam_size", "n_best", "grammar", "insertion_penalty")


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


def _predict(options: argparse.Namespace) -> int:
    from demos.lipreading.predict import LipreadingOptions, LipreadingPredictor

    if bool(options.videos) == bool(options.jsonl):
        raise InputError("Name a clip or more, or a file of requests with --jsonl.")
    chosen = given(options, FIELDS)
    LipreadingOptions(**chosen)
    predictor = LipreadingPredictor.from_pretrained(options.checkpoint)
    if options.jsonl:
        with open_lines(options.jsonl) as lines:
            return write_answers(answers(predictor, read_requests(lines, ["video"], FIELDS), chosen))
    found = answers(predictor, ({"video": video} for video in options.videos), chosen)
    if options.json:
        return write_answers(found)
    return max(_print(answer) for answer in found)


def answers(predictor: Any, requests: Iterable[Request], chosen: dict[str, Any]) -> Iterator[Answer]:
    """An answer, or an error in its place, for each request; its own fields go before the `chosen` ones."""
    from demos.lipreading.predict import LipreadingOptions

    def read(request: dict) -> Any:
        options = LipreadingOptions(**{**chosen, **{name: request[name] for name in FIELDS if name in request}})
        if not isinstance(request["video"], str):
            raise InputError("The video must be the path of a file, as a string.")
        return predictor(request["video"], options)

    return answers_one_by_one(requests, read, about=lambda request: {"video": request["video"]})


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


def _add_draw_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sentence", help="in English")
    parser.add_argument("file", type=Path, help="where to write the clip (.mp4)")
    parser.add_argument("--speaker", type=int, default=1, help="a number; each draws another one")
    parser.add_argument("--seed", type=int, default=1, help="another take of the same speaker")


def _draw(options: argparse.Namespace) -> int:
    from core.input.video import save_video
    from demos.lipreading.animator import FPS, speak

    spoken = speak(options.sentence, options.speaker, options.seed)
    try:
        save_video(options.file, spoken.video.frames, FPS)
    except OSError as error:
        raise InputError(f"{options.file} cannot be written ({error.strerror}): name another file.") from error
    return 0


COMMANDS = {
    "predict": Command("read clips (may be left out)", _add_predict_arguments, _predict),
    "train": Command("train a network", module="demos.lipreading.train"),
    "evaluate": Command("measure a network as published", module="demos.lipreading.evaluate"),
    "draw": Command("draw a mouth that says a sentence, as an MP4 file", _add_draw_arguments, _draw),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.lipreading", "Silent clips become text.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
