"""Command line: python -m demos.generation [predict] CORPUS [PROMPT], train, evaluate."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, ClassVar

from core.errors import InputError
from core.serving.bulk import Answer, Request, answers_one_by_one
from core.serving.command_line import Command, run_command, train_command
from core.serving.predict_command import PredictCommand
from demos.generation.sources import SOURCES

Find = Callable[[str], Any]  # from a corpus to the predictor that has learnt it


class GenerationCommand(PredictCommand):
    """Writes on after a beginning."""

    module, options, predictor = "demos.generation.predict", "GenerationOptions", "GenerationPredictor"
    about = "write on after a beginning (may be left out)"
    example = '{"corpus": "linux"}'
    required = ("corpus",)
    optional = ("prompt",)
    option_help: ClassVar = {
        "temperature": "0 always takes the likeliest",
        "top_k": "only among so many of the likeliest; 0: among all",
        "top_p": "only among the likeliest of this probability together",
        "length": "characters, of folk tunes ABC tokens, of reviews words",
        "seed": "the same one writes the same text",
        "whole_bars": "of folk tunes: let every bar add up",
    }
    unit = "text"

    def load(self, checkpoint: str | None) -> Find:
        from demos.generation.predict import GenerationPredictor, get_predictor

        if not checkpoint:
            return get_predictor
        predictor = GenerationPredictor.from_pretrained(checkpoint)
        return lambda corpus: predictor

    def add_inputs(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("corpus", nargs="?", help=f"one of {', '.join(source.name for source in SOURCES)}")
        parser.add_argument("prompt", nargs="?", default="", help="a beginning")

    def requests(self, options: argparse.Namespace) -> Iterable[dict[str, Any]]:
        if not options.corpus:
            raise InputError("Name a corpus and, if you like, a beginning; or a file of requests with --jsonl.")
        return [{"corpus": options.corpus, "prompt": options.prompt}]

    def answers(self, predictor: Find, requests: Iterable[Request], batch_size: int) -> Iterator[Answer]:
        def write(request: dict[str, Any]) -> Any:
            return predictor(request["corpus"])(*self._question(request))

        return answers_one_by_one(requests, write, about=dict)

    def served(self, options: argparse.Namespace, requests: Iterable[Request]) -> Iterator[Answer]:
        """For a person, the pieces of each text as they are written."""
        if options.json or options.jsonl:
            yield from super().served(options, requests)
            return
        from demos.generation.predict import bounded

        find = self.load(options.checkpoint)
        for request in requests:
            corpus, prompt, how = self._question(request)
            pieces, notes = find(corpus).pieces(corpus, prompt)
            written = (token.text for chunk in find(corpus).stream(corpus, prompt, how) for token in chunk)
            yield {"notes": (*notes, *bounded(how)), "pieces": chain(pieces, written)}

    def show(self, answer: Answer) -> int:
        for note in answer["notes"]:
            print(note, file=sys.stderr)
        for piece in answer["pieces"]:
            print(piece, end="", flush=True)
        print()
        return 0

    def _question(self, request: dict[str, Any]) -> tuple[str, str, Any]:
        """Corpus, beginning and options."""
        return request["corpus"], request.get("prompt", ""), self.options_of(request)


COMMANDS = {
    "predict": GenerationCommand().command(),
    "train": train_command("generation", "demos.generation.train"),
    "evaluate": Command("measure a network on held-out text, or its folk tunes", module="demos.generation.evaluate"),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.generation", "Text, a piece at a time.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
