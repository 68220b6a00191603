"""Command line: python -m demos.captioning [predict] PHOTO_OR_FOLDER ..., train, evaluate."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from core.bulk import Answer, open_lines, read_requests, write_answers
from core.errors import InputError, UnrolledError

COMMANDS = ("predict", "train", "evaluate")


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
    """Only the chosen command's module is imported: training needs libraries that captioning does not."""
    parser = argparse.ArgumentParser(prog="python -m demos.captioning", description="Captions for photos.")
    commands = parser.add_subparsers(dest="command", required=True)
    predict = commands.add_parser("predict", help="caption photos (may be left out)")
    train = commands.add_parser("train", help="train the network")
    evaluate = commands.add_parser("evaluate", help="measure the network as published")
    if command == "predict":
        _add_predict_arguments(predict)
    elif command == "train":
        from demos.captioning import train as module

        module.add_arguments(train)
        train.set_defaults(run=module.main)
    elif command == "evaluate":
        from demos.captioning import evaluate as module

        module.add_arguments(evaluate)
        evaluate.set_defaults(run=module.main)
    return parser


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
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from demos.captioning.predict import CaptioningOptions

    if bool(options.inputs) == bool(options.jsonl):
        raise InputError("Name photos or a folder of photos, or a file of requests with --jsonl.")
    if options.batch_size < 1:
        raise InputError(f"--batch-size must be 1 or more, not {options.batch_size}.")
    names = ("beam_size", "length_penalty", "max_length", "detector_weight")
    chosen = {name: value for name in names if (value := getattr(options, name)) is not None}
    CaptioningOptions(**chosen)  # a wrong option is said before anything is loaded
    if options.jsonl:
        with open_lines(options.jsonl) as lines:
            requests = ({**chosen, **r} if isinstance(r, dict) else r for r in read_requests(lines, ["image"], names))
            return write_answers(_served(options, requests))
    photos = list(_photos(options.inputs))
    requests = ({"image": str(photo), **chosen} for photo in photos)
    answers = _with_progress(_served(options, requests), len(photos))
    if options.json:
        return write_answers(answers)
    return max(_print(photo, answer) for photo, answer in zip(photos, answers, strict=True))


def _served(options: argparse.Namespace, requests: Iterable[dict | InputError]) -> Iterator[Answer]:
    """Answers in the order of the requests, from this process or from Ray's."""
    load = partial(_answerer, options.checkpoint, options.batch_size)
    if options.ray is None:
        return load()(requests)
    from core.cluster import answer_on_ray

    return answer_on_ray(load, requests, options.ray, options.batch_size)


def _answerer(checkpoint: str | None, batch_size: int) -> Callable[[Iterable[dict | InputError]], Iterator[Answer]]:
    from demos.captioning.predict import CaptioningPredictor

    return partial(_answers, CaptioningPredictor.from_pretrained(checkpoint), batch_size=batch_size)


def _photos(inputs: Iterable[str]) -> Iterator[Path]:
    """Files as they are, folders as the pictures in them."""
    from core.media import list_images

    for name in inputs:
        path = Path(name)
        yield from list_images(path) if path.is_dir() else [path]


def _answers(predictor: Any, requests: Iterable[dict | InputError], batch_size: int) -> Iterator[Answer]:
    """Answers in the order of the requests. Neighbours with the same options share batches; memory stays bounded."""
    for options, group in groupby(requests, key=_options_of):
        if isinstance(options, InputError):
            yield from (_error_of(request, options) for request in group)
            continue
        names: list[Any] = []
        results = predictor.stream(_remember(group, names), options, batch_size)
        for result in results:
            name = names.pop(0)
            if isinstance(result, InputError):
                yield {"image": name, "error": str(result)}
            else:
                yield {"image": name, **result.to_dict()}


def _options_of(request: dict | InputError) -> Any:
    from demos.captioning.predict import CaptioningOptions

    if isinstance(request, InputError):
        return request
    try:
        return CaptioningOptions(**{name: value for name, value in request.items() if name != "image"})
    except InputError as error:
        return error


def _error_of(request: dict | InputError, error: InputError) -> Answer:
    return {"image": request["image"], "error": str(error)} if isinstance(request, dict) else error


def _remember(group: Iterable[dict], names: list[Any]) -> Iterator[Any]:
    for request in group:
        names.append(request["image"])
        yield request["image"]


def _with_progress(answers: Iterator[Answer], total: int) -> Iterator[Answer]:
    from tqdm import tqdm

    quiet = total < 2 or not sys.stderr.isatty()
    return iter(tqdm(answers, total=total, unit="photo", disable=quiet, file=sys.stderr))


def _print(photo: Path, answer: Answer) -> int:
    if "error" in answer:
        print(f"{photo}: {answer['error']}", file=sys.stderr)
        return 1
    print(f"{photo}  ({answer['seconds']:.2f} s)")
    for hypothesis in answer["hypotheses"]:
        print(f"  {hypothesis['logprob']:7.2f}  {hypothesis['text']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
