"""What films sound like, as spectra beside their frames."""

import numpy as np
import pytest

from core.errors import InputError
from demos.lipreading.sound import BANDS, FEATURES, PER_FRAME, read_sound
from tests.demos.lipreading.conftest import film


def test_a_low_tone_then_a_high_one_lie_in_low_then_high_bands(tmp_path):
    sound = read_sound(film(tmp_path / "tones.mp4", 300, 3000), frames=25)
    assert sound.shape == (25, FEATURES)
    bands = sound.reshape(25, PER_FRAME, BANDS).mean(1)
    low, high = bands[3:9].mean(0), bands[16:22].mean(0)
    assert (low - high).argmax() < BANDS // 3 < (high - low).argmax()
    assert np.abs(sound.astype(float).reshape(-1, BANDS).mean(0)).max() < 0.05


def test_a_film_longer_than_its_sound_ends_in_silence(tmp_path):
    sound = read_sound(film(tmp_path / "tone.mp4", 500), frames=50)
    assert len(sound) == 50
    assert np.ptp(sound[20:].astype(float), axis=0).max() < 0.1


def test_a_film_without_sound_or_no_film_gets_a_sentence(tmp_path, clip_file):
    with pytest.raises(InputError, match="no sound"):
        read_sound(clip_file, 25)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="cannot be read"):
        read_sound(broken, 25)
