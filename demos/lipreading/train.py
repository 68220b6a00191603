"""The stages of the lipreaders' recipes, recipes/lipreading-{words,grid,animated}.toml (see core.training.recipes).

words, grid, animated   train one network: on MIRACL-VC1, on GRID's first speaker, on drawn mouths
average, ensemble       make one network of several
leave-one-out           measure how well words are read of speakers whom the network has never seen
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from core.decoding.ctc import BLANK
from core.errors import InputError
from core.training.loop import Evaluation, Loss, TrainingConfig, average_weights, train
from core.training.recipes import BEST, StageRun
from demos.lipreading.augment import Augmentation, AugmentedClips, collate
from demos.lipreading.data import (
    LESSON_WORDS,
    SENTENCE_CROP,
    WORD_CROP,
    Clip,
    Miracl,
    draw_clips,
    grid_slots,
    read_grid,
    read_miracl,
)
from demos.lipreading.evaluate import dev_scores
from demos.lipreading.model import Lipreader, LipreaderConfig, LipreaderOutput, ensemble_of, normalise
from demos.lipreading.sound import read_sound

_GRID_WORDS = tuple(word for slot in grid_slots() for word in slot)
WORD_NETWORK = LipreaderConfig((), "clip", "tight", *WORD_CROP, fps=15.0, dropout=0.5, mirrored=True)
GRID_NETWORK = LipreaderConfig(("", *_GRID_WORDS), "ctc", "wide", *SENTENCE_CROP, insertion_penalty=1.5)
ANIMATED_NETWORK = LipreaderConfig(
    ("", *_GRID_WORDS, *LESSON_WORDS), "ctc", "whole", *SENTENCE_CROP, channels=(24, 48, 72, 96), insertion_penalty=4.0
)
WORD_AUGMENTATION = Augmentation(shift=0.08, scale=0.15, light=0.4, speed=0.2, hide=0.5, fill=0.4)
SENTENCE_AUGMENTATION = Augmentation(splice=0.6)
WORD_TRAINING = TrainingConfig(
    epochs=30, learning_rate=1.5e-3, weight_decay=0.02, warmup_steps=100, average=0.995, patience=99
)
LEAVE_ONE_OUT_TRAINING = replace(WORD_TRAINING, epochs=12, warmup_steps=50, average=0.98)
GRID_TRAINING = replace(WORD_TRAINING, epochs=60, average=0.998)
ANIMATED_TRAINING = replace(WORD_TRAINING, epochs=6, learning_rate=2e-3, average=0.99)
RESTART_RATE = 0.8  # learning rate with which a further cycle begins, as a share of the last one's

# --- losses ------------------------------------------------------------------------------------------------------


class WithSound(nn.Module):
    """A lipreader while it is trained: a layer beside its own predicts what would be heard, and is not kept."""

    def __init__(self, lipreader: Lipreader, sound_features: int = 0):
        super().__init__()
        self.lipreader = lipreader
        self.sound = nn.Linear(lipreader.stack.output_size, sound_features) if sound_features else None

    def forward(self, clips: Tensor, lengths: Tensor) -> tuple[LipreaderOutput, Tensor | None]:
        """As Lipreader.forward of a single network, but from grey values 0..255; and (B, T, S), the sound."""
        states = self.lipreader.encode(normalise(clips, lengths), lengths)
        return self.lipreader.classify(states, lengths), self.sound(states) if self.sound else None


def clip_loss(model: nn.Module, batch: dict[str, Tensor], carry: None, smoothing: float = 0.1) -> Loss:
    """Cross-entropy of the clip's class."""
    output, _ = model(batch["clips"], batch["lengths"])
    return Loss(F.cross_entropy(output.logits.float(), batch["words"], label_smoothing=smoothing))


