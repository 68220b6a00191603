"""The `predict` command on a toy demo that repeats words."""

import io
import json
import sys
from dataclasses import dataclass

import pytest

from core.errors import InputError
from core.serving.bulk import answers_one_by_one
from core.serving.command_line import run_command
from core.serving.predict_command import PredictCommand, print_error


@dataclass(frozen=True)
class Options:
    times: int = 1
    ratio: float | None = None
    ending: str = ""
    upper: bool = False
    choices: tuple[str, ...] = ()
    hidden: int = 0  # in requests only

    def __post_init__(self):
        if self.times < 1:
            raise InputError(f"times must be 1 or more, not {self.times}.")


@dataclass(frozen=True)
class Result:
    text: str

    def to_dict(self) -> dict:
        return {"text": self.text}


class Repeat(PredictCommand):
    about = "repeat words"
    example = '{"word": "..."}'
    required = ("word",)
    option_help = {  # noqa: RUF012
        "times": "how often, 100 % exactly",
        "ratio": "a number",
        "ending": "what comes last",
        "upper": "in capitals",
        "choices": "words that may be repeated",
    }
    batch_size = 4
    loaded: list = []  # noqa: RUF012

    def options_class(self) -> type:
        return Options

    def load(self, checkpoint):
        self.loaded.append(checkpoint)
        return "predictor"

    def add_inputs(self, parser) -> None:
        parser.add_argument("words", nargs="*")

    def requests(self, options):
        if not options.words:
            raise InputError("Name a word.")
        return [{"word": word} for word in options.words]

    def answers(self, predictor, requests, batch_size):
        def answer(request: dict) -> Result:
            options = Options(**{name: value for name, value in request.items() if name != "word"})
            if options.choices and request["word"] not in options.choices:
                raise InputError(f"{request['word']} is no choice.")
            text = " ".join([request["word"]] * options.times) + options.ending
            return Result(text.upper() if options.upper else text)

        return answers_one_by_one(requests, answer, lambda request: {"word": request.get("word")})

    def show(self, answer) -> int:
        if "error" in answer:
            return print_error(answer["word"], answer)
        print(answer["text"])
        return 0


@pytest.fixture
def run(capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        Repeat.loaded.clear()
        status = run_command("demos.toy", "A toy.", {"predict": Repeat().command()}, list(arguments))
        return status, *capsys.readouterr()

    return run


def test_inputs_are_answered_in_order(run):
    assert run("a", "b") == (0, "a\nb\n", "")
    assert run("predict", "a") == (0, "a\n", "")
    assert Repeat.loaded == [None]


def test_options_may_stand_between_the_inputs(run):
    assert run("a", "--times", "2", "b", "--upper", "c")[1] == "A A\nB B\nC C\n"


def test_every_type_of_option_has_its_flag(run):
    assert run("a", "--ending", "!", "--no-upper", "--ratio", "0.5")[1] == "a!\n"
    assert run("a", "--choices", "a", "b")[0] == 0  # several words; the input stands before
    assert run("--json", "c", "--choices", "a", "b")[0] == 1
    for wrong in (["--times", "x"], ["--ratio", "x"], ["--hidden", "3"]):
        with pytest.raises(SystemExit) as end:
            run("a", *wrong)
        assert end.value.code == 2


def test_json_has_one_object_a_line_and_an_error_sets_the_status(run):
    status, out, _ = run("a", "b", "--json", "--choices", "b", "--times", "2")
    assert status == 1
    assert [json.loads(line) for line in out.splitlines()] == [
        {"word": "a", "error": "a is no choice."}, {"word": "b", "text": "b b"}
    ]  # fmt: skip


def test_an_error_goes_to_standard_error_for_people(run):
    assert run("a", "b", "--choices", "b") == (1, "b\n", "a: a is no choice.\n")


def test_requests_from_a_file_keep_their_own_options(run, tmp_path, monkeypatch):
    lines = '{"word": "a"}\n{"word": "b", "times": 3, "hidden": 1}\n?\n{"word": "c", "x": 1}\n'
    (tmp_path / "requests.jsonl").write_text(lines)
    status, out, _ = run("--jsonl", str(tmp_path / "requests.jsonl"), "--times", "2")
    answers = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert [answer.get("text") for answer in answers] == ["a a", "b b b", None, None]
    assert "not JSON" in answers[2]["error"]
    assert "Unknown field x" in answers[3]["error"]
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"word": "d"}\n'))
    assert json.loads(run("--jsonl", "-")[1]) == {"word": "d", "text": "d"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name a word."),
        (["a", "--jsonl", "-"], "not both"),
        (["a", "--times", "0"], "times must be 1 or more"),
        (["a", "--batch-size", "0"], "--batch-size must be 1 or more, not 0."),
        (["--jsonl", "/nowhere/at/all"], "/nowhere/at/all cannot be read"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_loaded(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert Repeat.loaded == []


def test_a_checkpoint_is_handed_on(run):
    run("a", "--checkpoint", "owner/name")
    assert Repeat.loaded == ["owner/name"]


def test_help_tells_of_each_option_and_its_default(run, capsys):
    with pytest.raises(SystemExit):
        run("predict", "--help")
    told = " ".join(capsys.readouterr().out.split())
    assert "--times TIMES how often, 100 % exactly (default: 1)" in told
    assert "--upper, --no-upper" in told
    assert "--hidden" not in told
