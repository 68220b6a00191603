"""Command line: python -m demos.captioning [predict] PHOTO_OR_FOLDER ..., train, evaluate."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from core.errors import InputError
from core.serving.bulk import Answer, Request, answers_in_batches
from core.serving.command_line import Command, run_command, train_command
from core.serving.predict_command import PredictCommand, print_error


class Predict(PredictCommand):
    """Photos, or folders of them, -> captions."""

    module, options, predictor = "demos.captioning.predict", "CaptioningOptions", "CaptioningPredictor"
    about = "caption photos (may be left out)"
    example = '{"image": "a.jpg"}'
    required = ("image",)
    option_help: ClassVar = {
        "beam_size": "hypotheses to search with",
        "n_best": "captions to return",
        "length_penalty": "0 ranks by log-probability, 1 by the mean per word",
        "max_length": "words",
        "rerank": "whether the word detector has a say in the ranking",
    }
    batch_size = 8
    unit = "photo"

    def add_inputs(self, parser: argparse.ArgumentParser) -> None:
        """See PredictCommand."""
        parser.add_argument("inputs", nargs="*", metavar="PHOTO_OR_FOLDER")

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Those of every demo, and --ray."""
        super().add_arguments(parser)
        parser.add_argument("--ray", type=int, metavar="WORKERS", help="on so many processes of Ray, or of a cluster")

    def requests(self, options: argparse.Namespace) -> list[dict[str, Any]]:
        """Files as they are, folders as the pictures in them."""
        from core.input.image import list_images

        if not options.inputs:
            raise InputError("Name photos or a folder of photos, or a file of requests with --jsonl.")
        paths = [Path(name) for name in options.inputs]
        return [{"image": str(file)} for path in paths for file in (list_images(path) if path.is_dir() else [path])]

    def answers(self, predictor: Any, requests: Iterable[Request], batch_size: int) -> Iterator[Answer]:
        """See PredictCommand."""
        return answers_in_batches(
            requests,
            self.options_of,
            lambda group, options: predictor.stream((request["image"] for request in group), options, batch_size),
            about=lambda request: {"image": request["image"]},
        )

    def served(self, options: argparse.Namespace, requests: Iterable[Request]) -> Iterator[Answer]:
        """From this process or from Ray's."""
        if options.ray is None:
            return super().served(options, requests)
        from core.serving.cluster import answer_on_ray

        load = partial(_answerer, options.checkpoint, options.batch_size)
        return answer_on_ray(load, requests, options.ray, options.batch_size)

    def show(self, answer: Answer) -> int:
        """See PredictCommand."""
        if "error" in answer:
            return print_error(answer["image"], answer)
        print(f"{answer['image']}  ({answer['seconds']:.2f} s)")
        for hypothesis in answer["hypotheses"]:
            print(f"  {hypothesis['logprob']:7.2f}  {hypothesis['text']}")
        return 0


def _answerer(checkpoint: str | None, batch_size: int) -> Any:
    """A function from requests to answers, made on a worker of Ray."""
    command = Predict()
    return partial(command.answers, command.load(checkpoint), batch_size=batch_size)


COMMANDS = {
    "predict": Predict().command(),
    "train": train_command("captioning", "demos.captioning.train"),
    "evaluate": Command("measure the network as published", module="demos.captioning.evaluate"),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.captioning", "Captions for photos.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
