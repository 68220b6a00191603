"""Training: the losses can be minimised, and every recipe runs from its first stage to a checkpoint that reads."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from core.training.recipes import read_recipe
from demos.lipreading.__main__ import main
from demos.lipreading.animator import speak
from demos.lipreading.augment import Augmentation, AugmentedClips, collate
from demos.lipreading.data import Clip, read_grid
from demos.lipreading.evaluate import dev_scores
from demos.lipreading.model import Lipreader
from demos.lipreading.predict import LipreadingOptions, LipreadingPredictor
from demos.lipreading.train import GRID_NETWORK, STAGES, ClipTraining, WithSound, clip_loss, sentence_loss
from tests.demos.lipreading.conftest import SMALL, moving_bar, small_lipreader

RECIPES = Path("recipes")
NONE = Augmentation(0, 0, 0, 0, 0, 0, 0, 0)


def minimised(model: WithSound, clips: list[Clip], loss, steps: int) -> list:
    """The losses of each step on all clips."""
    examples = AugmentedClips(clips, model.lipreader.config.vocabulary, NONE)
    batch = collate([examples[i] for i in range(len(clips))])
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(steps):
        losses.append(loss(model.train(), batch, None))
        optimizer.zero_grad()
        losses[-1].value.backward()
        optimizer.step()
    return losses


def test_the_first_loss_is_that_of_not_knowing():
    lipreader = Lipreader(replace(GRID_NETWORK, **SMALL))
    frames = torch.randint(0, 255, (20, 48, 80), dtype=torch.uint8)
    clip = Clip("x", frames.numpy(), ("bin", "blue"), ((2, 8), (8, 15)))
    (loss,) = minimised(WithSound(lipreader), [clip] * 4, sentence_loss, 1)
    assert loss.figures["frames"] == pytest.approx(np.log(52), abs=0.4)


def test_a_toy_set_is_learnt_and_motion_is_seen():
    lipreader = small_lipreader("clip", dropout=0.0)
    clips = [Clip(f"{i}/words/1/1", moving_bar(d), (w,)) for i, (d, w) in enumerate([(1, "a"), (-1, "b")])]
    losses = minimised(WithSound(lipreader), clips, lambda *args: clip_loss(*args, smoothing=0.0), 60)
    assert losses[-1].value.item() < 0.2
    assert dev_scores(lipreader.eval(), clips)["all"] == 1.0


def test_sentences_are_learnt_in_their_order():
    lipreader = small_lipreader(dropout=0.0)
    right, left = moving_bar(1), moving_bar(-1)
    clips = [
        Clip("1", np.concatenate([right, left]), ("a", "b"), ((0, 10), (10, 20))),
        Clip("2", np.concatenate([left, right]), ("b", "a"), ((0, 10), (10, 20))),
    ]
    minimised(WithSound(lipreader), clips, sentence_loss, 120)
    assert dev_scores(lipreader.eval(), clips)["1 - wer"] == 1.0


def test_the_sound_is_learnt_too_and_no_layer_for_it_is_kept():
    lipreader = small_lipreader(dropout=0.0)
    sound = np.linspace(-1, 1, 20).reshape(10, 2)
    clips = [
        Clip("1", moving_bar(1), ("a",), ((0, 10),), sound=sound),
        Clip("2", moving_bar(-1), ("b",), ((0, 10),), sound=-sound),
    ]
    errors = [loss.figures["sound"] for loss in minimised(WithSound(lipreader, 2), clips, sentence_loss, 100)]
    assert errors[-1] < 0.2 * errors[0]
    assert not any("sound" in name for name in lipreader.state_dict())


def test_clips_of_grid_have_words_in_frames(grid):
    clip, _ = read_grid(grid, "train")
    assert clip.frames.shape == (25, 48, 80)
    assert (clip.words, clip.spans) == (("set", "red"), ((4, 12), (13, 24)))


# --- recipes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["words", "grid", "animated"])
def test_a_recipe_ends_with_a_network_of_the_shipped_shape(name):
    recipe = read_recipe(RECIPES / f"lipreading-{name}.toml", STAGES)
    assert recipe.task == "lipreading"
    shipped = json.loads(Path("checkpoints/lipreading", name, "config.json").read_text())["config"]
    networks = [stage for stage in recipe.stages.values() if isinstance(stage, ClipTraining)]
    last = list(recipe.stages.values())[-1]
    depths = [recipe.stages[n].network.depth if n != "average" else 1 for n in getattr(last, "networks", ())]
    assert depths[1:] == shipped.pop("other_depths", [])
    for key in ("temperature", "insertion_penalty"):
        assert getattr(last, key, getattr(networks[-1].network, key)) == shipped.pop(key, 1.0)
    described = json.loads(json.dumps(vars(networks[0].network)))
    described["vocabulary"] = described["vocabulary"] or shipped["vocabulary"]
    assert shipped.items() <= described.items()


def run(recipe: str, folder: Path, data: Path, *changes: str) -> Path:
    """Run a recipe as it is but for small networks and short trainings; the last stage's folder."""
    file = RECIPES / f"lipreading-{recipe}.toml"
    stages = read_recipe(file, STAGES).stages
    small = [f"{name}.network.{key}={json.dumps(value)}" for name in stages for key, value in SMALL.items()]
    short = [
        f"{name}.{setting}"
        for name in stages
        for setting in ("training.epochs=1", "training.log_every=1", "batch_size=2")
    ]
    kept = [change for change in (*small, *short) if isinstance(stages[change.split(".")[0]], ClipTraining)]
    restarts = [f"{name}.restarts=[1]" for name, stage in stages.items() if getattr(stage, "restarts", ())]
    arguments = ["--recipe", str(file), "--data", str(data), "--out", str(folder)]
    assert main(["train", *arguments, "--set", *kept, *restarts, *changes]) == 0
    return folder / list(stages)[-1]