def sentence_loss(model: nn.Module, batch: dict[str, Tensor], carry: None, sound_weight: float = 0.5) -> Loss:
    """CTC of the sentence plus cross-entropy of the word at every frame, both a mean over frames; and the squared error
    of the predicted sound, where the clips have any.

    CTC alone first learns to say nothing at all, and finds out what a word looks like only after hours. Taught which
    word is being spoken at each frame, the same layer puts the sentence on one path.
    """
    output, sound = model(batch["clips"], batch["lengths"])
    logprobs = output.logits.float().log_softmax(2).transpose(0, 1)
    ctc = F.ctc_loss(
        logprobs, batch["words"], batch["lengths"], batch["word_counts"], BLANK, reduction="none", zero_infinity=True
    )
    ctc = (ctc / batch["lengths"]).mean()
    frames = F.cross_entropy(
        output.frame_logits.float().flatten(0, 1), batch["frame_words"].flatten(), ignore_index=-100
    )
    value, figures = ctc + frames, {"ctc": ctc.item(), "frames": frames.item()}
    if sound is not None:
        real = batch["frame_words"] != -100
        error = F.mse_loss(sound[real].float(), batch["sound"][real])
        value, figures = value + sound_weight * error, figures | {"sound": error.item()}
    return Loss(value, figures)


# --- stages that train -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClipTraining(ABC):
    """Train one network on clips and keep the best by its dev clips."""

    network: LipreaderConfig = GRID_NETWORK
    augmentation: Augmentation = SENTENCE_AUGMENTATION
    training: TrainingConfig = WORD_TRAINING
    restarts: tuple[int, ...] = ()  # epochs of each further cycle (warm restarts, Loshchilov and Hutter 2017)
    start: str = ""  # the checkpoint to go on from; "": an untrained network
    sound_weight: float = 0.0  # of predicting the films' sound in the loss; 0: the sound is not read
    batch_size: int = 16

    @abstractmethod
    def read(self, stage: StageRun) -> tuple[LipreaderConfig, list[Clip], list[Clip]]:
        """The network with its vocabulary, the training clips and the dev clips."""

    def run(self, stage: StageRun) -> None:
        """Train cycle by cycle, each from the best of the one before it."""
        config, clips, dev = self.read(stage)
        if not clips or not dev:
            raise InputError("There are no clips to train on or to measure by.")
        start: str | Path = stage.checkpoint(self.start) if self.start else ""
        training = self.training
        for number, epochs in enumerate((training.epochs, *self.restarts)):
            if number:
                rate = training.learning_rate * RESTART_RATE
                training = replace(training, epochs=epochs, learning_rate=rate, seed=training.seed + 1)
            folder = stage.folder / f"cycle{number + 1}" if number < len(self.restarts) else stage.folder
            set_seed(training.seed)
            lipreader = Lipreader.from_pretrained(start) if start else Lipreader(config)
            self.train_network(lipreader, clips, training, folder, partial(dev_scores, clips=dev), stage.resume)
            start = folder / BEST

    def train_network(
        self, lipreader: Lipreader, clips: Sequence[Clip], training: TrainingConfig, folder: Path,
        evaluate: Evaluation | None = None, resume: bool = False,
    ) -> list[dict]:  # fmt: skip
        """One cycle in place; the best by `evaluate` is kept in folder/best. Returns the log."""
        loader = DataLoader(
            AugmentedClips(clips, lipreader.config.vocabulary, self.augmentation), self.batch_size, shuffle=True,
            drop_last=len(clips) > self.batch_size, collate_fn=collate,
        )  # fmt: skip
        sound_features = clips[0].sound.shape[1] if clips[0].sound is not None else 0
        sentences = partial(sentence_loss, sound_weight=self.sound_weight)
        return train(
            WithSound(lipreader, sound_features),
            loader,
            clip_loss if lipreader.config.readout == "clip" else sentences,
            training,
            folder,
            (lambda model: evaluate(model.lipreader)) if evaluate else None,
            lambda model: model.lipreader.save_pretrained(folder / BEST),
            resume=resume,
        )


@dataclass(frozen=True)
class Words(ClipTraining):
    """Words and phrases of MIRACL-VC1, of all but the test speakers."""

    data: str = "miracl_vc1"
    network: LipreaderConfig = WORD_NETWORK
    augmentation: Augmentation = WORD_AUGMENTATION

    def read(self, stage: StageRun) -> tuple[LipreaderConfig, list[Clip], list[Clip]]:
        """The dev clips, which choose the epoch, are part of the training: there are few speakers."""
        data = read_miracl(stage.dataset(self.data), stage.cache)
        clips = data.of(set(data.speakers) - set(data.test_speakers))
        return self.config(data), clips, data.of(data.dev_speakers)

    def config(self, data: Miracl) -> LipreaderConfig:
        """Of a network for the words and phrases of the data."""
        return replace(self.network, vocabulary=(*data.words, *data.phrases))


