"""Reading lips: a clip in, what was said and when out. No gradio in here.

clip -> frames at the network's rate -> face -> mouth crops -> network -> words, with log-probabilities
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from core.checkpoint import checkpoint_folder
from core.decoding.ctc import CTCHypothesis, SlotGrammar, align, prefix_beam_search
from core.errors import InputError, check_number
from core.input.video import Video, load_video
from core.serving.shared import load_once
from demos.lipreading.data import grid_slots
from demos.lipreading.model import Lipreader, LipreaderConfig, LipreaderOutput, normalise, outputs_of
from demos.lipreading.mouth import Face, crop_boxes, crop_mouth, find_face, shrink

MODELS = ("words", "grid", "animated")
_WORD_SECONDS = 2.0  # the longest clip of MIRACL-VC1 has 27 frames, 1.8 seconds


@dataclass(frozen=True)
class LipreadingOptions:
    """How to read. Raises InputError for values that cannot work."""

    model: str = "words"  # words and phrases of anybody; "grid": commands of one speaker; "animated": drawn mouths
    beam_size: int = 10
    n_best: int = 5
    grammar: bool = False  # grid, animated: only sentences of GRID's grammar
    insertion_penalty: float | None = None  # grid, animated: off the log-probability of each word; None: the network's

    def __post_init__(self):
        if self.model not in MODELS:
            raise InputError(f"There is no model {self.model!r}: choose one of {', '.join(MODELS)}.")
        check_number("beam_size", self.beam_size, 1, 100, whole=True)
        check_number("n_best", self.n_best, 1, 20, whole=True)
        if self.insertion_penalty is not None:
            check_number("insertion_penalty", self.insertion_penalty, 0, 10)
        if not isinstance(self.grammar, bool):
            raise InputError(f"grammar must be true or false, not {self.grammar!r}.")


@dataclass(frozen=True)
class SpokenWord:
    """A word and when it was seen."""

    text: str
    start: float  # seconds
    end: float
    logprob: float  # mean over its frames


@dataclass(frozen=True)
class Crops:
    """What the network gets to see, and where it comes from."""

    video: Video  # at the network's rate
    face: Face | None  # None: a drawn mouth, which fills the picture
    boxes: np.ndarray  # (T, 4) left, top, right, bottom in the video's pixels
    mouths: np.ndarray  # (T, H, W) uint8, grey
    first: int = 0  # the frame of the clip that the first crop belongs to
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LipreadingResult:
    """What was read."""

    text: str
    logprob: float
    hypotheses: tuple[CTCHypothesis, ...]  # best first; of words and phrases each is one token
    words: tuple[SpokenWord, ...]
    frames: tuple[dict[str, Any], ...]  # time, box and likeliest word of every frame
    notes: tuple[str, ...]
    seconds: float
    model: str
    insertion_penalty: float  # by which the hypotheses are ranked, off their log-probability for each word
    crops: Crops = field(repr=False, compare=False)
    posteriors: np.ndarray = field(repr=False, compare=False)  # (T, C) of every word at every frame
    logits: np.ndarray = field(repr=False, compare=False)  # (T, C) for CTC, or (C,) of the whole clip
    vocabulary: tuple[str, ...] = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: all but the pictures and the posteriors."""
        return {
            "text": self.text,
            "logprob": self.logprob,
            "hypotheses": [{"text": h.text, "logprob": h.logprob} for h in self.hypotheses],
            "words": [vars(w).copy() for w in self.words],
            "frames": list(self.frames),
            "notes": list(self.notes),
            "model": self.model,
            "seconds": self.seconds,
        }


@load_once
def _load(folder_or_hub_id: str | Path) -> Lipreader:
    return Lipreader.from_pretrained(folder_or_hub_id).for_inference()


