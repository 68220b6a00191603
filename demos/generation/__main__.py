"""Command line: python -m demos.generation [predict] CORPUS [PROMPT], train, evaluate."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from core.errors import InputError
from core.serving.bulk import Answer, Request, answers_one_by_one, open_lines, read_requests, write_answers
from core.serving.command_line import Command, given, run_command
from demos.generation.sources import SOURCES

FIELDS = ("temperature", "top_k", "top_p", "length", "seed", "whole_bars")


def _add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", nargs="?", help=f"one of {', '.join(source.name for source in SOURCES)}")
    parser.add_argument("prompt", nargs="?", default="", help="a beginning")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument(
        "--jsonl", metavar="FILE", help='bulk: one request like {"corpus": "linux"} per line; - = stdin'
    )
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--temperature", type=float, help="0 always takes the likeliest; default: 0.7")
    parser.add_argument("--top-k", type=int, help="only among so many of the likeliest; default: among all")
    parser.add_argument("--top-p", type=float, help="only among the likeliest of this probability; default: 1")
    parser.add_argument(
        "--length", type=int, help="characters, of folk tunes ABC tokens, of reviews words; default: 600"
    )
    parser.add_argument("--seed", type=int, help="default: 1")
    parser.add_argument(
        "--whole-bars", action=argparse.BooleanOptionalAction, help="of folk tunes: let every bar add up; the default"
    )


def _predict(options: argparse.Namespace) -> int:
    from demos.generation.predict import GenerationOptions, bounded

    if bool(options.corpus) == bool(options.jsonl):
        raise InputError("Name a corpus and, if you like, a beginning; or a file of requests with --jsonl.")
    chosen = given(options, FIELDS)
    how, find = GenerationOptions(**chosen), _finder(options.checkpoint)
    if options.jsonl:
        with open_lines(options.jsonl) as lines:
            requests = read_requests(lines, ["corpus"], ["prompt", *FIELDS])
            return write_answers(answers(find, requests, chosen))
    if options.json:
        request = {"corpus": options.corpus, "prompt": options.prompt}
        return write_answers(answers(find, [request], chosen))
    predictor = find(options.corpus)
    pieces, notes = predictor.pieces(options.corpus, options.prompt)
    for note in (*notes, *bounded(how)):
        print(note, file=sys.stderr)
    sys.stdout.write("".join(pieces))
    for burst in predictor.stream(options.corpus, options.prompt, how):
        sys.stdout.write("".join(token.text for token in burst))
        sys.stdout.flush()
    print()
    return 0


def _finder(checkpoint: str | None) -> Callable[[str], Any]:
    """What finds the predictor for a corpus: the one that was named, or the repository's own."""
    from demos.generation.predict import GenerationPredictor, get_predictor

    if not checkpoint:
        return get_predictor
    predictor = GenerationPredictor.from_pretrained(checkpoint)
    return lambda corpus: predictor


def answers(find: Callable[[str], Any], requests: Iterable[Request], chosen: dict[str, Any]) -> Iterator[Answer]:
    """An answer, or an error in its place, for each request; its own fields go before the `chosen` ones.

    find: corpus -> the predictor that has learnt it.
    """
    from demos.generation.predict import GenerationOptions

    def write(request: dict) -> Any:
        options = GenerationOptions(**{**chosen, **{name: request[name] for name in FIELDS if name in request}})
        return find(request["corpus"])(request["corpus"], request.get("prompt", ""), options)

    return answers_one_by_one(requests, write, about=dict)


COMMANDS = {
    "predict": Command("write on after a beginning (may be left out)", _add_predict_arguments, _predict),
    "train": Command("train a network", module="demos.generation.train"),
    "evaluate": Command("measure a network on held-out text, or its folk tunes", module="demos.generation.evaluate"),
}


def main(arguments: list[str] | None = None) -> int:
    """See core.serving.command_line.run_command."""
    return run_command("demos.generation", "Text, a piece at a time.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
