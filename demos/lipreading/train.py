"""The recipes of the three lipreaders: words and phrases (MIRACL-VC1), sentences (GRID), drawn mouths (animated).

`python -m demos.lipreading train --help` gives the exact commands behind the shipped checkpoints.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from core.decoding.ctc import BLANK
from core.errors import InputError
from core.input.video import load_video
from core.serving.command_line import given
from core.training.loop import Loss, TrainingConfig, average_weights, best_precision, train
from demos.lipreading.augment import Augmentation
from demos.lipreading.data import LESSON_WORDS, WORD_CROP, Clip, Miracl, draw_clips, grid_slots, read_grid, read_miracl
from demos.lipreading.evaluate import dev_scores
from demos.lipreading.examples import Examples, collate
from demos.lipreading.model import Lipreader, LipreaderConfig, LipReading, normalise, together
from demos.lipreading.mouth import crop_mouth, find_face
from demos.lipreading.sound import read_sound

# --- what a network is taught ------------------------------------------------------------------------------------


class Apprentice(nn.Module):
    """A reader while it learns: a layer beside its own says what would be heard, and is not kept."""

    def __init__(self, reader: Lipreader, sound_features: int = 0):
        super().__init__()
        self.reader = reader
        self.sound = nn.Linear(reader.stack.output_size, sound_features) if sound_features else None

    def forward(self, clips: Tensor, lengths: Tensor) -> tuple[LipReading, Tensor | None]:
        """As Lipreader.forward of a single network, but from grey values 0..255; and (B, T, S), what would be heard."""
        outputs = self.reader.watch(normalise(clips, lengths), lengths)
        return self.reader.read(outputs, lengths), self.sound(outputs) if self.sound else None


def clip_loss(model: nn.Module, batch: dict[str, Tensor], carry: None, smoothing: float = 0.1) -> Loss:
    """Cross-entropy of the clip's class."""
    reading, _ = model(batch["clips"], batch["lengths"])
    return Loss(F.cross_entropy(reading.logits.float(), batch["words"], label_smoothing=smoothing))


def sentence_loss(
    model: nn.Module, batch: dict[str, Tensor], carry: None, frame_weight: float = 1.0, sound_weight: float = 0.5
) -> Loss:
    """CTC of the sentence plus cross-entropy of the word at every frame, both a mean over frames; and the squared error
    of what would be heard, where the clips have sound.

    CTC alone first learns to say nothing at all, and finds out what a word looks like only after hours. Told which word
    is being spoken at each frame, the same layer puts the sentence on one path. What is then left to CTC alone
    (`frame_weight` 0) is to be sure of a word's presence where the frames at its edges are not.
    """
    reading, sound = model(batch["clips"], batch["lengths"])
    logprobs = reading.logits.float().log_softmax(2).transpose(0, 1)
    ctc = F.ctc_loss(
        logprobs, batch["words"], batch["lengths"], batch["word_counts"], BLANK, reduction="none", zero_infinity=True
    )
    ctc = (ctc / batch["lengths"]).mean()
    frames = F.cross_entropy(reading.frames.float().flatten(0, 1), batch["spoken"].flatten(), ignore_index=-100)
    value, figures = ctc + frame_weight * frames, {"ctc": ctc.item(), "frames": frames.item()}
    if sound is not None:
        real = batch["spoken"] != -100
        error = F.mse_loss(sound[real].float(), batch["sound"][real])
        value, figures = value + sound_weight * error, figures | {"sound": error.item()}
    return Loss(value, figures)


