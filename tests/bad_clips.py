"""Clips that visitors send by mistake or to do harm, and odd ones that must be served, made by code.

As in tests/bad_input.py: `BAD_CLIPS[name].write(folder)` writes one, and `.refusal` is a word of the sentence that must
come back, None where it must be served, and EITHER where both are honest answers.
"""

import io
from functools import partial

import numpy as np

from core.input.video import save_video
from tests.bad_input import BadFile, register
from tests.core.input.test_video import clip, gif, pictures, sound, wav
from tests.demos.lipreading.conftest import person

EITHER = ""
BAD_CLIPS: dict[str, BadFile] = {}
_case = partial(register, BAD_CLIPS)


def film(frames: np.ndarray, fps: float = 25.0) -> bytes:
    """The bytes of an MP4 file."""
    buffer = io.BytesIO()
    save_video(buffer, frames, fps)
    return buffer.getvalue()


@_case("empty.mp4", "empty")
def empty_clip() -> bytes:
    return b""


@_case("notes.mp4", "not a clip")
def text_named_mp4() -> bytes:
    return b"no clip at all\n" * 50


@_case("page.mp4", "not a clip")
def web_page_named_mp4() -> bytes:
    return b"<!DOCTYPE html><html><body>404</body></html>"


@_case("list.mp4", "list of clips")
def playlist_named_mp4() -> bytes:
    return b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n"


@_case("concat.mp4", "list of clips")
def concat_script_named_mp4() -> bytes:
    return b"ffconcat version 1.0\nfile /etc/passwd\n"


@_case("cut.mp4", "cut off or damaged")
def truncated_mp4() -> bytes:
    return clip()[:600]


@_case("sound.mp4", "only sound")
def only_sound() -> bytes:
    return sound()


@_case("sound.wav", "not a clip")
def wav_file() -> bytes:
    return wav()


@_case("one.gif", "one frame")
def one_frame() -> bytes:
    return gif(1)


@_case("8k.mp4", "7,680 x 4,320")
def pictures_of_8k() -> bytes:
    return film(np.zeros((2, 4320, 7680, 3), np.uint8))


@_case("hours.mp4", "No face")
def three_hours_without_a_face() -> bytes:
    return film(np.repeat(pictures(1), 3 * 3600, 0), fps=1)


@_case("square.gif", "No face")
def gif_without_a_face() -> bytes:
    return gif(30)


@_case("slow.mp4", None)
def one_frame_a_second() -> bytes:
    return film(person(4).frames, fps=1)


@_case("grey.mp4", None)
def grey() -> bytes:
    return film(np.repeat(person(25).frames.mean(3, keepdims=True), 3, 3).astype(np.uint8))


@_case("two.mp4", None)
def two_faces() -> bytes:
    return film(np.concatenate([person(25).frames, person(25).frames[:, ::1, ::-1]], 2))


@_case("leaving.mp4", EITHER)
def face_that_leaves() -> bytes:
    return film(np.stack([np.roll(f, 9 * i, 1) for i, f in enumerate(person(25).frames)]))


@_case("turned.mp4", EITHER)
def upside_down() -> bytes:
    return film(np.ascontiguousarray(person(25).frames[:, ::-1]))
