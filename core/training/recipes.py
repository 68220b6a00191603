"""Recipes: how a checkpoint was trained, as a TOML file of a few stages that one command runs.

    python -m PACKAGE train --recipe recipes/NAME.toml --data DATA

A recipe names its task and lists stages, each of a `kind` that the task's training offers, with its settings:

    task = "captioning"
    about = "A sentence or two for whoever runs it."

    [[stage]]
    name = "photos"                       # its folder under --out
    kind = "teacher"                      # default: the name
    start = "language"                    # an earlier stage, a folder or a Hub id
    data = ["flickr8k", "coco"]           # folders under --data
    training = {epochs = 5, learning_rate = 1e-3}

A kind is a frozen dataclass of settings with their defaults and a method `run(stage: StageRun)`, which leaves a
checkpoint in stage.folder / "best". What a recipe does not set keeps its default; an unknown setting is refused.
"""

import argparse
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from core.errors import InputError

_NAME = re.compile(r"[\w-]+")
BEST, DONE = "best", "done"  # in a stage's folder: its checkpoint, and a file that says that it was finished


@dataclass(frozen=True)
class StageRun:
    """Where one stage of a recipe runs."""

    folder: Path  # for its log, curve, state and checkpoint
    data: Path  # the folder that holds the data sets
    out: Path  # the folder that holds the stages' folders
    resume: bool = False  # go on from where it was interrupted

    @property
    def best(self) -> Path:
        """Where the stage leaves its checkpoint."""
        return self.folder / BEST

    @property
    def cache(self) -> Path:
        """For what several stages compute once."""
        return self.out / "cache"

    def dataset(self, name: str) -> Path:
        """A file or folder under --data, or a path of its own. Raises InputError when there is none."""
        for path in (self.data / name, Path(name)):
            if path.exists():
                return path
        raise InputError(f"There is no {self.data / name}: name the folder that holds {name} with --data.")

    def datasets(self, names: Sequence[str]) -> list[Path]:
        """The same of several."""
        return [self.dataset(name) for name in names]

    def checkpoint(self, start: str) -> Path | str:
        """The checkpoint to start from: of an earlier stage, or a folder or Hub id as it is."""
        earlier = self.out / start / BEST
        return earlier if earlier.is_dir() else start


class Stage(Protocol):
    """A kind of stage, with its settings as fields."""

    def run(self, stage: StageRun) -> None:
        """Train, and leave a checkpoint in stage.best."""


@dataclass(frozen=True)
class Recipe:
    """A recipe file, its stages ready to run."""

    task: str
    about: str
    stages: dict[str, Stage] = field(default_factory=dict)  # by name, in order


def read_recipe(file: Path, kinds: Mapping[str, type], changes: Sequence[str] = ()) -> Recipe:
    """A recipe for a task whose stages are of these kinds; changes: "stage.setting=value", value as TOML has it.

    Raises InputError, which names stage and setting, for anything that does not fit.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as a recipe ({error}): name one of recipes/.") from error
    tables = _stage_tables(file, content)
    for change in changes:
        _apply(change, tables)
    stages = {name: _stage(name, table, kinds) for name, table in tables.items()}
    return Recipe(content.get("task", ""), content.get("about", ""), stages)


def _stage_tables(file: Path, content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The tables of a recipe's stages, by name."""
    tables = content.get("stage")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables) or not tables:
        raise InputError(f"{file} has no stages: a recipe lists each in a table [[stage]].")
    named: dict[str, dict[str, Any]] = {}
    for table in tables:
        name = table.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):  # it becomes a folder
            raise InputError(f"{file} has a stage without a name of letters, digits, - and _: {name!r} is none.")
        if name in named:
            raise InputError(f"{file} has two stages of the name {name}: give each its own.")
        named[name] = table
    return named


