"""Command line: python -m demos.lipreading [predict] VIDEO ..., train, evaluate, draw."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from core.errors import InputError
from core.serving.bulk import Answer, Request, answers_one_by_one
from core.serving.command_line import Command, run_command, train_command
from core.serving.predict_command import PredictCommand, print_error


class Predict(PredictCommand):
    """Read clips."""

    module, options, predictor = "demos.lipreading.predict", "LipreadingOptions", "LipreadingPredictor"
    about = "read clips (may be left out)"
    example = '{"video": "a.mp4"}'
    required = ("video",)
    option_help: ClassVar[dict[str, str]] = {
        "model": "words (of anybody), grid (commands of one speaker) or animated (drawn mouths)",
        "beam_size": "of the search for sentences",
        "n_best": "how many readings",
        "grammar": "only commands of GRID's grammar",
        "insertion_penalty": "sentences: off each word's log-probability",
    }
    unit = "clip"

    def add_inputs(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("videos", nargs="*", metavar="VIDEO", help="a clip of somebody speaking")

    def requests(self, options: argparse.Namespace) -> list[dict[str, Any]]:
        if not options.videos:
            raise InputError("Name a clip or more, or a file of requests with --jsonl.")
        return [{"video": video} for video in options.videos]

    def answers(self, predictor: Any, requests: Iterable[Request], batch_size: int) -> Iterator[Answer]:
        def read(request: dict[str, Any]) -> Any:
            if not isinstance(request["video"], str):
                raise InputError("The video must be the path of a file, as a string.")
            return predictor(request["video"], self.options_of(request))

        return answers_one_by_one(requests, read, about=lambda request: {"video": request["video"]})

    def show(self, answer: Answer) -> int:
        if "error" in answer:
            return print_error(answer["video"], answer)
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

    drawn = speak(options.sentence, options.speaker, options.seed)
    try:
        save_video(options.file, drawn.video.frames, FPS)
    except OSError as error:
        raise InputError(f"{options.file} cannot be written ({error.strerror}): name another file.") from error
    return 0


COMMANDS = {
    "predict": Predict().command(),
    "train": train_command("lipreading", "demos.lipreading.train"),
    "evaluate": Command("measure a network as published", module="demos.lipreading.evaluate"),
    "draw": Command("draw a mouth that says a sentence, as an MP4 file", _add_draw_arguments, _draw),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.lipreading", "Silent clips become text.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
