"""The recipe of the shipped checkpoint, on toy photos: from captions to a network that answers and is measured."""

import json
from pathlib import Path

import pytest

from core.checkpoint import REPOSITORY
from core.training.recipes import read_recipe, run_recipe
from demos.vqa.__main__ import main
from demos.vqa.data import Question
from demos.vqa.evaluate import accuracies
from demos.vqa.train import STAGES

RECIPE = REPOSITORY / "recipes" / "vqa.toml"
QUICK = (
    "answers.min_count=1", "answers.batch_size=12", "answers.per_photo=2", "answers.training.epochs=1",
    "answers.training.warmup_steps=2", "answers.training.average=0.0", "answers.training.precision=no",
    "classes.least=0.25", "classes.training.epochs=5", "classes.training.warmup_steps=1", "evidence.training.epochs=2",
    "evidence.training.learning_rate=1e-2",
)  # fmt: skip


def dev_figures(folder: Path, name: str) -> list[float]:
    records = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [record["dev"][name] for record in records if "dev" in record]


def test_the_recipe_makes_a_checkpoint_that_answers_and_is_measured(coco, tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    for name in ("coco", "flickr8k"):
        (data / name).symlink_to(coco)
    checkpoint = run_recipe(read_recipe(RECIPE, STAGES, QUICK), data, out)
    assert checkpoint == out / "evidence" / "best"
    assert dev_figures(out / "answers", "mean")[-1] >= 0
    assert max(dev_figures(out / "classes", "accuracy")) > 50
    fits = dev_figures(out / "evidence", "logprob")
    assert fits[-1] > fits[0]
    capsys.readouterr()
    photo = str(coco / "images" / "bus.jpg")
    assert main([photo, "Is this a dog?", "--json", "--checkpoint", str(checkpoint)]) == 0
    assert json.loads(capsys.readouterr().out)["wording"] in (0, 0.75)
    measure = ["evaluate", "--data", str(coco), "--split", "dev", "--checkpoint", str(checkpoint), "--save"]
    assert main(measure) == 0
    saved = json.loads((checkpoint / "metrics.json").read_text())["evaluations"]
    assert [record["source"] for record in saved] == ["human yes/no", "people", "generated"]
    assert set(saved[1]["per type"]) == {"number", "other"}
    assert all(0 <= record["accuracy"] <= 100 and 0 <= record["blind"] <= 100 for record in saved)
    capsys.readouterr()
    assert main([*measure[:-1], "--source", "official"]) == 2
    assert "people" in capsys.readouterr().err


@pytest.mark.parametrize(("humans", "score"), [(["red"] * 10, 100), (["red"] * 2 + ["blue"] * 8, 60), (["blue"], 0)])
def test_accuracy_counts_how_many_people_gave_the_answer(humans, score):
    question = Question(Path("bus.jpg"), "What colour is it?", tuple(humans), "other", "vqa")
    figures = accuracies([(question, "red", "green")])
    assert figures == {
        "questions": 1, "accuracy": score, "blind": 0,
        "per type": {"other": {"questions": 1, "accuracy": score, "blind": 0}},
    }  # fmt: skip
