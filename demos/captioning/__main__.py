"""Command line: python -m demos.captioning [predict] PHOTO_OR_FOLDER ..., train, evaluate."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.serving.bulk import (
    Answer,
    Request,
    answers_in_batches,
    open_lines,
    read_requests,
    with_progress,
    write_answers,
)
from core.serving.command_line import Command, given, run_command


def _add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="*", metavar="PHOTO_OR_FOLDER")
    parser.add_argument("--json", action="store_true", help="one JSON object per photo on standard output")
    parser.add_argument("--jsonl", metavar="FILE", help='bulk: one request like {"image": "a.jpg"} per line; - = stdin')
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--ray", type=int, metavar="WORKERS", help="on so many processes of Ray, or of a cluster")
    parser.add_argument("--batch-size", type=int, default=8, help="photos at a time (default: %(default)s)")
    parser.add_argument("--beam-size", type=int, help="default: 5")
    parser.add_argument("--length-penalty", type=float, help="0 ranks by log-probability, 1 by the mean per word")
    parser.add_argument("--max-length", type=int, help="words (default: 20)")
    parser.add_argument("--detector-weight", type=float, help="of the word detector, when ranking; 0 leaves it out")


def _predict(options: argparse.Namespace) -> int:
    from demos.captioning.predict import CaptioningOptions

    if bool(options.inputs) == bool(options.jsonl):
        raise InputError("Name photos or a folder of photos, or a file of requests with --jsonl.")
    if options.batch_size < 1:
        raise InputError(f"--batch-size must be 1 or more, not {options.batch_size}.")
    names = ("beam_size", "length_penalty", "max_length", "detector_weight")
    chosen = given(options, names)
    CaptioningOptions(**chosen)  # a wrong option is said before anything is loaded
    if options.jsonl:
        with open_lines(options.jsonl) as lines:
            return write_answers(_served(options, read_requests(lines, ["image"], names, chosen)))
    photos = list(_photos(options.inputs))
    requests = ({"image": str(photo), **chosen} for photo in photos)
    answers = with_progress(_served(options, requests), len(photos), "photo")
    if options.json:
        return write_answers(answers)
    return max(_print(photo, answer) for photo, answer in zip(photos, answers, strict=True))


def _served(options: argparse.Namespace, requests: Iterable[Request]) -> Iterator[Answer]:
    """Answers in the order of the requests, from this process or from Ray's."""
    load = partial(_answerer, options.checkpoint, options.batch_size)
    if options.ray is None:
        return load()(requests)
    from core.serving.cluster import answer_on_ray

    return answer_on_ray(load, requests, options.ray, options.batch_size)


def _answerer(checkpoint: str | None, batch_size: int) -> Callable[[Iterable[Request]], Iterator[Answer]]:
    from demos.captioning.predict import CaptioningPredictor

    return partial(_answers, CaptioningPredictor.from_pretrained(checkpoint), batch_size=batch_size)


def _photos(inputs: Iterable[str]) -> Iterator[Path]:
    """Files as they are, folders as the pictures in them."""
    from core.input.image import list_images

    for name in inputs:
        path = Path(name)
        yield from list_images(path) if path.is_dir() else [path]


def _answers(predictor: Any, requests: Iterable[Request], batch_size: int) -> Iterator[Answer]:
    from demos.captioning.predict import CaptioningOptions

    return answers_in_batches(
        requests,
        lambda request: CaptioningOptions(**{name: value for name, value in request.items() if name != "image"}),
        lambda group, options: predictor.stream((request["image"] for request in group), options, batch_size),
        about=lambda request: {"image": request["image"]},
    )


def _print(photo: Path, answer: Answer) -> int:
    if "error" in answer:
        print(f"{photo}: {answer['error']}", file=sys.stderr)
        return 1
    print(f"{photo}  ({answer['seconds']:.2f} s)")
    for hypothesis in answer["hypotheses"]:
        print(f"  {hypothesis['logprob']:7.2f}  {hypothesis['text']}")
    return 0


COMMANDS = {
    "predict": Command("caption photos (may be left out)", _add_predict_arguments, _predict),
    "train": Command("train the network", module="demos.captioning.train"),
    "evaluate": Command("measure the network as published", module="demos.captioning.evaluate"),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.captioning", "Captions for photos.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