class LipreadingPredictor:
    """The three lipreaders; each is loaded when first asked for, and shared."""

    def __init__(self, folder_or_hub_id: str | Path | None = None):
        self.source = folder_or_hub_id or checkpoint_folder("lipreading")

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path | None = None) -> "LipreadingPredictor":
        """A folder with words/, grid/ and animated/ (default: the repository's own), or the Hugging Face id of one
        network, which then answers for whichever model is asked for."""
        return cls(folder_or_hub_id)

    def checkpoint(self, name: str) -> str | Path:
        """Folder or Hub id of one of MODELS."""
        is_hub_id = isinstance(self.source, str) and not Path(self.source).is_dir()
        return self.source if is_hub_id else Path(self.source) / name

    def model(self, name: str) -> Lipreader:
        """One of MODELS. Raises ModelError when its checkpoint is missing or damaged."""
        return _load(self.checkpoint(name))

    def __call__(
        self, video: str | Path | bytes | BinaryIO | Video, options: LipreadingOptions | None = None
    ) -> LipreadingResult:
        """Read a clip. Raises InputError for what cannot be read, ModelError for a missing checkpoint."""
        options = options or LipreadingOptions()
        start = time.perf_counter()
        model = self.model(options.model)
        clip = video if isinstance(video, Video) else load_video(video)
        crops = crop(clip, model.config)
        return _result(model.config, outputs_of(model, [crops.mouths])[0], crops, options, start)

    def saliency(self, result: LipreadingResult) -> np.ndarray:
        """(T, H, W) 0..1: how much each pixel mattered, by gradient times input (Shrikumar et al. 2017)."""
        model = self.model(result.model)
        lengths = torch.tensor([len(result.crops.mouths)])
        clip = normalise(torch.from_numpy(result.crops.mouths)[None], lengths).requires_grad_()
        with torch.enable_grad():
            output = model(clip, lengths)
            if model.config.readout == "ctc":
                best = output.frame_logits.log_softmax(2).max(2).values.sum()
            else:
                best = output.logits.log_softmax(1).max()
            (gradient,) = torch.autograd.grad(best, clip)
        heat = _blur((gradient * clip).abs()[0])
        return (heat / heat.max().clamp(min=1e-9)).detach().numpy()


def crop(video: Video, config: LipreaderConfig) -> Crops:
    """Find and cut out the mouth as the network's training clips were cut. Raises InputError without a face."""
    video = video.at_rate(config.fps)
    count = len(video.frames)
    if count < 2:
        raise InputError("The clip is too short: lipreading needs a second or more.")
    if config.crop == "whole":
        height, width = video.frames.shape[1:3]
        boxes = np.tile(np.array([0, 0, width, height], float), (count, 1))
        return Crops(video, None, boxes, shrink(video.frames, config.height, config.width), notes=video.notes)
    face = find_face(video)
    notes = [*video.notes, *face.notes]
    boxes = crop_boxes(face, config.crop, config.height, config.width)
    mouths = crop_mouth(video, boxes, config.height, config.width)
    first = 0
    if config.readout == "clip":
        first, end = moving_part(mouths, round(_WORD_SECONDS * config.fps))
        if end - first < count:
            span = f"{first / config.fps:.1f} to {end / config.fps:.1f} s"
            notes.append(f"Read was the part in which the lips move: {span}.")
        mouths = mouths[first:end]
    return Crops(video, face, boxes, mouths, first, tuple(notes))