def teach(
    model: Lipreader, clips: Sequence[Clip], evaluate: Callable | None, config: TrainingConfig, folder: Path,
    batch_size: int, how: Augmentation, resume: bool = False, weights: Mapping[str, float] | None = None,
    workers: int = 0,
) -> list[dict]:  # fmt: skip
    """Train on clips and keep the best by `evaluate` in folder/best; `weights`: of sentence_loss. Returns the log.

    `workers` processes prepare the batches; 0: this one does.
    """
    examples = Examples(clips, model.config.vocabulary, how)
    loader = DataLoader(
        examples, batch_size, shuffle=True, drop_last=len(clips) > batch_size, collate_fn=collate,
        num_workers=workers, persistent_workers=workers > 0,
    )  # fmt: skip
    sound_features = clips[0].sound.shape[1] if clips[0].sound is not None else 0
    loss = clip_loss if model.config.readout == "clip" else partial(sentence_loss, **(weights or {}))
    return train(
        Apprentice(model, sound_features),
        loader,
        loss,
        config,
        folder,
        (lambda apprentice: evaluate(apprentice.reader)) if evaluate else None,
        lambda apprentice: apprentice.reader.save_pretrained(folder / "best"),
        resume=resume,
    )


# --- words and phrases -------------------------------------------------------------------------------------------

WORD_AUGMENTATION = Augmentation(shift=0.08, scale=0.15, light=0.4, speed=0.2, hide=0.5, fill=0.4)


def new_word_reader(data: Miracl, **settings: object) -> Lipreader:
    """An untrained network for the words and phrases of MIRACL-VC1."""
    height, width = WORD_CROP
    vocabulary = (*data.words, *data.phrases)
    config = LipreaderConfig(vocabulary, "clip", "tight", height, width, fps=15.0, dropout=0.5, mirrored=True)
    return Lipreader(replace(config, **settings))


def leave_one_out(data: Miracl, config: TrainingConfig, out: Path, batch_size: int) -> dict[str, object]:
    """Accuracy of the 10 words for every speaker by a network that has never seen that speaker.

    The last epoch counts: no figure of the left-out speaker chooses anything. Speakers that out/scores.json already
    names are not done again.
    """
    file = out / "scores.json"
    scores: dict[str, float] = json.loads(file.read_text())["speakers"] if file.exists() else {}
    entry: dict[str, object] = {}
    for speaker in data.speakers:
        if speaker not in scores:
            others = [clip for clip in data.of(set(data.speakers) - {speaker}) if "/words/" in clip.name]
            own = [clip for clip in data.of([speaker]) if "/words/" in clip.name]
            set_seed(config.seed)
            model = new_word_reader(data)
            log = teach(model, others, None, config, out / speaker, batch_size, WORD_AUGMENTATION)
            scores[speaker] = round(100 * dev_scores(model.eval(), own)["words"], 2)
            print(speaker, scores[speaker], f"({log[-1]['seconds']:.0f} s)", flush=True)
        mean = round(sum(scores.values()) / len(scores), 2)
        entry = {"data": "MIRACL-VC1 words", "split": "leave one speaker out", "words": mean, "speakers": scores}
        file.write_text(json.dumps(entry, indent=1) + "\n")
    return entry


# --- sentences ---------------------------------------------------------------------------------------------------

SENTENCE_AUGMENTATION = Augmentation(splice=0.6)
# For a last stage: "at" and "in" last a tenth of a second and differ in a few pixels, which strong changes drown.
GENTLE = Augmentation(shift=0.03, scale=0.04, tilt=2.0, light=0.15, speed=0.08, jitter=0.0, hide=0.1, mirror=0.0)


def new_sentence_reader(more_words: Sequence[str] = (), **settings: object) -> Lipreader:
    """An untrained network for the 51 words of GRID and `more_words`."""
    words = [word for slot in grid_slots() for word in slot]
    config = LipreaderConfig(("", *words, *more_words), "ctc", "wide", insertion_penalty=1.5)
    return Lipreader(replace(config, **settings))


def grid_crop(file: Path) -> np.ndarray:
    """(T, 48, 80): a clip of GRID as the app would cut it."""
    video = load_video(file)
    return crop_mouth(video, find_face(video), "wide", 48, 80)


def grid_sound(root: Path, clip: Clip) -> np.ndarray:
    """(T, S) what is heard in a clip of GRID."""
    return read_sound(root / clip.speaker / f"{clip.name}.mp4", len(clip.frames))