@dataclass(frozen=True)
class LeaveOneOut(Words):
    """Accuracy of the 10 words for every speaker by a network that has never seen that speaker, in scores.json.

    The last epoch counts: no figure of the left-out speaker chooses anything. No network is kept.
    """

    training: TrainingConfig = LEAVE_ONE_OUT_TRAINING

    def run(self, stage: StageRun) -> None:
        """Speakers that scores.json already names are not done again in a resumed run."""
        data, file = read_miracl(stage.dataset(self.data), stage.cache), stage.folder / "scores.json"
        known = json.loads(file.read_text())["speakers"] if stage.resume and file.exists() else {}
        scores: dict[str, float] = {}
        for speaker in data.speakers:
            scores[speaker] = known.get(speaker) or self.score(data, speaker, stage.folder / speaker)
            print(speaker, scores[speaker], flush=True)
            mean = round(sum(scores.values()) / len(scores), 2)
            record = {"data": "MIRACL-VC1 words", "split": "leave one speaker out", "words": mean, "speakers": scores}
            file.write_text(json.dumps(record, indent=1) + "\n")

    def score(self, data: Miracl, speaker: str, folder: Path) -> float:
        """Accuracy in percent for one speaker, after a training on all others."""
        words = [clip for clip in data.clips if "/words/" in clip.name]
        set_seed(self.training.seed)
        lipreader = Lipreader(self.config(data))
        self.train_network(lipreader, [clip for clip in words if clip.speaker != speaker], self.training, folder)
        return round(100 * dev_scores(lipreader.eval(), [c for c in words if c.speaker == speaker])["words"], 2)


@dataclass(frozen=True)
class Grid(ClipTraining):
    """Commands of GRID's speaker s1."""

    data: str = "grid"
    training: TrainingConfig = GRID_TRAINING
    restarts: tuple[int, ...] = (112,)

    def read(self, stage: StageRun) -> tuple[LipreaderConfig, list[Clip], list[Clip]]:
        """With the films' sound where it is to be predicted."""
        root = stage.dataset(self.data)
        clips, dev = (read_grid(root, split, stage.cache) for split in ("train", "dev"))
        if self.sound_weight:
            files = [root / clip.speaker / f"{clip.name}.mp4" for clip in clips]
            clips = [
                replace(clip, sound=read_sound(file, len(clip.frames))) for clip, file in zip(clips, files, strict=True)
            ]
        return self.network, clips, dev


@dataclass(frozen=True)
class Animated(ClipTraining):
    """Drawn mouths, which need no data."""

    clips: int = 2400  # drawn for training, each of 240 speakers says as many
    dev_clips: int = 100
    network: LipreaderConfig = ANIMATED_NETWORK
    training: TrainingConfig = ANIMATED_TRAINING
    restarts: tuple[int, ...] = (7,)

    def read(self, stage: StageRun) -> tuple[LipreaderConfig, list[Clip], list[Clip]]:
        """No sentence and no speaker is in both sets."""
        clips = draw_clips("train", self.clips, cache=stage.cache)
        return self.network, clips, draw_clips("dev", self.dev_clips, cache=stage.cache)


# --- stages that make one network of several ---------------------------------------------------------------------


@dataclass(frozen=True)
class Average:
    """The mean of the weights of networks that descend from one (Wortsman et al. 2022)."""

    networks: tuple[str, ...] = ()  # earlier stages, folders or Hub ids

    def run(self, stage: StageRun) -> None:
        """As fast as one of them."""
        average_weights(_load(self.networks, stage)).save_pretrained(stage.best)


@dataclass(frozen=True)
class Ensemble(Average):
    """A network that answers with the mean of what several say."""

    temperature: float = 1.0
    insertion_penalty: float = 0.0

    def run(self, stage: StageRun) -> None:
        """As slow as all of them."""
        settings = {"temperature": self.temperature, "insertion_penalty": self.insertion_penalty}
        ensemble_of(_load(self.networks, stage), **settings).save_pretrained(stage.best)


def _load(networks: Sequence[str], stage: StageRun) -> list[Lipreader]:
    if not networks:
        raise InputError("The stages `average` and `ensemble` need checkpoints: name them as `networks`.")
    return [Lipreader.from_pretrained(stage.checkpoint(name)) for name in networks]


STAGES: dict[str, type] = {
    "words": Words,
    "leave-one-out": LeaveOneOut,
    "grid": Grid,
    "animated": Animated,
    "average": Average,
    "ensemble": Ensemble,
}
