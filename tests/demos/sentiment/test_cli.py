"""The command line as a user types it, with the shipped checkpoints."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from demos.sentiment.__main__ import main

REPOSITORY = Path(__file__).resolve().parents[3]


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_texts_are_judged_in_a_process_of_its_own():
    command = [sys.executable, "-m", "demos.sentiment", "A wonderful film.", "최악의 영화", "--explain"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first, *words, second, _, _ = done.stdout.splitlines()
    assert first.startswith("positive  ")
    assert first.endswith("A wonderful film.")
    assert [line.split()[-1] for line in words] == ["A", "wonderful", "film."]
    assert second.startswith("negative  ")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("One of the best films I have ever seen.", "positive"),
        ("A dull, lifeless and predictable mess.", "negative"),
        ("The phone is great, I love the battery life!", "positive"),
        ("Terrible service, the food was cold and awful.", "negative"),
        ("정말 재미있고 감동적인 영화", "positive"),
        ("돈 아깝다 진짜 재미없음", "negative"),
    ],
)
def test_plain_cases_are_right(text, label, capsys):
    assert main([text, "--json"]) == 0
    (answer,) = lines(capsys)
    assert answer["label"] == label
    assert {"label", "probability", "language", "classes", "fine", "tokens", "steps", "seconds"} <= set(answer)
    assert [word["text"] for word in answer["tokens"]] == text.split()


def test_the_word_that_decides_weighs_most(capsys):
    assert main(["The plot was terrible .", "--json", "--explain"]) == 0
    (answer,) = lines(capsys)
    assert min(answer["tokens"], key=lambda word: word["weight"])["text"] == "terrible"
    assert answer["steps"][-1] == pytest.approx(answer["classes"]["positive"], abs=1e-5)


def test_json_lines_keep_order_and_errors_stay_in_their_place(capsys, monkeypatch):
    requests = [
        json.dumps({"text": "A great film"}),
        "this is not JSON",
        json.dumps({"text": "😀"}),
        json.dumps({"language": "english"}),
        json.dumps({"text": "fine", "language": "french"}),
        json.dumps({"text": "fine", "colour": "red"}),
        json.dumps({"text": 7}),
        "",
        json.dumps({"text": "좋은 영화", "explain": True}),
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(requests)))
    assert main(["--jsonl", "-"]) == 1
    answers = lines(capsys)
    assert ["error" in a for a in answers] == [False, True, True, True, True, True, True, False]
    for answer, word in zip(
        answers[1:7], ("JSON", "no words", "text", "french", "colour", "string"), strict=True
    ):  # fmt: skip
        assert word in answer["error"]
    assert answers[0]["steps"] is None
    assert len(answers[7]["steps"]) == 2


def test_files_and_standard_input_are_served_line_by_line(tmp_path, capsys, monkeypatch):
    file = tmp_path / "texts.txt"
    file.write_text("A great film\n\n최악\n", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO(file.read_text(encoding="utf-8")))
    for arguments in (["-", "--json"], [str(file), "--json", "--batch-size", "1"]):
        assert main(arguments) == 0
        assert [(a["text"], a["label"]) for a in lines(capsys)] == [("A great film", "positive"), ("최악", "negative")]
    assert main([str(file)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    "arguments",
    [[], ["--json"], ["good", "--checkpoint", "nowhere"], ["--jsonl", "missing.jsonl"], ["good", "--batch-size", "0"],
     ["good", "--jsonl", "-"], ["good", "--language", "french"]],
)  # fmt: skip
def test_a_command_that_cannot_be_tried_says_why(arguments, capsys):
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.strip().splitlines()) == 1


def test_a_text_that_cannot_be_judged_does_not_stop_the_others(capsys):
    assert main(["😀", "A great film"]) == 1
    output = capsys.readouterr()
    assert "no words" in output.err
    assert "A great film" in output.out
