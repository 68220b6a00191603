"""JSON Lines in and out."""

import io
import json

import pytest

from core.bulk import open_lines, read_requests, write_answers
from core.errors import InputError, ModelError


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
