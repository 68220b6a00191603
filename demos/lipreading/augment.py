"""Training examples: clips, each changed anew whenever it is asked for, and batches of them.

Augmentation leaves what a clip says: position, size, tilt, light, speed, a mirror, a hidden spot. Each is drawn once
for a whole clip, as a camera would do it; a change from frame to frame would look like speech.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from core.decoding.ctc import BLANK
from demos.lipreading.data import Clip
from demos.lipreading.model import pad_clips


@dataclass(frozen=True)
class Augmentation:
    """How strong each change is; all 0: none."""

    shift: float = 0.06  # share of the picture's width and height
    scale: float = 0.1
    tilt: float = 6.0  # degrees
    light: float = 0.3  # of contrast and gamma
    speed: float = 0.15
    jitter: float = 0.1  # share of frames that are left out or shown twice
    hide: float = 0.3  # probability that a rectangle is hidden through the whole clip
    mirror: float = 0.5  # probability
    fill: float = 0.0  # probability that even margins above and below are filled with the nearest rows
    splice: float = 0.0  # probability that a sentence goes on, from one of its words, as another one does


def augment(clip: Tensor, how: Augmentation, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """(T, H, W) uint8 -> (T', H, W) float 0..255, and the frame that each one was, (T',)."""
    source = _timing(len(clip), how, generator)
    if how.fill and _uniform(generator) < how.fill:
        clip = fill_margins(clip)
    clip = clip[source].float()
    clip = _light(_place(clip, how, generator), how, generator)
    if _uniform(generator) < how.hide:
        clip = _hide(clip, generator)
    return clip, source


def fill_margins(clip: Tensor, even: float = 3.0) -> Tensor:
    """(T, H, W) -> the same; rows at top and bottom that are one even grey become copies of the nearest other row.

    MIRACL-VC1 pads each tight crop to one shape. No camera does that, so a network must not depend on it.
    """
    rows = torch.arange(clip.size(1))
    busy = clip.float().std(2) > even  # (T, H)
    first = busy.float().argmax(1, keepdim=True)
    last = clip.size(1) - 1 - busy.flip(1).float().argmax(1, keepdim=True)
    index = torch.where(busy.any(1, keepdim=True), rows.clamp(first, last), rows)  # (T, H)
    return clip.gather(1, index.unsqueeze(2).expand_as(clip))


def _uniform(generator: torch.Generator | None, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()


def _timing(count: int, how: Augmentation, generator: torch.Generator | None) -> Tensor:
    """Which frames are shown: faster or slower as a whole, some left out, some twice."""
    speed = 1 + _uniform(generator, -how.speed, how.speed)
    length = max(2, round(count / speed)) if how.speed else count
    steps = torch.ones(length)
    kind = torch.rand(length, generator=generator)
    steps[kind < how.jitter / 2] = 0.0
    steps[kind > 1 - how.jitter / 2] = 2.0
    places = steps.cumsum(0) - steps[0]
    places = places / places[-1].clamp(min=1.0) * (count - 1)
    return places.round().long().clamp(0, count - 1)


def _place(clip: Tensor, how: Augmentation, generator: torch.Generator | None) -> Tensor:
    angle = math.radians(_uniform(generator, -how.tilt, how.tilt))
    size = 1 + _uniform(generator, -how.scale, how.scale)
    across, down = (2 * _uniform(generator, -how.shift, how.shift) for _ in range(2))
    turn = -1.0 if _uniform(generator) < how.mirror else 1.0
    height, width = clip.shape[1:]
    ratio = height / width
    cos, sin = math.cos(angle) * size, math.sin(angle) * size
    theta = torch.tensor([[turn * cos, -sin * ratio, across], [turn * sin / ratio, cos, down]])
    grid = F.affine_grid(theta[None], (1, 1, height, width), align_corners=False)
    return F.grid_sample(clip[None], grid, padding_mode="border", align_corners=False)[0]


def _light(clip: Tensor, how: Augmentation, generator: torch.Generator | None) -> Tensor:
    gamma = math.exp(_uniform(generator, -how.light, how.light))
    tilt = _uniform(generator, -how.light, how.light)  # one side brighter than the other
    slope = 1 + tilt * torch.linspace(-1, 1, clip.size(2))
    return 255 * ((clip / 255).clamp(0, 1) ** gamma * slope).clamp(0, 1)


def _hide(clip: Tensor, generator: torch.Generator | None) -> Tensor:
    height, width = clip.shape[1:]
    tall, wide = (max(1, int(n * _uniform(generator, 0.15, 0.4))) for n in (height, width))
    top, left = int(_uniform(generator, 0, height - tall)), int(_uniform(generator, 0, width - wide))
    clip = clip.clone()
    clip[:, top : top + tall, left : left + wide] = clip.mean()
    return clip


# --- examples ----------------------------------------------------------------------------------------------------


class AugmentedClips(Dataset):
    """Clips, each augmented anew whenever it is asked for."""

    def __init__(self, clips: Sequence[Clip], vocabulary: Sequence[str], how: Augmentation):
        self.clips, self.how = clips, how
        self.ids = {word: number for number, word in enumerate(vocabulary)}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Grey values (T, H, W), the word at every frame (T,), the words (N,), the spectra of the sound (T, S)."""
        clip = self.clips[index]
        if self.how.splice and torch.rand(()).item() < self.how.splice:
            clip = splice(clip, self.clips[int(torch.randint(len(self.clips), ()))])
        words = torch.tensor([self.ids[word] for word in clip.words])
        frames, source = augment(torch.from_numpy(clip.frames), self.how)
        frame_words = torch.full((len(clip.frames),), BLANK)
        for word, (first, end) in zip(words, clip.spans, strict=bool(clip.spans)):  # MIRACL-VC1 has no spans
            frame_words[first:end] = word
        sound = clip.sound if clip.sound is not None else np.zeros((len(clip.frames), 0), np.float32)
        return frames, frame_words[source], words, torch.from_numpy(sound).float()[source]


def splice(clip: Clip, other: Clip) -> Clip:
    """One that begins as `clip` and goes on, from one of its words, as `other`; `clip` itself where they do not fit.

    A few hundred sentences are soon known by heart; then a word is guessed from those around it instead of seen.
    """
    shared = min(len(clip.spans), len(other.spans))
    if shared < 2 or clip.speaker != other.speaker:
        return clip
    place = int(torch.randint(1, shared, ()))
    cut, begin = clip.spans[place][0], other.spans[place][0]
    return replace(
        clip,
        frames=np.concatenate([clip.frames[:cut], other.frames[begin:]]),
        sound=np.concatenate([clip.sound[:cut], other.sound[begin:]]) if clip.sound is not None else None,
        words=(*clip.words[:place], *other.words[place:]),
        spans=(*clip.spans[:place], *((a + cut - begin, b + cut - begin) for a, b in other.spans[place:])),
    )


def collate(items: list[tuple[Tensor, Tensor, Tensor, Tensor]]) -> dict[str, Tensor]:
    """Everything padded; the words of padding frames are -100, which losses leave out."""
    frames, frame_words, words, sound = zip(*items, strict=True)
    clips, lengths = pad_clips(list(frames))
    return {
        "clips": clips,
        "lengths": lengths,
        "frame_words": nn.utils.rnn.pad_sequence(frame_words, batch_first=True, padding_value=-100),
        "words": torch.cat(words),
        "word_counts": torch.tensor([len(each) for each in words]),
        "sound": nn.utils.rnn.pad_sequence(sound, batch_first=True),
    }
