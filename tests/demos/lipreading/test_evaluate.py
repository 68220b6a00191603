"""Measuring: what is printed, and what is kept in metrics.json."""

import json
import shutil
from pathlib import Path

import pytest

from core import checkpoint
from demos.lipreading.__main__ import main
from demos.lipreading.evaluate import count_confusions, sentence_scores
from demos.lipreading.model import Lipreader, LipreaderConfig
from tests.demos.lipreading.conftest import SMALL


@pytest.fixture
def measured(untrained, tmp_path) -> Path:
    """A copy of the untrained lipreaders, to keep figures in."""
    return shutil.copytree(untrained, tmp_path / "lipreading")


def records(folder: Path) -> list[dict]:
    return json.loads((folder / "metrics.json").read_text())["evaluations"]


def test_figures_of_one_split_leave_those_of_the_other(measured, capsys):
    for split in ("dev", "test", "dev"):
        options = ["--split", split, "--clips", "2", "--checkpoint", str(measured), "--save"]
        assert main(["evaluate", "animated", *options]) == 0
    kept = records(measured / "animated")
    asked = [(split, grammar) for split in ("test", "dev") for grammar in (False, True)]
    assert [(record["split"], record["grammar"]) for record in kept] == asked
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == 6
    assert all("confusions" in record for record in kept)
    assert printed[-1].items() <= kept[-1].items()
    assert "confusions" not in printed[-1]


def test_figures_of_a_network_from_the_hub_are_kept_in_its_copy_here(measured, monkeypatch):
    monkeypatch.setattr(checkpoint, "snapshot_download", lambda name, **_: str(measured / "animated"))
    assert main(["evaluate", "animated", "--clips", "1", "--checkpoint", "somebody/drawn-mouths", "--save"]) == 0
    assert len(records(measured / "animated")) == 2


def test_words_are_counted_and_the_scores_of_speakers_left_out_kept(measured, miracl, tmp_path):
    config = LipreaderConfig(("begin", "stop", "how are you"), "clip", "tight", 40, 64, fps=15.0, **SMALL)
    Lipreader(config).save_pretrained(measured / "words")
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({"data": "MIRACL-VC1 words", "split": "leave one speaker out", "words": 50.0}))
    options = ["--data", str(miracl), "--checkpoint", str(measured), "--leave-one-out", str(scores), "--save"]
    assert main(["evaluate", "words", *options]) == 0
    every, others = records(measured / "words")
    assert (every["speakers"], every["clips"]) == ("F03", 3)
    assert sum(sum(row.values()) for row in every["confusions"].values()) == 3
    assert others["words"] == 50.0


def test_films_are_read_as_the_app_reads_them(measured, grid, capsys):
    assert main(["evaluate", "grid", "--data", str(grid), "--checkpoint", str(measured)]) == 0
    free, commands = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (free["clips"], free["grammar"], commands["grammar"]) == (1, False, True)
    assert free["logprob"] == commands["logprob"] < 0
    assert not (measured / "grid" / "metrics.json").exists()


def test_a_data_set_must_be_named(capsys):
    assert main(["evaluate", "words"]) == 2
    assert "--data" in capsys.readouterr().err


def test_sentences_are_scored_by_words_and_what_they_were_taken_for():
    scores = sentence_scores(["set red by b", "lay now"], ["set red by p", "lay blue now"])
    assert scores["wer"] == pytest.approx(100 * 2 / 7, abs=0.01)
    assert scores["sentence_accuracy"] == 0.0
    assert scores["confusions"]["p"] == {"b": 1}
    assert scores["confusions"]["blue"] == {"": 1}
    assert scores["visemes"]["closed lips"]["closed lips"] == 2


def test_confusions_are_sorted_by_how_often_they_are():
    assert list(count_confusions([("a", "b"), ("a", "a"), ("a", "a")])["a"].items()) == [("a", 2), ("b", 1)]
