"""Training examples: clips, each changed anew whenever it is asked for, and batches of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from core.decoding.ctc import BLANK
from demos.lipreading.augment import Augmentation, augment
from demos.lipreading.data import Clip
from demos.lipreading.model import pad_clips


class Examples(Dataset):
    """Clips, each augmented anew whenever it is asked for."""

    def __init__(self, clips: Sequence[Clip], vocabulary: Sequence[str], how: Augmentation):
        self.clips, self.how = clips, how
        self.ids = {word: number for number, word in enumerate(vocabulary)}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(T, H, W) grey values, (T,) what is said at every frame, (N,) what is said in all, (T, S) what is heard."""
        clip = self.clips[index]
        if self.how.splice and torch.rand(()).item() < self.how.splice:
            clip = splice(clip, self.clips[int(torch.randint(len(self.clips), ()))])
        words = torch.tensor([self.ids[word] for word in clip.words])
        frames, source = augment(torch.from_numpy(clip.frames), self.how)
        spoken = torch.full((len(clip.frames),), BLANK)
        for word, (first, end) in zip(words, clip.spans, strict=bool(clip.spans)):  # MIRACL-VC1 has no spans
            spoken[first:end] = word
        sound = clip.sound if clip.sound is not None else np.zeros((len(clip.frames), 0), np.float32)
        return frames, spoken[source], words, torch.from_numpy(sound).float()[source]


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
    """Everything padded; what is said at padding is -100, which losses leave out."""
    frames, spoken, words, sound = zip(*items, strict=True)
    clips, lengths = pad_clips(list(frames))
    return {
        "clips": clips,
        "lengths": lengths,
        "spoken": nn.utils.rnn.pad_sequence(spoken, batch_first=True, padding_value=-100),
        "words": torch.cat(words),
        "word_counts": torch.tensor([len(each) for each in words]),
        "sound": nn.utils.rnn.pad_sequence(sound, batch_first=True),
    }
