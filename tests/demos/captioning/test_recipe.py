"""The shipped recipe, stage by stage, on eight drawn shapes."""

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from core.checkpoint import load_tokenizer
from core.errors import InputError
from core.training.recipes import read_recipe, run_recipe
from demos.captioning.__main__ import main
from demos.captioning.model import Captioner
from demos.captioning.train import RERANK_WEIGHTS, STAGES
from tests.demos.captioning.test_train import changed, snapshot

RECIPE = Path(__file__).resolve().parents[3] / "recipes" / "captioning.toml"
PHOTO_STAGES = ("teacher", "fresh", "critical")
SMALL = (
    "language.encoder=efficientnet_lite0",
    *(f"{stage}.batch_size=4" for stage in PHOTO_STAGES),
    "teacher.training.epochs=2", "teacher.training.learning_rate=0.003", "teacher.training.warmup_steps=3",
    "fresh.training.epochs=1", "critical.training.epochs=1",
    *(f"{stage}.training.log_every=6" for stage in PHOTO_STAGES),
    *(f"{stage}.training.precision=no" for stage in ("language", *PHOTO_STAGES)),
    "ranking.test_size=200",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(toys, tmp_path_factory) -> Path:
    """A folder with the recipe's data sets: the toys in two collections, and captions without photos."""
    folder = tmp_path_factory.mktemp("data")
    for name, times in (("flickr8k", 2), ("coco", 1)):  # 24 photos
        shutil.copytree(toys, folder / name)
        names = (toys / "Flickr_8k.devImages.txt").read_text().split()
        (folder / name / "Flickr_8k.trainImages.txt").write_text("\n".join(names * times))
        (folder / name / "Flickr_8k.devImages.txt").write_text("\n".join(names[:4]))
    with gzip.open(folder / "coco" / "captions_without_photos.txt.gz", "wt") as file:
        file.write("A red square .\nA yellow circle .\nA purple elephant .\n" * 128)
    (folder / "empty").mkdir()
    return folder


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory) -> Iterator[Path]:
    """The whole recipe's folder. The decoder has the shipped one's size."""
    folder = tmp_path_factory.mktemp("runs")
    assert run_recipe(read_recipe(RECIPE, STAGES, SMALL), data, folder) == folder / "ranking" / "best"
    yield folder
    shutil.rmtree(folder)  # half a gigabyte of optimiser states


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def load(runs: Path, stage: str) -> Captioner:
    return Captioner.from_pretrained(runs / stage / "best")


def test_every_setting_of_the_recipe_is_known():
    recipe = read_recipe(RECIPE, STAGES)
    assert recipe.task == "captioning"
    assert set(map(type, recipe.stages.values())) == set(STAGES.values())
    assert recipe.stages["fresh"].fresh_views


def test_the_stages_log_their_figures(runs):
    teacher = [record for record in read_log(runs / "teacher") if "loss" in record]
    assert [record["step"] for record in teacher] == [6, 12]  # 24 photos, four at a time, twice
    for figure in ("loss", "captions", "words"):
        assert teacher[1][figure] < 0.9 * teacher[0][figure]
    judged = [record["dev"] for record in read_log(runs / "teacher") if "dev" in record]
    assert [list(dev) for dev in judged] == [["CIDEr", "BLEU-4", "ROUGE-L"]] * 2
    (critical,) = [record for record in read_log(runs / "critical") if "loss" in record]
    assert 0 <= critical["reward"] <= 10
    for stage in PHOTO_STAGES:
        with Image.open(runs / stage / "curve.png") as curve:
            assert min(curve.size) > 200


def test_each_stage_leaves_a_checkpoint_with_the_same_vocabulary(runs):
    words = load_tokenizer(runs / "language" / "best").get_vocab()
    for stage in read_recipe(RECIPE, STAGES).stages:
        model = load(runs, stage)
        assert (model.config.encoder, model.config.vocab_size) == ("efficientnet_lite0", len(words))
        assert load_tokenizer(runs / stage / "best").get_vocab() == words


def test_the_language_stage_touches_the_decoder_only_and_self_criticism_not_the_tail(runs):
    language, teacher, fresh, critical = (load(runs, stage) for stage in ("language", *PHOTO_STAGES))
    imagenet = language.encoder.tail.state_dict()
    for name, tensor in language.tail.state_dict().items():
        assert torch.equal(tensor, imagenet[name].half().to(tensor.dtype))  # as a checkpoint keeps it
    assert changed(teacher.tail, snapshot(language.tail))
    assert changed(fresh.tail, snapshot(teacher.tail))
    assert not changed(critical.tail, snapshot(fresh.tail))
    assert changed(critical.decoder, snapshot(fresh.decoder))


def test_the_average_is_the_mean_and_the_ranking_changes_the_config_alone(runs):
    fresh, critical, average, ranked = (load(runs, name) for name in ("fresh", "critical", "average", "ranking"))
    mean = (fresh.decoder.readout.weight + critical.decoder.readout.weight) / 2
    torch.testing.assert_close(average.decoder.readout.weight, mean, atol=1e-3, rtol=1e-3)
    assert not changed(ranked, average.state_dict())
    weights = dict(ranked.config.rerank)
    assert set(weights) == {"sure", "seen", "repeated"}
    assert set(weights.values()) <= set(RERANK_WEIGHTS)
    assert (average.config.test_size, ranked.config.test_size) == (None, 200)


def test_resuming_a_finished_recipe_trains_no_further(runs, data, capsys):
    before = {stage: (runs / stage / "log.jsonl").read_text() for stage in PHOTO_STAGES}
    arguments = ["--recipe", str(RECIPE), "--data", str(data), "--out", str(runs), "--set", *SMALL]
    assert main(["train", *arguments, "--resume"]) == 0
    assert str(runs / "ranking" / "best") in capsys.readouterr().out
    assert {stage: (runs / stage / "log.jsonl").read_text() for stage in PHOTO_STAGES} == before


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        ("teacher", ["teacher.batch_size=25"], "smaller batch size"),
        ("average", ['average.checkpoints=["fresh"]'], "two checkpoints or more"),
        ("language", ["language.text=missing.txt"], r"There is no .*missing\.txt"),
        ("language", ['language.data=["empty"]'], "empty holds neither"),
    ],
)
def test_a_stage_that_lacks_something_says_so(runs, data, tmp_path, stage, changes, message):
    for earlier in ("language", "cache"):
        (tmp_path / earlier).symlink_to(runs / earlier)
    only = read_recipe(RECIPE, STAGES, [*SMALL, *changes])
    with pytest.raises(InputError, match=message):
        run_recipe(only, data, tmp_path / "out" if stage == "language" else tmp_path, [stage])