def moving_part(mouths: np.ndarray, longest: int) -> tuple[int, int]:
    """(T, H, W) -> first frame and the one after the last of the part in which the lips move most."""
    count = len(mouths)
    if count <= longest // 2:
        return 0, count
    motion = np.abs(np.diff(mouths.astype(np.float32), axis=0)).mean((1, 2))
    motion = np.convolve(np.pad(motion, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    moves = motion > motion.min() + 0.25 * (motion.max() - motion.min())
    first, end = int(np.argmax(moves)), int(len(moves) - np.argmax(moves[::-1])) + 1
    first, end = max(0, first - 2), min(count, end + 2)
    if end - first > longest:  # the part of that length with the most movement
        sums = np.convolve(motion, np.ones(longest - 1), mode="valid")
        first = int(np.argmax(sums))
        end = min(count, first + longest)
    return first, end


# --- from the network's figures to words -------------------------------------------------------------------------


def decode(config: LipreaderConfig, logits: Tensor, options: LipreadingOptions) -> list[CTCHypothesis]:
    """The likeliest readings, best first, from (T, C) logits with the readout "ctc" or (C,) with "clip".

    Raises InputError where the grammar allows none.
    """
    vocabulary = config.vocabulary
    logprobs = logits.log_softmax(-1)
    if config.readout == "clip":
        best = logprobs.topk(min(options.n_best, len(vocabulary)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [CTCHypothesis((token,), logprob, vocabulary[token]) for token, logprob in pairs]
    grammar = grid_grammar(vocabulary) if options.grammar else None
    penalty = insertion_penalty(config, options)
    found = prefix_beam_search(logprobs, options.beam_size, options.n_best, grammar, penalty)
    if grammar and not found:
        raise InputError("The clip is too short for a command of six words: read it without the grammar.")
    return [replace(h, text=" ".join(vocabulary[token] for token in h.tokens)) for h in found]


def insertion_penalty(config: LipreaderConfig, options: LipreadingOptions) -> float:
    """What the search takes off for each word: what was asked for, or the network's own."""
    return config.insertion_penalty if options.insertion_penalty is None else options.insertion_penalty


def grid_grammar(vocabulary: Sequence[str]) -> SlotGrammar:
    """GRID's commands as tokens."""
    return SlotGrammar([[vocabulary.index(word) for word in slot] for slot in grid_slots()])


def _result(
    config: LipreaderConfig, output: LipreaderOutput, crops: Crops, options: LipreadingOptions, start: float
) -> LipreadingResult:
    hypotheses = decode(config, output.logits, options)
    posteriors = output.frame_logits.softmax(-1)
    best = posteriors.max(-1)
    notes = list(crops.notes)
    if not hypotheses[0].text:
        notes.append("No word could be read: the lips hardly move, or say nothing that the network knows.")
    frames = tuple(
        {
            "time": round((crops.first + i) / config.fps, 3),
            "box": [round(float(v), 1) for v in crops.boxes[crops.first + i]],
            "text": config.vocabulary[word],
            "probability": round(p, 4),
        }
        for i, (word, p) in enumerate(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    )
    return LipreadingResult(
        text=hypotheses[0].text, logprob=hypotheses[0].logprob, hypotheses=tuple(hypotheses),
        words=tuple(_words(config, output, hypotheses[0], crops.first)), frames=frames, notes=tuple(notes),
        seconds=round(time.perf_counter() - start, 3), model=options.model,
        insertion_penalty=insertion_penalty(config, options), crops=crops,
        posteriors=posteriors.numpy(), logits=output.logits.numpy(), vocabulary=config.vocabulary,
    )  # fmt: skip


def _words(config: LipreaderConfig, output: LipreaderOutput, best: CTCHypothesis, first: int) -> list[SpokenWord]:
    """When each word was said: the likeliest division of the frames among the words, by what each frame shows."""
    fps = config.fps
    if config.readout == "clip":
        return [SpokenWord(best.text, first / fps, (first + len(output.frame_logits)) / fps, best.logprob)]
    spans = align(output.frame_logits.log_softmax(-1), best.tokens)
    return [SpokenWord(config.vocabulary[s.token], s.first / fps, (s.last + 1) / fps, s.logprob) for s in spans]


def _blur(heat: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(heat[None], 5, 1, 2)[0]


@load_once
def get_predictor() -> LipreadingPredictor:
    """The repository's lipreaders, shared; each is loaded when first needed."""
    return LipreadingPredictor.from_pretrained()
