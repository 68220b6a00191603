"""Command line: python -m demos.vqa [predict] PHOTO QUESTION ..., train, evaluate, generate-questions."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from core.bulk import Answer, open_lines, read_requests, write_answers
from core.errors import InputError, UnrolledError

MODULES = {"train": "train", "evaluate": "evaluate", "generate-questions": "generate"}  # in this folder
COMMANDS = ("predict", *MODULES)


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
    """Only the chosen command's module is imported: training needs libraries that answering does not."""
    parser = argparse.ArgumentParser(prog="python -m demos.vqa", description="Answers to questions about photos.")
    commands = parser.add_subparsers(dest="command", required=True)
    predict = commands.add_parser("predict", help="answer questions about a photo (may be left out)")
    others = {
        "train": commands.add_parser("train", help="train the network"),
        "evaluate": commands.add_parser("evaluate", help="measure the network as published"),
        "generate-questions": commands.add_parser("generate-questions", help="make questions from captions"),
    }
    if command == "predict":
        _add_predict_arguments(predict)
    elif command in others:
        module = import_module(f"demos.vqa.{MODULES[command]}")
        module.add_arguments(others[command])
        others[command].set_defaults(run=module.main)
    return parser


def _add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", nargs="?", metavar="PHOTO", help="photo, or folder of photos, to ask about")
    parser.add_argument("questions", nargs="*", metavar="QUESTION")
    parser.add_argument("--choices", nargs="+", metavar="ANSWER", help="rank these answers (multiple choice)")
    parser.add_argument("--answers", type=int, help="open-ended answers to give (default: 5)")
    parser.add_argument("--json", action="store_true", help="one JSON object per photo and question on standard output")
    help_text = 'bulk: one request like {"image": "a.jpg", "question": "..."} per line; - = stdin'
    parser.add_argument("--jsonl", metavar="FILE", help=help_text)
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> int:
    from demos.vqa.predict import VQAOptions, VQAPredictor

    chosen = {name: value for name in ("choices", "answers") if (value := getattr(options, name)) is not None}
    VQAOptions(**chosen)  # a wrong option is said before anything is loaded
    if bool(options.photo) == bool(options.jsonl) or bool(options.questions) != bool(options.photo):
        raise InputError("Name a photo and ask a question about it, or name a file of requests with --jsonl.")
    if options.jsonl:
        with open_lines(options.jsonl) as lines:
            requests = read_requests(lines, ["image", "question"], ["choices", "answers"])
            merged = ({**chosen, **r} if isinstance(r, dict) else r for r in requests)
            predictor = VQAPredictor.from_pretrained(options.checkpoint)
            return write_answers(_answers(predictor, merged))
    pairs = [(photo, question) for photo in _photos(options.photo) for question in options.questions]
    predictor = VQAPredictor.from_pretrained(options.checkpoint)
    requests = ({"image": photo, "question": question, **chosen} for photo, question in pairs)
    answers = _with_progress(_answers(predictor, requests), len(pairs))
    return write_answers(answers) if options.json else max(map(_print, answers))


def _photos(name: str) -> list[str]:
    """A file as it is, a folder as the pictures in it."""
    from pathlib import Path

    from core.media import list_images

    return [str(file) for file in list_images(Path(name))] if Path(name).is_dir() else [name]


def _answers(predictor: Any, requests: Iterable[dict | InputError]) -> Iterator[Answer]:
    """Answers in the order of the requests, one at a time."""
    from demos.vqa.predict import VQAOptions

    names: dict = {}

    def prepared() -> Iterator[tuple[Any, str, VQAOptions]]:
        for request in requests:
            names.clear()
            if isinstance(request, InputError):
                yield None, "", request
                continue
            names.update(image=request["image"], question=request["question"])
            try:
                options = VQAOptions(**{k: v for k, v in request.items() if k not in names})
            except InputError as error:
                options = error
            yield request["image"], request["question"], options

    for result in predictor.stream(prepared()):
        if isinstance(result, InputError):
            yield {**names, "error": str(result)}
        else:
            yield {**names, **result.to_dict()}


def _with_progress(answers: Iterator[Answer], total: int) -> Iterator[Answer]:
    from tqdm import tqdm

    quiet = total < 2 or not sys.stderr.isatty()
    return iter(tqdm(answers, total=total, unit="question", disable=quiet, file=sys.stderr))


def _print(answer: Answer) -> int:
    if "error" in answer:
        print(f"{answer['image']}: {answer['error']}", file=sys.stderr)
        return 1
    print(f"{answer['image']}  {answer['question']}  ({answer['seconds']:.2f} s)")
    for found in answer["answers"]:
        print(f"  {found['logprob']:7.2f}  {found['text']}   (without the photo {found['blind_logprob']:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
