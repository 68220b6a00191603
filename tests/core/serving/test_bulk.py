"""JSON Lines in and out."""

import io
import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from core.errors import InputError, ModelError
from core.input.text import clean_text
from core.serving.bulk import answers_in_batches, answers_one_by_one, open_lines, read_requests, write_answers


def test_requests_keep_their_order_and_wrong_ones_their_place():
    lines = ['{"text": "a"}\n', "\n", "{", "[1]", '{"text": "b", "size": 2}', '{"size": 1}', '{"text": 1, "x": 2}']
    read = list(read_requests(lines, ["text"], ["size"]))
    assert read[0] == {"text": "a"}
    assert read[3] == {"text": "b", "size": 2}
    wrong = [str(read[i]) for i in (1, 2, 4, 5)]
    assert all(isinstance(read[i], InputError) for i in (1, 2, 4, 5))
    assert "not JSON" in wrong[0]
    assert "list" in wrong[1]
    assert "lacks text" in wrong[2]
    assert "Unknown field x: the fields are size, text." in wrong[3]
    assert len(read) == 6


def test_a_deeply_nested_line_is_refused_not_fatal():
    (request,) = read_requests(["[" * 100_000], ["text"], [])
    assert isinstance(request, InputError)


def test_answers_are_json_lines_and_errors_set_the_status():
    out = io.StringIO()
    assert write_answers([{"text": "é"}, ModelError("no weights"), {"text": "b"}], out) == 1
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [
        {"text": "é"}, {"error": "no weights"}, {"text": "b"},
    ]  # fmt: skip
    assert "é" in out.getvalue()
    assert write_answers([{"text": "a"}], io.StringIO()) == 0


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"missing\.jsonl"), open_lines(str(tmp_path / "missing.jsonl")):
        pass


# --- answers -----------------------------------------------------------------------------------------------------


@dataclass
class Doubled:
    value: int

    def to_dict(self) -> dict:
        return {"double": 2 * self.value}


def double(request: dict) -> Doubled:
    if request["n"] < 0:
        raise InputError("n must not be negative.")
    return Doubled(request["n"])


def named(request: dict) -> dict:
    return {"asked": request["n"]}


REQUESTS = [{"n": 1}, InputError("This line is not JSON."), {"n": -1}, {"n": 2}]


def test_one_by_one_every_request_has_its_answer_or_its_error_in_its_place():
    assert list(answers_one_by_one(REQUESTS[:1] + REQUESTS[2:], double, named)) == [
        {"asked": 1, "double": 2}, {"asked": -1, "error": "n must not be negative."}, {"asked": 2, "double": 4}
    ]  # fmt: skip
    assert list(answers_one_by_one(REQUESTS, double, named))[1] is REQUESTS[1]


def test_neighbours_with_the_same_options_share_a_batch_and_nothing_is_asked_before_its_turn():
    batches, asked = [], 0

    def requests():
        nonlocal asked
        for request in ({"n": 1, "o": 1}, {"n": 2, "o": 1}, REQUESTS[1], {"n": 3, "o": -1}, {"n": 4, "o": 2},
                        {"n": -5, "o": 2}):  # fmt: skip
            asked += 1
            yield request

    def options_of(request: dict) -> int:
        if request["o"] < 0:
            raise InputError("o must not be negative.")
        return request["o"]

    def stream(group, options: int):
        batches.append(options)
        for request in group:
            yield Doubled(request["n"]) if request["n"] > 0 else InputError("n must be positive.")

    found = answers_in_batches(requests(), options_of, stream, named)
    assert next(found) == {"asked": 1, "double": 2}
    assert asked == 1
    assert list(found) == [
        {"asked": 2, "double": 4}, REQUESTS[1], {"asked": 3, "error": "o must not be negative."},
        {"asked": 4, "double": 8}, {"asked": -5, "error": "n must be positive."},
    ]  # fmt: skip
    assert batches == [1, 2]


def test_what_a_line_says_goes_before_the_defaults():
    found = list(read_requests(['{"a": 1}', '{"a": 1, "b": 2}', "?"], ["a"], ["b"], {"b": 9}))
    assert found[:2] == [{"a": 1, "b": 9}, {"a": 1, "b": 2}]
    assert isinstance(found[2], InputError)


def test_a_line_that_is_not_utf_8_spoils_no_other(tmp_path):
    file = tmp_path / "mixed.txt"
    file.write_bytes(b"good\nna\xefve\rstill the same line\nfine\n")
    with open_lines(str(file)) as lines:
        found = list(lines)
    assert [line.rstrip("\n") for line in found] == ["good", "na\udcefve\rstill the same line", "fine"]
    with pytest.raises(InputError, match="not valid UTF-8"):
        clean_text(found[1], 100)


PIPED = """
import sys
from core.serving.command_line import Command, run_command
from core.serving.bulk import open_lines, write_answers

def answer(options):
    with open_lines("-") as lines:
        return write_answers({"line": line.rstrip("\\n")} for line in lines)

sys.exit(run_command("demos.toy", "Toy.", {"predict": Command("echo", lambda parser: None, answer)}, []))
"""


def test_surrogates_do_not_end_a_run():
    """As they come from a pipe in another encoding: shown escaped, in JSON that can be read."""
    done = subprocess.run([sys.executable, "-c", PIPED], input=b"caf\xe9\rau lait\nfine\n", capture_output=True)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == ["caf\udce9\rau lait", "fine"]
