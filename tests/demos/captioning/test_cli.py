"""The command line as a user types it, with the shipped checkpoint."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import gradio.media
import pytest

from demos.captioning.__main__ import main
from tests.bad_input import BAD_IMAGES

REPOSITORY = Path(__file__).resolve().parents[3]
CHEETAH = gradio.media.get_image("cheetah1.jpg")


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("cheetah1.jpg", "tower.jpg", "lion.jpg"):
        shutil.copy(gradio.media.get_image(name), tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    return tmp_path


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_photo_gets_five_captions_in_a_process_of_its_own():
    command = [sys.executable, "-m", "demos.captioning", CHEETAH]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    title, *captions = done.stdout.splitlines()
    assert title.startswith(CHEETAH)
    assert len(captions) == 5
    assert all(float(line.split()[0]) < 0 for line in captions)


def test_a_folder_gives_one_json_object_per_photo_in_order(folder, capsys):
    assert main([str(folder), "--json", "--batch-size", "2"]) == 0
    answers = lines(capsys)
    assert [Path(a["image"]).name for a in answers] == ["cheetah1.jpg", "lion.jpg", "tower.jpg"]
    for answer in answers:
        assert {"text", "logprob", "hypotheses", "seconds"} <= set(answer)
        assert len(answer["hypotheses"]) == 5
        assert {"text", "logprob", "tokens"} <= set(answer["hypotheses"][0])


def test_json_lines_keep_order_and_errors_stay_in_their_place(folder, capsys, monkeypatch):
    requests = [
        json.dumps({"image": str(folder / "tower.jpg"), "n_best": 2}),
        "this is not JSON",
        json.dumps({"image": str(folder / "missing.jpg")}),
        json.dumps({"beam_size": 3}),
        json.dumps({"image": str(folder / "lion.jpg"), "beam_size": 0}),
        json.dumps({"image": str(folder / "lion.jpg"), "colour": "red"}),
        json.dumps({"image": 7}),
        "",
        json.dumps({"image": str(folder / "lion.jpg")}),
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(requests)))
    assert main(["--jsonl", "-"]) == 1
    answers = lines(capsys)
    assert len(answers) == 8
    assert ["error" in a for a in answers] == [False, True, True, True, True, True, True, False]
    assert len(answers[0]["hypotheses"]) == 2
    assert len(answers[7]["hypotheses"]) == 5
    for answer, word in zip(answers[1:7], ("JSON", "missing.jpg", "image", "beam_size", "colour", ""), strict=True):
        assert word in answer["error"]


@pytest.mark.parametrize("case", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_pictures_get_a_caption_or_a_sentence(case, tmp_path, capsys):
    path = case.write(tmp_path)
    status = main([str(path), "--json"])
    output = capsys.readouterr()
    if case.refusal is None:
        assert status == 0, output.err
        assert json.loads(output.out)["text"]
    else:
        assert status in (1, 2)
        sentence = output.err if status == 2 else json.loads(output.out)["error"]
        assert case.refusal.lower() in sentence.lower()
        assert "Traceback" not in output.err


@pytest.mark.parametrize(
    "arguments",
    [[], ["--json"], [CHEETAH, "--beam-size", "0"], [CHEETAH, "--checkpoint", "nowhere"], ["--jsonl", "missing.jsonl"],
     [CHEETAH, "--batch-size", "0"], [CHEETAH, "--jsonl", "-"]],
)  # fmt: skip
def test_a_command_that_cannot_be_tried_says_why(arguments, capsys):
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.strip().splitlines()) == 1