def test_words_from_clips_to_a_checkpoint(tmp_path, miracl, clip_file):
    shown = run("words", tmp_path, miracl.parent, *(f"{name}.data={miracl.name}" for name in (
        "leave-one-out", "first", "first-again", "first-once-more", "second", "third")))  # fmt: skip
    scores = json.loads((tmp_path / "leave-one-out" / "scores.json").read_text())
    assert list(scores["speakers"]) == ["F01", "F02", "F03"]
    assert scores["words"] == pytest.approx(np.mean(list(scores["speakers"].values())), abs=0.01)
    (shown / "best").rename(shown / "words")
    assert LipreadingPredictor(shown)(clip_file).text in ("begin", "stop", "how are you")


def test_sentences_from_films_with_sound_to_a_checkpoint(tmp_path, grid, clip_file):
    shown = run("grid", tmp_path, grid.parent, *(f"{name}.data={grid.name}" for name in ("first", "second", "third")))
    assert "sound" not in (tmp_path / "first" / "log.jsonl").read_text()
    assert '"sound"' in (tmp_path / "second" / "log.jsonl").read_text()
    config = Lipreader.from_pretrained(shown / "best").config
    assert (config.other_depths, config.temperature, config.insertion_penalty) == ((1, 2), 0.65, 0.75)
    (shown / "best").rename(shown / "grid")
    assert len(LipreadingPredictor(shown)(clip_file, LipreadingOptions("grid")).frames) == 25


def test_drawn_mouths_from_nothing_to_a_reading(tmp_path):
    shown = run("animated", tmp_path, tmp_path, "animated.clips=8", "animated.dev_clips=4")
    assert (shown / "cycle1" / "best").is_dir()
    (shown / "best").rename(shown / "animated")
    clip = speak("set red now", 3).video
    assert len(LipreadingPredictor(shown)(clip, LipreadingOptions("animated")).frames) == len(clip.frames)


def test_each_cycle_goes_on_from_the_best_of_the_one_before_at_a_lower_rate(tmp_path, monkeypatch):
    begun = []

    def train_network(self, lipreader, clips, training, folder, evaluate, resume):
        begun.append((training.epochs, training.learning_rate, training.seed, lipreader.classes.bias[0].item()))
        nn.init.constant_(lipreader.classes.bias, len(begun))
        lipreader.save_pretrained(folder / "best")

    monkeypatch.setattr(ClipTraining, "train_network", train_network)
    run("animated", tmp_path, tmp_path, "animated.clips=8", "animated.dev_clips=4", "animated.restarts=[2,3]")
    assert [each[0] for each in begun] == [1, 2, 3]
    assert [each[1] for each in begun] == pytest.approx([2e-3, 1.6e-3, 1.28e-3])
    assert [each[2] for each in begun] == [1, 2, 3]
    assert [each[3] for each in begun][1:] == [1, 2]


@pytest.mark.parametrize(
    ("recipe", "settings", "reason"),
    [
        ('[[stage]]\nname = "average"', [], "name them as `networks`"),
        ('[[stage]]\nname = "ensemble"', [], "name them as `networks`"),
        ('[[stage]]\nname = "words"', [], "miracl_vc1"),
        ('[[stage]]\nname = "grid"', ["grid.gaps=2"], "no setting 'gaps'"),
        ('[[stage]]\nname = "animated"', ["animated.dev_clips=0", "animated.clips=1"], "no clips"),
    ],
)
def test_what_cannot_be_trained_gets_a_sentence(tmp_path, capsys, recipe, settings, reason):
    file = tmp_path / "recipe.toml"
    file.write_text(f'task = "lipreading"\n{recipe}\n')
    more = ["--set", *settings] if settings else []
    assert main(["train", "--recipe", str(file), "--data", str(tmp_path), "--out", str(tmp_path), *more]) == 2
    assert reason in capsys.readouterr().err
