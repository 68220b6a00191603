"""Command line: python -m demos.vqa [predict] PHOTO QUESTION ..., train, evaluate, generate-questions."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from core.errors import InputError
from core.serving.bulk import Answer, Request, answer_with
from core.serving.command_line import Command, run_command, train_command
from core.serving.predict_command import PredictCommand, print_error


class Predict(PredictCommand):
    """`predict`: see core.serving.predict_command."""

    module, options, predictor = "demos.vqa.predict", "VQAOptions", "VQAPredictor"
    about = "answer questions about a photo (may be left out)"
    example = '{"image": "a.jpg", "question": "..."}'
    required = ("image", "question")
    option_help: ClassVar = {"choices": "rank these answers (multiple choice)", "answers": "open-ended answers to give"}
    unit = "question"

    def add_inputs(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("photo", nargs="?", metavar="PHOTO", help="photo, or folder of photos, to ask about")
        parser.add_argument("questions", nargs="*", metavar="QUESTION")

    def requests(self, options: argparse.Namespace) -> list[dict[str, Any]]:
        from core.input.image import list_images

        if not options.questions:
            raise InputError("Name a photo and ask a question about it, or name a file of requests with --jsonl.")
        photo = Path(options.photo)
        photos = map(str, list_images(photo)) if photo.is_dir() else [options.photo]
        return [{"image": photo, "question": question} for photo in photos for question in options.questions]

    def answers(self, predictor: Any, requests: Iterable[Request], batch_size: int) -> Iterator[Answer]:
        about: dict[str, Any] = {}

        def prepared() -> Iterator[tuple[Any, str, Any]]:
            for request in requests:
                about.clear()
                if isinstance(request, InputError):
                    yield None, "", request
                    continue
                about.update(image=request["image"], question=request["question"])
                try:
                    options = self.options_of(request)
                except InputError as error:
                    options = error
                yield request["image"], request["question"], options

        for result in predictor.stream(prepared()):
            yield answer_with(about, result)

    def show(self, answer: Answer) -> int:
        if "error" in answer:
            return print_error(answer["image"], answer)
        print(f"{answer['image']}  {answer['question']}  ({answer['seconds']:.2f} s)")
        for found in answer["answers"]:
            print(f"  {found['logprob']:7.2f}  {found['text']}   (without the photo {found['blind_logprob']:.2f})")
        return 0


COMMANDS = {
    "predict": Predict().command(),
    "train": train_command("vqa", "demos.vqa.train"),
    "evaluate": Command("measure the network as published", module="demos.vqa.evaluate"),
    "generate-questions": Command("make questions from captions", module="demos.vqa.questions.generate"),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.vqa", "Answers to questions about photos.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
