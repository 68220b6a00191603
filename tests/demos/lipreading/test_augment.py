"""Training examples: what a clip says stays with its frames, however it is changed."""

from dataclasses import replace

import numpy as np
import torch

from demos.lipreading.augment import Augmentation, AugmentedClips, augment, fill_margins, splice
from demos.lipreading.data import Clip

NONE = Augmentation(0, 0, 0, 0, 0, 0, 0, 0)


def test_a_spliced_clip_goes_on_as_the_other_one():
    first = Clip(
        "a", np.zeros((10, 2, 2), np.uint8), ("set", "red", "now"), ((1, 3), (3, 6), (7, 9)), "s", np.zeros((10, 4))
    )
    other = Clip(
        "b", np.ones((12, 2, 2), np.uint8), ("lay", "blue", "soon"), ((2, 5), (6, 8), (8, 11)), "s", np.ones((12, 4))
    )
    made = {}
    for seed in range(20):
        torch.manual_seed(seed)
        clip = splice(first, other)
        made[clip.words] = clip
        assert (clip.sound == clip.frames[:, :1, 0]).all()
        for number, (begin, end) in enumerate(clip.spans):
            own = clip.words[number] in first.words
            assert (clip.frames[begin:end] == (0 if own else 1)).all()
            assert end <= len(clip.frames)
    assert set(made) == {("set", "red", "soon"), ("set", "blue", "soon")}
    assert made["set", "blue", "soon"].spans == ((1, 3), (3, 5), (5, 8))
    stranger = Clip("c", other.frames, other.words, other.spans, "t")
    assert splice(first, stranger) is first


def test_what_is_heard_moves_with_the_frames():
    frames = np.arange(40, dtype=np.uint8).reshape(40, 1, 1) * np.ones((1, 12, 20), np.uint8)
    clip = Clip("x", frames, ("a",), ((3, 20),), sound=np.arange(40.0).reshape(40, 1))
    shown, frame_words, _, sound = AugmentedClips([clip], ("", "a"), Augmentation(light=0, hide=0))[0]
    assert torch.allclose(shown.mean((1, 2)), sound[:, 0], atol=0.5)
    assert torch.equal(frame_words == 1, (sound[:, 0] >= 3) & (sound[:, 0] < 20))


def test_no_augmentation_leaves_the_clip_as_it_is():
    clip = torch.randint(0, 255, (7, 12, 20), dtype=torch.uint8)
    changed, source = augment(clip, NONE)
    assert source.tolist() == list(range(7))
    assert torch.allclose(changed, clip.float(), atol=0.1)


def test_augmentation_keeps_what_is_said_with_the_frames():
    clip = torch.arange(40, dtype=torch.uint8).view(40, 1, 1).expand(40, 12, 20).contiguous()
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        changed, source = augment(clip, Augmentation(light=0, hide=0), generator)
        assert 30 <= len(changed) == len(source) <= 50
        assert torch.allclose(changed.mean((1, 2)), source.float(), atol=0.5)
        assert (source.diff() >= 0).all()


def test_even_margins_are_filled_with_the_nearest_rows():
    clip = torch.randint(0, 255, (3, 10, 20), dtype=torch.uint8)
    padded = clip.clone()
    padded[:, :2], padded[:, 8:] = 70, 70
    filled = fill_margins(padded)
    assert torch.equal(filled[:, 2:8], clip[:, 2:8])
    assert torch.equal(filled[:, 0], clip[:, 2])
    assert torch.equal(filled[:, 9], clip[:, 7])
    assert torch.equal(fill_margins(torch.full((2, 10, 20), 70)), torch.full((2, 10, 20), 70))


def test_a_mirrored_clip_is_another_picture_of_the_same_word():
    clip = torch.zeros(2, 12, 20, dtype=torch.uint8)
    clip[:, :, :5] = 200
    how = replace(NONE, mirror=1.0)
    assert torch.allclose(augment(clip, how)[0], clip.flip(2).float(), atol=0.1)
