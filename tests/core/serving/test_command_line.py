"""What every demo's command line does alike."""

import sys
import types

import pytest

from core.errors import InputError, ModelError
from core.serving.command_line import Command, run_command


def add_number(parser) -> None:
    parser.add_argument("number", type=int)


def succeed_if_even(options) -> int:
    return options.number % 2


def fail(error: BaseException):
    def run(options) -> int:
        raise error

    return run


def run(arguments: list[str], **commands: Command) -> int:
    return run_command(
        "demos.toy", "A toy.", {"predict": Command("count", add_number, succeed_if_even), **commands}, arguments
    )


def test_predict_may_be_left_out_and_its_status_is_the_programs():
    assert [run(arguments) for arguments in (["predict", "4"], ["4"], ["5"])] == [0, 0, 1]


def test_a_command_of_another_module_is_imported_only_when_called(monkeypatch):
    train = {"train": Command("train", module="toy_training")}
    assert run(["4"], **train) == 0  # though there is no such module
    with pytest.raises(ModuleNotFoundError):
        run(["train"], **train)
    module = types.ModuleType("toy_training")
    module.add_arguments, module.main = add_number, lambda options: None
    monkeypatch.setitem(sys.modules, "toy_training", module)
    assert run(["train", "7"], **train) == 0


@pytest.mark.parametrize("error", [InputError("Name a photo."), ModelError("No weights.")])
def test_an_error_for_people_is_one_sentence_and_status_2(error, capsys):
    assert run(["other"], other=Command("fail", lambda parser: None, fail(error))) == 2
    assert capsys.readouterr().err == f"{error}\n"


def test_an_interruption_is_no_stack_trace():
    assert run(["other"], other=Command("stop", lambda parser: None, fail(KeyboardInterrupt()))) == 130


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as end:
        run(["--help"], train=Command("train the toy", module="toy_training"))
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert "python -m demos.toy" in told
    assert "train the toy" in told
