"""Training from the command line, on a few drawn clips: it ends, and what it saves can be finished and read."""

import json

import pytest

from demos.lipreading import train
from demos.lipreading.__main__ import main
from demos.lipreading.animator import speak
from demos.lipreading.data import draw_clips
from demos.lipreading.model import Lipreader
from demos.lipreading.predict import LipreadingOptions, LipreadingPredictor


def test_drawn_mouths_from_nothing_to_a_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "draw_clips", lambda split, count, cache: draw_clips(split, min(count, 16)))
    run = tmp_path / "run"
    options = ["--clips", "16", "--epochs", "2", "--batch-size", "8", "--precision", "no", "--out", str(run)]
    assert main(["train", "animated", *options]) == 0
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if "dev" in record] == [1, 2]
    start = str(run / "best")
    assert (
        main(
            [
                "train",
                "average",
                "--start",
                start,
                start,
                "--moved",
                "2",
                "--temperature",
                "0.5",
                "--out",
                str(tmp_path / "finished"),
            ]
        )
        == 0
    )
    assert main(["train", "together", "--start", start, start, "--out", str(tmp_path / "joined")]) == 0
    assert Lipreader.from_pretrained(tmp_path / "joined" / "best").config.others == 1
    folder = tmp_path / "lipreading"
    folder.mkdir()
    (tmp_path / "finished" / "best").rename(folder / "animated")
    config = Lipreader.from_pretrained(folder / "animated").config
    assert (config.moved, config.temperature) == (2, 0.5)
    result = LipreadingPredictor(folder)(speak("set red now", 3).video, LipreadingOptions("animated"))
    assert len(result.frames) == len(result.posteriors)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["average"], "--start"),
        (["together"], "--start"),
        (["words"], "--data"),
        (["grid", "--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_trained_gets_a_sentence(tmp_path, capsys, arguments, reason):
    assert main(["train", *arguments, "--out", str(tmp_path)]) == 2
    assert reason in capsys.readouterr().err