def _apply(change: str, tables: dict[str, dict[str, Any]]) -> None:
    path, _, value = change.partition("=")
    name, *keys = path.strip().split(".")
    if name not in tables or not keys:
        raise InputError(f"--set {change}: write STAGE.SETTING=VALUE with a stage of {', '.join(tables)}.")
    table = tables[name]
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise InputError(f"--set {change}: {name}.{key} has no settings of its own.")
    try:
        table[keys[-1]] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        table[keys[-1]] = value  # text without quotation marks


def _stage(name: str, table: Mapping[str, Any], kinds: Mapping[str, type]) -> Stage:
    kind = table.get("kind", name)
    if not isinstance(kind, str) or kind not in kinds:
        raise InputError(f"There is no kind of stage {kind!r} (stage {name}): choose one of {', '.join(kinds)}.")
    settings = {key: value for key, value in table.items() if key not in ("name", "kind")}
    try:
        return with_settings(kinds[kind](), settings, name)
    except InputError:
        raise
    except (TypeError, ValueError) as error:  # a value that the dataclass itself refuses
        raise InputError(f"The stage {name} cannot be set up: {error}") from error


def with_settings(defaults: Any, settings: Mapping[str, Any], where: str) -> Any:
    """A dataclass with some of its fields changed, dataclasses in it likewise. Raises InputError for what does not
    fit; `where` names the place in the message."""
    known = {each.name: getattr(defaults, each.name) for each in fields(defaults)}
    changed = {}
    for key, value in settings.items():
        if key not in known:
            raise InputError(f"{where} has no setting {key!r}: it has {', '.join(known)}.")
        old, place = known[key], f"{where}.{key}"
        if is_dataclass(old) and isinstance(value, Mapping):
            changed[key] = with_settings(old, value, place)
            continue
        value = _tuples(value)
        value = float(value) if isinstance(old, float) and type(value) is int else value
        if old is not None and type(old) is not type(value):
            raise InputError(f"{place} must be like {old!r}, not {value!r}.")
        changed[key] = value
    return replace(defaults, **changed)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def run_recipe(recipe: Recipe, data: Path, out: Path, only: Sequence[str] = (), resume: bool = False) -> Path:
    """Run a recipe's stages (`only` some of them) and return the last one's checkpoint.

    resume: stages that were finished are left out, the one that was interrupted goes on. Raises InputError for a stage
    that there is not.
    """
    if unknown := [name for name in only if name not in recipe.stages]:
        raise InputError(f"There is no stage {unknown[0]!r}: the recipe has {', '.join(recipe.stages)}.")
    for name, stage in recipe.stages.items():
        run = StageRun(out / name, data, out, resume)
        if (only and name not in only) or (resume and (run.folder / DONE).exists()):
            continue
        print(f"stage {name}", flush=True)
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / DONE).unlink(missing_ok=True)
        stage.run(run)
        (run.folder / DONE).touch()
    return out / list(recipe.stages)[-1] / BEST


# --- command line ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of every task's `train`."""
    parser.add_argument("--recipe", type=Path, required=True, help="a file of recipes/, or your own")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that holds the data sets")
    parser.add_argument("--out", type=Path, help="for logs and checkpoints (default: runs/<name of the recipe>)")
    parser.add_argument("--stage", nargs="+", default=[], metavar="NAME", help="only these stages")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    help_text = "change a setting, e.g. photos.training.epochs=2"
    parser.add_argument("--set", nargs="+", default=[], metavar="STAGE.SETTING=VALUE", help=help_text)


def main(task: str, kinds: Mapping[str, type], options: argparse.Namespace) -> None:
    """Run a recipe of a task. Raises InputError when it is another task's."""
    recipe = read_recipe(options.recipe, kinds, options.set)
    if recipe.task != task:
        raise InputError(f"{options.recipe} is a recipe for {recipe.task!r}, not for {task!r}: name another one.")
    out = options.out or Path("runs") / options.recipe.stem
    print(f"The checkpoint is in {run_recipe(recipe, options.data, out, options.stage, options.resume)}.")
