"""The drawn mouth."""

from itertools import pairwise

import numpy as np
import pytest

from core.errors import InputError
from demos.lipreading.animator import MOST_WORDS, draw_speaker, speak
from demos.lipreading.data import SENTENCE_CROP
from demos.lipreading.mouth import shrink


def dark(picture: np.ndarray) -> int:
    """Pixels as dark as the inside of an open mouth."""
    return int((picture.max(2) < 60).sum())


def test_the_same_take_is_the_same_clip_and_another_is_not():
    first, again, other = speak("hello", 3, 1), speak("hello", 3, 1), speak("hello", 3, 2)
    assert np.array_equal(first.video.frames, again.video.frames)
    assert not np.array_equal(first.video.frames[5], other.video.frames[5])


def test_words_that_differ_by_what_cannot_be_seen_are_one_clip():
    pat, bat, cat = (speak(word, 5).video.frames for word in ("pat", "bat", "cat"))
    assert np.array_equal(pat, bat)
    assert pat.shape != cat.shape or not np.array_equal(pat, cat)


def test_the_mouth_opens_for_a_vowel_and_closes_for_closed_lips():
    clip = speak("papa", 8)
    openness = [dark(frame) for frame in clip.video.frames]
    for name, first, end in clip.visemes:
        middle = (first + end - 1) // 2
        if name == "closed lips":
            assert openness[middle] < 0.35 * max(openness)
        elif name == "wide open":
            assert max(openness[first:end]) > 0.35 * max(openness)


def test_words_follow_one_another_within_the_clip():
    clip = speak("place blue by f two now", 4)
    assert clip.words == ("place", "blue", "by", "f", "two", "now")
    edges = [edge for span in clip.spans for edge in span]
    assert edges == sorted(edges)
    assert edges[0] >= 3
    assert edges[-1] < len(clip.video.frames) == len(clip.video.times)


def test_speakers_look_different():
    frames = [speak("now", seed).video.frames[0].astype(int) for seed in range(4)]
    assert all(np.abs(a - b).mean() > 5 for a, b in pairwise(frames))
    assert draw_speaker(1) == draw_speaker(1) != draw_speaker(2)


def test_crops_are_what_the_network_reads():
    crops = shrink(speak("now", 2).video.frames, *SENTENCE_CROP)
    assert crops.shape[1:] == (48, 80)
    assert crops.dtype == np.uint8


def test_a_guessed_word_is_named_and_too_many_are_refused():
    assert speak("say splonkish", 1).guessed == ("splonkish",)
    with pytest.raises(InputError, match=f"more than the {MOST_WORDS}"):
        speak("no " * (MOST_WORDS + 1))
