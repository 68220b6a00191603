"""The command line as a user types it, with a small network."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from demos.translation.__main__ import main

REPOSITORY = Path(__file__).resolve().parents[3]
ENGLISH = ["A dog sleeps here.", "", "Tom runs outside.", "A girl sings at home."]
GERMAN = ["Ein Hund schläft hier.", "", "Tom läuft draußen.", "Ein Mädchen singt zu Hause."]


@pytest.fixture
def command(checkpoint) -> list[str]:
    return ["--from", "en", "--to", "de", "--checkpoint", str(checkpoint)]


@pytest.fixture
def file(tmp_path) -> str:
    (tmp_path / "lines.txt").write_text("\n".join(ENGLISH) + "\n")
    return str(tmp_path / "lines.txt")


def test_a_file_becomes_one_translation_a_line_in_order(file, command, capsys):
    assert main([file, *command, "--batch-size", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == GERMAN


def test_standard_input_goes_through_a_process_of_its_own(command):
    line = [sys.executable, "-m", "demos.translation", *command]
    text = "\n".join(ENGLISH)
    done = subprocess.run(line, cwd=REPOSITORY, input=text, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == GERMAN


def test_a_text_can_be_given_as_it_is(command, capsys):
    assert main(["A dog sleeps here.", *command, "--json"]) == 0
    (answer,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert answer["text"] == "Ein Hund schläft hier."
    assert {"source_text", "text", "logprob", "hypotheses", "attention", "seconds"} == set(answer)


def test_json_lines_keep_order_and_errors_stay_in_their_place(checkpoint, capsys, monkeypatch):
    good = {"text": "A dog sleeps here.", "source": "en", "target": "de"}
    requests = [
        good,
        "this is not JSON",
        {**good, "text": ""},
        {"text": "A dog"},
        {**good, "beam_size": 0},
        {**good, "colour": "red"},
        {**good, "target": "en"},
        {"text": "Ein Hund schläft hier.", "source": "de", "target": "en", "beam_size": 2},
    ]
    lines = "\n".join(r if isinstance(r, str) else json.dumps(r) for r in requests)
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert main(["--jsonl", "-", "--checkpoint", str(checkpoint)]) == 1
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["error" in a for a in answers] == [False] + [True] * 6 + [False]
    assert answers[0]["text"] == "Ein Hund schläft hier."
    assert (answers[7]["text"], len(answers[7]["hypotheses"])) == ("A dog sleeps here.", 2)
    for answer, word in zip(answers[1:7], ("JSON", "empty", "source", "beam_size", "colour", "both"), strict=True):
        assert word in answer["error"]


def test_languages_on_the_command_line_serve_requests_without_their_own(command, capsys, monkeypatch):
    lines = [{"text": "A dog sleeps here."}, {"text": "Ein Hund schläft hier.", "source": "de", "target": "en"}]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(json.dumps, lines))))
    assert main(["--jsonl", "-", *command]) == 0
    answers = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert answers == ["Ein Hund schläft hier.", "A dog sleeps here."]


def test_a_line_that_cannot_be_served_leaves_its_place_empty(command, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("A dog sleeps here.\n" + "a" * 150_000 + "\nTom runs outside.\n"))
    assert main(command) == 1
    output = capsys.readouterr()
    assert output.out.splitlines() == ["Ein Hund schläft hier.", "", "Tom läuft draußen."]
    assert "shorten it" in output.err


@pytest.mark.parametrize(
    "arguments",
    [["A dog"], ["A dog", "--from", "en"], ["missing.txt", "--from", "en", "--to", "de"],
     ["A dog", "--from", "en", "--to", "en"], ["A dog", "--from", "en", "--to", "xx"],
     ["A dog", "--from", "en", "--to", "de", "--beam-size", "0"], ["--jsonl", "missing.jsonl"],
     ["A dog", "--jsonl", "-"], ["--jsonl", "-", "--from", "en", "--to", "en"],
     ["A dog", "--from", "en", "--to", "de", "--batch-size", "0"]],
)  # fmt: skip
def test_a_command_that_cannot_be_tried_says_why(arguments, checkpoint, capsys):
    assert main([*arguments, "--checkpoint", str(checkpoint)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.strip().splitlines()) == 1


def test_evaluation_prints_signed_figures_and_keeps_them(toys, checkpoint, capsys):
    command = ["evaluate", "--multi30k", str(toys), "--checkpoint", str(checkpoint), "--beam-size", "2", "--save"]
    assert main(command) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["split"], r["direction"], r["sentences"]) for r in records] == [
        ("test2016", "en-de", 12), ("test2016", "de-en", 12), ("test2017", "en-de", 6), ("test2017", "de-en", 6),
    ]  # fmt: skip
    assert records[0]["BLEU"] > 80
    assert "tok:13a" in records[0]["BLEU signature"]
    assert json.loads((checkpoint / "metrics.json").read_text())["evaluations"] == records
    assert main([*command, "--no-rerank", "--limit", "6"]) == 0
    kept = json.loads((checkpoint / "metrics.json").read_text())["evaluations"]
    assert kept[: len(records)] == records
    assert [record["rerank"] for record in kept] == [True] * 4 + [False] * 4
    assert main(["evaluate", "--checkpoint", str(checkpoint)]) == 2
