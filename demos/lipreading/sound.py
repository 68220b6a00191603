"""What a clip sounds like: a second thing to learn from GRID's films, which have sound. No network ever hears any.

The sound tells what is being said at each moment at a far finer grain than the words do: where a vowel turns, how long
the lips stay closed. A reader that must also say what would be heard at each frame looks for what the words alone do
not ask for (Ma et al. 2022, "Visual Speech Recognition for Multiple Languages in the Wild").
"""

from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from core.errors import InputError

RATE = 16_000  # samples a second
BANDS = 40  # of the mel scale
PER_FRAME = 2  # spectra for each frame of the film
FEATURES = BANDS * PER_FRAME


def read_sound(file: Path, frames: int, fps: float = 25.0) -> np.ndarray:
    """(frames, FEATURES) float16: log-mel spectra of a film's sound, each band with mean 0 and deviation 1.

    Silence is added at the end where the sound is shorter. Raises InputError for a file without sound.
    """
    wave = _wave(file)
    hop = round(RATE / fps / PER_FRAME)
    wave = np.pad(wave, (0, max(0, frames * PER_FRAME * hop - len(wave))))[: frames * PER_FRAME * hop]
    bank = mel_filter_bank(257, BANDS, 60.0, 7600.0, RATE, mel_scale="slaney")
    spectra = spectrogram(
        wave, window_function(400), 400, hop, fft_length=512, mel_filters=bank, log_mel="log", mel_floor=1e-5
    )
    spectra = spectra.T[: frames * PER_FRAME]  # a last one, around the end of the film, is left over
    spectra = (spectra - spectra.mean(0)) / (spectra.std(0) + 0.1)
    return spectra.reshape(frames, FEATURES).astype(np.float16)


def _wave(file: Path) -> np.ndarray:
    """(N,) samples -1..1, one channel."""
    resampler = av.AudioResampler("flt", "mono", RATE)
    try:
        with av.open(str(file)) as container:
            if not container.streams.audio:
                raise InputError(f"{file} has no sound to learn from.")
            parts = [part for heard in container.decode(audio=0) for part in resampler.resample(heard)]
            parts += resampler.resample(None)
    except (OSError, FFmpegError) as error:
        raise InputError(f"{file} cannot be read as a film with sound.") from error
    return np.concatenate([part.to_ndarray().ravel() for part in parts] or [np.zeros(0, np.float32)])