def finish(
    folders: Sequence[Path], out: Path, combine: Callable = average_weights, eight_bits: bool = False,
    **answering: float,
) -> None:  # fmt: skip
    """Save what `combine` makes of the checkpoints: one network of their mean weights, or with `together` one that
    answers with the mean of what they say; `answering` changes how it does (settings of LipreaderConfig)."""
    if not folders:
        raise InputError("The stages `average` and `together` need checkpoints: name them with --start.")
    model = combine([Lipreader.from_pretrained(folder) for folder in folders])
    finished = Lipreader(replace(model.config, **answering))
    finished.load_state_dict(model.state_dict())
    finished.save_pretrained(out / "best", eight_bits=eight_bits)


# --- command line ------------------------------------------------------------------------------------------------

_RECIPE = r"""
the shipped checkpoints (--cache runs/crops with each keeps the crops):
  python -m demos.lipreading train words --data miracl_vc1 --all-speakers --out runs/words
  python -m demos.lipreading train words --data miracl_vc1 --all-speakers --start runs/words/best --epochs 8 \
      --learning-rate 1e-3 --seed 2 --out runs/words2  # and again with --seed 3 --out runs/words3
  python -m demos.lipreading train average --start runs/words/best runs/words2/best runs/words3/best \
      --out runs/words-average
  python -m demos.lipreading train words --data miracl_vc1 --all-speakers --seed 4 --out runs/words4
      # and again with --seed 5 --out runs/words5
  python -m demos.lipreading train together --start runs/words-average/best runs/words4/best runs/words5/best \
      --out runs/committee
  python -m demos.lipreading train leave-one-out --data miracl_vc1 --out runs/leave-one-out
  python -m demos.lipreading train grid --data grid --sound-weight 0 --average 0.998 --epochs 62 --seed 36 --out runs/f
  python -m demos.lipreading train grid --data grid --sound-weight 0 --average 0.998 --epochs 117 --start runs/f/best \
      --learning-rate 1.2e-3 --seed 42 --out runs/f2
  python -m demos.lipreading train grid --data grid --average 0.998 --epochs 60 --seed 31 --out runs/a
  python -m demos.lipreading train grid --data grid --average 0.998 --epochs 112 --start runs/a/best \
      --learning-rate 1.2e-3 --seed 41 --out runs/a2
  python -m demos.lipreading train grid --data grid --depth 2 --average 0.998 --epochs 56 --seed 33 --out runs/c
  python -m demos.lipreading train grid --data grid --average 0.998 --epochs 105 --start runs/c/best \
      --learning-rate 1.2e-3 --seed 43 --out runs/c2
  python -m demos.lipreading train together --start runs/f2/best runs/a2/best runs/c2/best --temperature 0.65 \
      --insertion-penalty 0.75 --out runs/grid-committee
  python -m demos.lipreading train animated --out runs/animated
  python -m demos.lipreading train animated --start runs/animated/best --epochs 7 --learning-rate 1.5e-3 --seed 2 \
      --out runs/animated2
"""

_CONFIGS = {
    "words": TrainingConfig(
        epochs=30, learning_rate=1.5e-3, weight_decay=0.02, warmup_steps=100, average=0.995, patience=99
    ),
    "leave-one-out": TrainingConfig(epochs=12, learning_rate=1.5e-3, weight_decay=0.02, warmup_steps=50, average=0.98),
    "grid": TrainingConfig(
        epochs=38, learning_rate=1.5e-3, weight_decay=0.02, warmup_steps=100, average=0.995, patience=99
    ),
    "animated": TrainingConfig(
        epochs=6, learning_rate=2e-3, weight_decay=0.02, warmup_steps=100, average=0.99, patience=99
    ),
}

