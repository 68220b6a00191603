"""Recipes: read, changed, run stage by stage, gone on with; what does not fit is said in one sentence."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.errors import InputError
from core.training import recipes
from core.training.loop import TrainingConfig
from core.training.recipes import StageRun, read_recipe, run_recipe

RECIPE = """
task = "toy"
about = "Two stages."

[[stage]]
name = "words"
data = ["a", "b"]
training = {epochs = 2, learning_rate = 1}

[[stage]]
name = "photos"
kind = "seeing"
start = "words"
"""
RUNS: list[tuple] = []


@dataclass(frozen=True)
class Words:
    """A stage that leaves a checkpoint of one file."""

    data: tuple[str, ...] = ()
    size: int = 3
    rate: float = 0.5
    style: str = "plain"
    shuffle: bool = True
    limit: int | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def run(self, stage: StageRun) -> None:
        RUNS.append(("words", self, stage))
        stage.best.mkdir(exist_ok=True)
        (stage.best / "weights").write_text(str(self.size))


@dataclass(frozen=True)
class Seeing:
    """A stage that starts from another and can be interrupted."""

    start: str = ""
    fail: bool = False

    def run(self, stage: StageRun) -> None:
        RUNS.append(("seeing", self, stage))
        if self.fail:
            raise KeyboardInterrupt
        stage.best.mkdir(exist_ok=True)
        (stage.best / "weights").write_text((stage.checkpoint(self.start) / "weights").read_text())


KINDS = {"words": Words, "seeing": Seeing}


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    RUNS.clear()
    file = tmp_path / "toy.toml"
    file.write_text(RECIPE)
    return file


def names() -> list[str]:
    return [name for name, _, _ in RUNS]


def test_a_recipe_is_read_with_the_defaults_of_what_it_leaves_out(recipe_file):
    recipe = read_recipe(recipe_file, KINDS)
    assert (recipe.task, recipe.about) == ("toy", "Two stages.")
    assert recipe.stages == {
        "words": Words(data=("a", "b"), training=TrainingConfig(epochs=2, learning_rate=1.0)),
        "photos": Seeing(start="words"),
    }
    assert isinstance(recipe.stages["words"].training.learning_rate, float)


def test_settings_can_be_changed_from_the_command_line(recipe_file):
    changes = ["words.size=5", "words.training.epochs=7", "words.style=fancy words", "words.shuffle=false"]
    changes += ['words.data=["c"]', "words.limit=9"]
    words = read_recipe(recipe_file, KINDS, changes).stages["words"]
    assert words == Words(("c",), 5, 0.5, "fancy words", False, 9, TrainingConfig(epochs=7, learning_rate=1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("words.depth=3", "words has no setting 'depth': it has data, size, rate, style, shuffle, limit, training."),
        ("words.training.depth=3", r"words\.training has no setting 'depth'"),
        ("words.size=many", r"words\.size must be like 3, not 'many'"),
        ("words.size=2.5", r"words\.size must be like 3, not 2\.5"),
        ("words.training=3", r"words\.training must be like TrainingConfig"),
        ("sounds.size=3", "write STAGE.SETTING=VALUE with a stage of words, photos"),
        ("words=3", "write STAGE.SETTING=VALUE"),
        ("words.size.deep=3", r"words\.size must be like 3, not {'deep': 3}"),
        ("words.data.deep=3", "words.data has no settings of its own"),
        ("words.kind=hearing", "no kind of stage 'hearing' .* choose one of words, seeing"),
    ],
)
def test_a_change_that_does_not_fit_is_said(recipe_file, change, message):
    with pytest.raises(InputError, match=message):
        read_recipe(recipe_file, KINDS, [change])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("task = ", "cannot be read as a recipe"),
        (b"\xff\xfe", "cannot be read as a recipe"),
        ('task = "toy"', "has no stages"),
        ('task = "toy"\nstage = 3', "has no stages"),
        ('task = "toy"\n[stage]\nname = "words"', "has no stages"),
        ('task = "toy"\n[[stage]]\nkind = "words"', "without a name"),
        ('[[stage]]\nname = "words"\n[[stage]]\nname = "words"', "two stages .* words"),
        ('[[stage]]\nname = "../words"\nkind = "words"', "name"),
        ('[[stage]]\nname = "words"\ndepth = 3', "words has no setting 'depth'"),
        ('[[stage]]\nname = "sounds"', "no kind of stage 'sounds'"),
        ('[[stage]]\nname = 3\nkind = "words"', "name"),
    ],
)
def test_a_file_that_is_no_recipe_is_said(recipe_file, content, message):
    recipe_file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        read_recipe(recipe_file, KINDS)
    assert str(recipe_file) in str(caught.value) or "stage" in str(caught.value) or "setting" in str(caught.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.toml cannot be read as a recipe"):
        read_recipe(tmp_path / "nothing.toml", KINDS)


# --- running -----------------------------------------------------------------------------------------------------


def test_stages_run_in_order_each_from_the_one_before(recipe_file, tmp_path):
    best = run_recipe(read_recipe(recipe_file, KINDS), tmp_path / "data", tmp_path / "out")
    assert best == tmp_path / "out" / "photos" / "best"
    assert (best / "weights").read_text() == "3"
    assert names() == ["words", "seeing"]
    stage = RUNS[0][2]
    assert (stage.folder, stage.data, stage.resume) == (tmp_path / "out" / "words", tmp_path / "data", False)


def test_a_resumed_recipe_leaves_out_what_was_finished_and_goes_on_with_the_rest(recipe_file, tmp_path):
    def run(changes: list[str], resume: bool, only: tuple[str, ...] = ()) -> None:
        RUNS.clear()
        run_recipe(read_recipe(recipe_file, KINDS, changes), tmp_path, tmp_path / "out", only, resume)

    with pytest.raises(KeyboardInterrupt):
        run(["photos.fail=true"], resume=False)
    assert names() == ["words", "seeing"]
    run([], resume=True)
    assert names() == ["seeing"]
    assert RUNS[0][2].resume  # it is told to go on from where it was interrupted
    run([], resume=True)
    assert names() == []
    run([], resume=False)
    assert names() == ["words", "seeing"]  # without it, all anew
    with pytest.raises(KeyboardInterrupt):
        run(["photos.fail=true"], resume=False, only=("photos",))
    run([], resume=True)
    assert names() == ["seeing"]  # what was finished once and then interrupted is not finished


def test_some_stages_only(recipe_file, tmp_path):
    recipe = read_recipe(recipe_file, KINDS)
    run_recipe(recipe, tmp_path, tmp_path / "out", ["words"])
    assert names() == ["words"]
    run_recipe(recipe, tmp_path, tmp_path / "out", ["photos"])
    assert names() == ["words", "seeing"]
    with pytest.raises(InputError, match="There is no stage 'sounds': the recipe has words, photos"):
        run_recipe(recipe, tmp_path, tmp_path / "out", ["sounds"])


def test_where_data_and_checkpoints_are_found(tmp_path):
    (tmp_path / "data" / "flickr8k").mkdir(parents=True)
    (tmp_path / "out" / "words" / "best").mkdir(parents=True)
    stage = StageRun(tmp_path / "out" / "photos", tmp_path / "data", tmp_path / "out")
    assert stage.datasets(["flickr8k"]) == [tmp_path / "data" / "flickr8k"]
    assert stage.dataset(str(tmp_path)) == tmp_path  # a path of its own
    with pytest.raises(InputError, match="name the folder that holds coco with --data"):
        stage.dataset("coco")
    assert stage.checkpoint("words") == tmp_path / "out" / "words" / "best"
    assert stage.checkpoint("owner/name") == "owner/name"


def test_the_command_line_runs_a_recipe_of_its_own_task_only(recipe_file, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    recipes.add_arguments(parser)
    out = tmp_path / "out"
    arguments = ["--recipe", str(recipe_file), "--out", str(out), "--set", "words.size=8"]
    recipes.main("toy", KINDS, parser.parse_args(arguments))
    assert f"The checkpoint is in {out / 'photos' / 'best'}." in capsys.readouterr().out
    assert (out / "photos" / "best" / "weights").read_text() == "8"
    with pytest.raises(InputError, match="is a recipe for 'toy', not for 'captioning'"):
        recipes.main("captioning", KINDS, parser.parse_args(arguments))
