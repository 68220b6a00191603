"""The one training loop, on Hugging Face Accelerate.

    train(model, loader, loss, config, folder, evaluate)

runs on one CPU, on a GPU, or on several of either under `accelerate launch` (batches are split between processes, so
the global batch size and the loss curve stay the same). It clips gradients, warms up and decays the learning rate,
averages weights, logs JSON lines with a learning-curve figure, stops early, and resumes where it was interrupted.

Truncated back-propagation through time needs nothing special: whatever a loss returns as `carry` (the LSTM state after
this chunk) is cut from the graph and handed to the next call.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, DataLoaderConfiguration, DistributedDataParallelKwargs
from accelerate.utils import broadcast, set_seed
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from core.checkpoint import Checkpoint
from core.errors import InputError
from core.fast.heap import keep_freed_memory
from core.fast.precision import fast_bfloat16


@dataclass(frozen=True)
class TrainingConfig:
    """How one stage of a recipe trains."""

    epochs: int = 1
    minutes: float | None = None  # by the clock instead: the schedule and the training end when they are over
    learning_rate: float = 1e-3
    schedule: str = "cosine"  # or "linear", "inverse_sqrt", "constant"; all after the warm-up
    warmup_steps: int = 200
    weight_decay: float = 0.0
    clip_norm: float = 1.0  # of the whole gradient (Pascanu et al. 2013)
    average: float = 0.0  # decay of the exponential moving average of the weights; 0: none
    patience: int = 3  # evaluations without a better dev figure before stopping; the clock alone ends what it times
    precision: str = "auto"  # "bf16" (autocast), "no" (float32), or whichever is faster on this machine
    seed: int = 1
    log_every: int = 20  # steps


@dataclass
class Loss:
    """What a loss function returns."""

    value: Tensor  # scalar, to minimise
    figures: dict[str, float] | None = None  # more to log
    carry: Any = None  # recurrent state for the next batch; needs .detach()
    again: Callable[[], Tensor] | None = None  # more to minimise, computed once `value` has gone backwards


LossFunction = Callable[[nn.Module, Any, Any], Loss]  # (model, batch, carry) -> Loss
Evaluation = Callable[[nn.Module], dict[str, float]]  # dev figures; the first one decides, higher is better
Model = TypeVar("Model", bound=Checkpoint)


@dataclass
class Progress:
    """Where a training stands; saved and restored with it."""

    step: int = 0
    epoch: int = 0
    best: float = -math.inf
    stale: int = 0  # evaluations since the best
    elapsed: float = 0.0  # share of the minutes that is over, where the clock ends the training

    def state_dict(self) -> dict:
        """For Accelerate's checkpoints."""
        return vars(self).copy()

    def load_state_dict(self, state: dict) -> None:
        """For Accelerate's checkpoints."""
        vars(self).update(state)


def train(
    model: nn.Module,
    loader: DataLoader,
    loss: LossFunction,
    config: TrainingConfig,
    folder: Path,
    evaluate: Evaluation | None = None,
    save: Callable[[nn.Module], None] | None = None,
    parameter_groups: list[dict] | None = None,
    resume: bool = False,
) -> list[dict]:
    """Train `model` in place and return the log's records.

    `evaluate` runs on the (averaged) model after every epoch; `save` is called with it whenever its first figure is the
    best so far. `parameter_groups` give parts of the model their own learning rate. `folder` takes log.jsonl,
    curve.png and the state that `resume` continues from. Raises InputError when there is not one batch to train on.
    """
    if not len(loader):
        raise InputError("There are too few training examples for one batch: give more, or a smaller batch size.")
    keep_freed_memory()
    set_seed(config.seed)
    trainer = _Trainer(model, loader, config, parameter_groups)
    log = trainer.open_log(folder, resume)
    while not trainer.is_over():
        trainer.train_epoch(loss)
        if evaluate:
            trainer.judge(evaluate, save)
        trainer.save_state(folder)
    return log.records