_FINISHING = {"average": average_weights, "together": together}  # what makes one network of several


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, _RECIPE
    parser.add_argument("which", choices=[*_CONFIGS, *_FINISHING])
    parser.add_argument("--data", type=Path, help="words: folder of MIRACL-VC1; grid: folder of GRID")
    parser.add_argument("--clips", type=int, default=2400, help="animated: how many to draw (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="folder for the crops, so that mouths are looked for once")
    help_text = "checkpoint to continue from (default: an untrained network); average, together: two or more"
    parser.add_argument("--start", type=Path, nargs="+", help=help_text)
    parser.add_argument(
        "--moved", type=int, help="average, together: answer with the mean of clips moved up and down, too, in pixels"
    )
    help_text = "average, together: softmax temperature of the answers; below 1: surer ones"
    parser.add_argument("--temperature", type=float, help=help_text)
    help_text = "average, together: off the log-probability of each word in the search"
    parser.add_argument("--insertion-penalty", type=float, help=help_text)
    parser.add_argument("--eight-bits", action="store_true", help="average, together: save half as large a file")
    parser.add_argument("--out", type=Path, required=True, help="folder for the log, the curve and the best checkpoint")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run in --out")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--minutes", type=float, help="train for so long, however many epochs that makes")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--average", type=float, help="decay of the moving average of the weights; 0: none")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare batches, for a GPU")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--imagenet", default="", help="an encoder of core.networks.encoders instead of the small CNN")
    parser.add_argument("--depth", type=int, default=1, help="grid: convolutions of each size in the small CNN")
    parser.add_argument("--frame-weight", type=float, default=1.0, help="0: sentences by CTC alone, for a last stage")
    help_text = "grid: 0: learn nothing from the sound of the films (default: %(default)s)"
    parser.add_argument("--sound-weight", type=float, default=0.5, help=help_text)
    parser.add_argument("--gaps", type=int, default=0, help="grid: moments of each second that are hidden")
    parser.add_argument("--gentle", action="store_true", help="weaker augmentation, for a last stage")
    parser.add_argument("--all-speakers", action="store_true", help="words: train on the dev speakers too")
    parser.add_argument("--precision", choices=["auto", "no", "bf16"], default="auto")


def main(options: argparse.Namespace) -> None:
    """Train one network."""
    set_seed(options.seed)
    if options.which in _FINISHING:
        names = ("moved", "temperature", "insertion_penalty")
        answering = given(options, names)
        finish(options.start or [], options.out, _FINISHING[options.which], options.eight_bits, **answering)
        return
    names = ("epochs", "minutes", "learning_rate", "average")
    chosen = given(options, names)
    precision = best_precision() if options.precision == "auto" else options.precision
    config = replace(_CONFIGS[options.which], seed=options.seed, precision=precision, **chosen)
    if options.which != "animated" and not options.data:
        raise InputError("Name the folder of the data set with --data.")
    if options.which == "leave-one-out":
        print(leave_one_out(read_miracl(options.data, options.cache), config, options.out, options.batch_size))
        return
    if options.which == "words":
        data = read_miracl(options.data, options.cache)
        held_out = {*data.test_speakers, *(() if options.all_speakers else data.dev_speakers)}
        clips, dev = data.of(set(data.speakers) - held_out), data.of(data.dev_speakers)
        model, how = new_word_reader(data, imagenet=options.imagenet), WORD_AUGMENTATION
    elif options.which == "grid":
        clips, dev = (read_grid(options.data, split, grid_crop, options.cache) for split in ("train", "dev"))
        if options.sound_weight:
            clips = [replace(clip, sound=grid_sound(options.data, clip)) for clip in clips]
        model = new_sentence_reader(imagenet=options.imagenet, depth=options.depth)
        how = replace(SENTENCE_AUGMENTATION, gaps=options.gaps)
    else:
        clips, dev = (
            draw_clips("train", options.clips, cache=options.cache),
            draw_clips("dev", 100, cache=options.cache),
        )
        settings = {"crop": "whole", "channels": (24, 48, 72, 96), "insertion_penalty": 4.0}
        model, how = new_sentence_reader(LESSON_WORDS, **settings), SENTENCE_AUGMENTATION
    how = GENTLE if options.gentle else how
    if options.start:
        model = Lipreader.from_pretrained(options.start[0])
    if not clips or not dev:
        raise InputError("There are no clips to train on or to measure by.")
    teach(
        model,
        clips,
        partial(dev_scores, clips=dev),
        config,
        options.out,
        options.batch_size,
        how,
        options.resume,
        {"frame_weight": options.frame_weight, "sound_weight": options.sound_weight},
        options.workers,
    )
