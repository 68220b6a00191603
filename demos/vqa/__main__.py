"""Command line: python -m demos.vqa [predict] PHOTO QUESTION ..., train, evaluate, generate-questions."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from core.errors import InputError
from core.serving.bulk import Answer, Request, answer_with, open_lines, read_requests, with_progress, write_answers
from core.serving.command_line import Command, given, run_command


def _add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", nargs="?", metavar="PHOTO", help="photo, or folder of photos, to ask about")
    parser.add_argument("questions", nargs="*", metavar="QUESTION")
    parser.add_argument("--choices", nargs="+", metavar="ANSWER", help="rank these answers (multiple choice)")
    parser.add_argument("--answers", type=int, help="open-ended answers to give (default: 5)")
    parser.add_argument("--json", action="store_true", help="one JSON object per photo and question on standard output")
    help_text = 'bulk: one request like {"image": "a.jpg", "question": "..."} per line; - = stdin'
    parser.add_argument("--jsonl", metavar="FILE", help=help_text)
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")


def _predict(options: argparse.Namespace) -> int:
    from demos.vqa.predict import VQAOptions, VQAPredictor

    chosen = given(options, ("choices", "answers"))
    VQAOptions(**chosen)  # a wrong option is said before anything is loaded
    if bool(options.photo) == bool(options.jsonl) or bool(options.questions) != bool(options.photo):
        raise InputError("Name a photo and ask a question about it, or name a file of requests with --jsonl.")
    if options.jsonl:
        with open_lines(options.jsonl) as lines:
            requests = read_requests(lines, ["image", "question"], ["choices", "answers"], chosen)
            predictor = VQAPredictor.from_pretrained(options.checkpoint)
            return write_answers(_answers(predictor, requests))
    pairs = [(photo, question) for photo in _photos(options.photo) for question in options.questions]
    predictor = VQAPredictor.from_pretrained(options.checkpoint)
    requests = ({"image": photo, "question": question, **chosen} for photo, question in pairs)
    answers = with_progress(_answers(predictor, requests), len(pairs), "question")
    return write_answers(answers) if options.json else max(map(_print, answers))


def _photos(name: str) -> list[str]:
    """A file as it is, a folder as the pictures in it."""
    from pathlib import Path

    from core.input.image import list_images

    return [str(file) for file in list_images(Path(name))] if Path(name).is_dir() else [name]


def _answers(predictor: Any, requests: Iterable[Request]) -> Iterator[Answer]:
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
        yield answer_with(names, result)


def _print(answer: Answer) -> int:
    if "error" in answer:
        print(f"{answer['image']}: {answer['error']}", file=sys.stderr)
        return 1
    print(f"{answer['image']}  {answer['question']}  ({answer['seconds']:.2f} s)")
    for found in answer["answers"]:
        print(f"  {found['logprob']:7.2f}  {found['text']}   (without the photo {found['blind_logprob']:.2f})")
    return 0


COMMANDS = {
    "predict": Command("answer questions about a photo (may be left out)", _add_predict_arguments, _predict),
    "train": Command("train the network", module="demos.vqa.train"),
    "evaluate": Command("measure the network as published", module="demos.vqa.evaluate"),
    "generate-questions": Command("make questions from captions", module="demos.vqa.generate"),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.vqa", "Answers to questions about photos.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