class _Trainer:
    """One training: the network, what changes it, and where it stands."""

    def __init__(
        self, model: nn.Module, loader: DataLoader, config: TrainingConfig, parameter_groups: list[dict] | None
    ):
        self.config, self.progress = config, Progress()
        self.accelerator = accelerator = Accelerator(
            mixed_precision=resolve_precision(config.precision),
            # A seedable sampler shuffles by seed and epoch alone: alike in one process, in several and after a resume.
            dataloader_config=DataLoaderConfiguration(split_batches=True, use_seedable_sampler=True),
            # A loss may leave parts of a model alone, as a language model's leaves the CNN.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        parameters = parameter_groups or [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(config, len(loader), self.progress))
        self.average = None
        if config.average:
            self.average = AveragedModel(model, accelerator.device, multi_avg_fn=get_ema_multi_avg_fn(config.average))
        # The scheduler stays unprepared: Accelerate would step it once per process.
        self.model, self.optimizer, self.loader = accelerator.prepare(model, optimizer, loader)
        averages = [self.average] if self.average else []
        accelerator.register_for_checkpointing(self.scheduler, self.progress, *averages)

    def open_log(self, folder: Path, resume: bool) -> "Log":
        """Start the log, after the state in the folder was loaded where there is one to resume from."""
        self.log = Log(folder, enabled=self.accelerator.is_main_process, keep=resume)
        if resume and (folder / "state").is_dir():
            self.accelerator.load_state(str(folder / "state"))
        self.log.rewind(self.progress.step)
        if self.config.minutes:  # a resumed training may have been given more of them
            self.update_elapsed(self.config.minutes)
        return self.log

    def is_over(self) -> bool:
        """Whether the minutes are over, where there are any; else the epochs, or the patience with the dev figure."""
        progress, config = self.progress, self.config
        if config.minutes:
            return progress.elapsed >= 1
        return progress.epoch >= config.epochs or progress.stale >= config.patience

    def update_elapsed(self, minutes: float) -> None:
        """By the clock of one process, so that all agree on the rate and the end."""
        elapsed = torch.tensor(self.log.seconds() / 60 / minutes, device=self.accelerator.device)
        self.progress.elapsed = broadcast(elapsed).item()

    def train_epoch(self, loss: LossFunction) -> None:
        """Go through the loader once, or until the minutes are over."""
        self.model.train()
        if hasattr(self.loader, "set_epoch"):
            self.loader.set_epoch(self.progress.epoch)
        carry = None
        hidden = not self.accelerator.is_local_main_process
        bar = tqdm(self.loader, desc=f"epoch {self.progress.epoch + 1}", disable=hidden)
        for batch in bar:
            result = loss(self.model, batch, carry)
            carry = result.carry.detach() if result.carry is not None else None
            norm = self.step(result)
            if self.progress.step % self.config.log_every == 0:
                bar.set_postfix(loss=f"{self.log_step(result, norm):.3f}")
            if self.config.minutes and self.is_over():
                break
        self.progress.epoch += 1

    def step(self, result: Loss) -> float:
        """Change the weights by one batch's loss; the norm of its gradient."""
        accelerator, config = self.accelerator, self.config
        accelerator.backward(result.value)
        if result.again:
            accelerator.backward(result.again())
        norm = accelerator.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.scheduler.step()
        self.progress.step += 1
        if config.minutes:
            self.update_elapsed(config.minutes)
        if self.average:
            self.average.update_parameters(accelerator.unwrap_model(self.model))
        return norm

    def log_step(self, result: Loss, norm: float) -> float:
        """Write a step's record; the mean loss over all processes."""
        value = self.accelerator.reduce(result.value.detach(), reduction="mean").item()
        rate = self.scheduler.get_last_lr()[0]
        self.log.write(step=self.progress.step, loss=value, norm=float(norm), rate=rate, **(result.figures or {}))
        return value

    def judge(self, evaluate: Evaluation, save: Callable[[nn.Module], None] | None) -> None:
        """Evaluate the (averaged) model, save it if it is the best, count the evaluations without progress."""
        progress = self.progress
        model = self.average.module if self.average else self.accelerator.unwrap_model(self.model)
        model.eval()
        with torch.inference_mode():
            figures = evaluate(model)
        self.log.write(step=progress.step, epoch=progress.epoch, dev=figures)
        first = next(iter(figures.values()))
        if first > progress.best:
            progress.best, progress.stale = first, 0
            if save and self.log.enabled:
                save(model)
        else:
            progress.stale += 1

    def save_state(self, folder: Path) -> None:
        """Write the state beside the old one, then put it in its place: an interruption leaves one of them whole."""
        accelerator = self.accelerator
        accelerator.save_state(str(folder / "state.part"))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            shutil.rmtree(folder / "state", ignore_errors=True)
            (folder / "state.part").rename(folder / "state")
        accelerator.wait_for_everyone()


def resolve_precision(precision: str) -> str:
    """ "auto" -> "bf16" where this machine computes that fast (a GPU, or a CPU with AMX), else "no"."""
    return ("bf16" if fast_bfloat16() else "no") if precision == "auto" else precision


@torch.no_grad()
def average_weights(models: Sequence[Model]) -> Model:
    """The first model with the mean of all weights (Wortsman et al. 2022, "model soups").

    They must descend from one training, or the mean is noise. Counters and other whole numbers stay the first one's.
    """
    states = [model.checkpoint_state_dict() for model in models]
    for name, tensor in states[0].items():
        if tensor.is_floating_point():
            tensor.copy_(torch.stack([state[name] for state in states]).mean(0))
    return models[0]


def _schedule(config: TrainingConfig, steps_per_epoch: int, progress: Progress) -> Callable[[int], float]:
    """Factor of the learning rate at each step: linear warm-up, then the named decay, by steps or by the clock."""
    total = max(1, config.epochs * steps_per_epoch - config.warmup_steps)
    start = max(1, config.warmup_steps)
    shapes = {
        "constant": lambda done: 1.0,
        "linear": lambda done: 1.0 - done,
        "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
        # knows no end, so that a training can always go on (Vaswani et al. 2017)
        "inverse_sqrt": lambda done: math.sqrt(start / (start + done * total)),
    }
    shape = shapes[config.schedule]

    def factor(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        done = progress.elapsed if config.minutes else (step - config.warmup_steps) / total
        return shape(min(1.0, done))

    return factor


class Log:
    """JSON lines in `folder`/log.jsonl and the learning curve drawn from them."""

    def __init__(self, folder: Path, enabled: bool = True, keep: bool = False):
        self.file, self.enabled, self.records = folder / "log.jsonl", enabled, []
        self.start = time.monotonic()
        if not enabled:
            return
        folder.mkdir(parents=True, exist_ok=True)
        if keep and self.file.exists():
            lines = self.file.read_text().split("\n")[:-1]  # what follows the last line end was cut short
            self.records = [json.loads(line) for line in lines]
        else:
            self.file.write_text("")

    def rewind(self, step: int) -> None:
        """Forget what was logged after `step`: a resumed training does those steps again."""
        if not self.enabled:
            return
        self.records = [record for record in self.records if record["step"] <= step]
        self.start -= self.records[-1]["seconds"] if self.records else 0.0
        part = self.file.with_suffix(".part")
        part.write_text("".join(json.dumps(record) + "\n" for record in self.records))
        part.replace(self.file)

    def seconds(self) -> float:
        """Since the training began, without the time between an interruption and its resumption."""
        return time.monotonic() - self.start

    def write(self, **record: Any) -> None:
        """Append one record; after an evaluation, draw the curve anew."""
        record["seconds"] = round(self.seconds(), 1)
        self.records.append(record)
        if not self.enabled:
            return
        with self.file.open("a") as lines:
            lines.write(json.dumps(record) + "\n")
        if "dev" in record:
            tqdm.write(f"epoch {record['epoch']}: {record['dev']} ({record['seconds']:.0f} s)")
            from core import plots  # matplotlib is slow to import, and only training draws here

            plots.learning_curve(self.records).savefig(self.file.with_name("curve.png"), dpi=110)
