"""Video in: what decodes, what is refused, in bounded time and memory."""

import io
import struct
import wave

import av
import numpy as np
import pytest
from PIL import Image

from core.errors import InputError
from core.input.video import Video, VideoLimits, load_video, save_video


def pictures(count: int = 30, height: int = 48, width: int = 64) -> np.ndarray:
    """(T, H, W, 3): a white square moves to the right over red; the top left corner is blue."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames[..., 0] = 160
    frames[:, :8, :8] = (0, 0, 200)
    for i, frame in enumerate(frames):
        frame[20:36, i : i + 16] = 255
    return frames


def clip(frames: np.ndarray | None = None, fps: float = 25.0) -> bytes:
    buffer = io.BytesIO()
    save_video(buffer, pictures() if frames is None else frames, fps)
    return buffer.getvalue()


def encoded(name: str, codec: str, pixels: str, frames: np.ndarray, fps: int = 25) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=name) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)))
        container.mux(stream.encode())
    return buffer.getvalue()


def gif(count: int) -> bytes:
    buffer = io.BytesIO()
    frames = [Image.fromarray(frame) for frame in pictures(max(count, 1))[:count]]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=40)
    return buffer.getvalue()


def sound() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(8000))
    return buffer.getvalue()


def test_frames_come_back_as_they_were_with_their_times():
    video = load_video(clip())
    assert video.frames.shape == (30, 48, 64, 3)
    assert video.fps == pytest.approx(25, abs=0.01)
    assert video.times[:3] == pytest.approx((0, 0.04, 0.08), abs=1e-3)
    assert np.abs(video.frames.astype(int) - pictures()).mean() < 12
    assert video.notes == ()


@pytest.mark.parametrize(
    ("container", "codec", "pixels"),
    [("matroska", "mpeg4", "yuv420p"), ("avi", "mjpeg", "yuvj420p"), ("webm", "libvpx", "yuv420p"),
     ("mpegts", "mpeg2video", "yuv420p"), ("mov", "libx264", "gray")],
)  # fmt: skip
def test_common_containers(container, codec, pixels, tmp_path):
    data = clip() if container == "mov" else encoded(container, codec, pixels, pictures())
    file = tmp_path / "clip.bin"  # the content decides, not the name
    file.write_bytes(data)
    assert len(load_video(file).frames) >= 29


def test_a_gif_is_a_clip():
    assert len(load_video(gif(12)).frames) == 12


@pytest.mark.parametrize(("turn", "corner"), [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_a_phones_rotation_is_undone(turn, corner):
    """The matrix of the track's header says how the picture is to be turned; a player turns clockwise."""
    data = bytearray(clip())
    start = data.index(b"tkhd") + 4 + 40  # version 0: the matrix lies 40 bytes into the box's payload
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    one = 1 << 16
    data[start : start + 36] = struct.pack(">9i", cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    frames = load_video(bytes(data)).frames
    assert frames.shape[1:3] == ((64, 48) if turn % 180 else (48, 64))
    red, _, blue = frames[0][corner].astype(int)
    assert blue > red + 50


def test_of_many_frames_a_second_some_are_left_out():
    video = load_video(clip(pictures(40), fps=120))
    assert video.fps == pytest.approx(30, rel=0.15)
    assert video.times[-1] == pytest.approx(40 / 120, abs=0.04)


def test_large_pictures_are_shrunk():
    frames = load_video(clip(pictures(3, 720, 1280)), VideoLimits(side=320)).frames
    assert frames.shape == (3, 180, 320, 3)


def test_a_long_clip_is_cut_and_that_is_said():
    video = load_video(clip(np.repeat(pictures(1), 80, 0)), VideoLimits(seconds=2))
    assert len(video.frames) == 50
    assert "first 2 seconds" in video.notes[0]


def test_another_rate_shows_at_each_moment_what_was_to_be_seen():
    frames = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    video = Video(frames, tuple(i / 30 for i in range(6)))
    assert video.at_rate(30).frames.ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert video.at_rate(15).frames.ravel().tolist() == [0, 2, 4]
    assert video.at_rate(60).frames.ravel().tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert video.at_rate(15).fps == pytest.approx(15)


def test_a_variable_rate_becomes_even():
    frames = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    video = Video(frames, (0.0, 0.1, 0.5, 0.6)).at_rate(10)
    assert video.frames.ravel().tolist() == [0, 1, 1, 1, 1, 2, 3]


def test_one_frame_a_second_is_served():
    video = load_video(clip(pictures(4), fps=1))
    assert len(video.frames) == 4
    assert len(video.at_rate(25).frames) == 100


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "empty"),
        (b"no clip at all" * 9, "not a clip that can be opened"),
        (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n", "list of clips"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "list of clips"),
        (clip()[:600], "cut off or damaged"),
        (sound(), "only sound"),
        (wav(), "not a clip that can be opened"),
        (gif(1), "one frame only"),
    ],
    ids=["empty", "text", "playlist", "concat", "cut", "sound", "wav", "one_frame"],
)
def test_what_is_no_clip_is_refused_in_one_sentence(data, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        load_video(data)
    assert "\n" not in str(refused.value)


def test_pictures_of_8k_are_refused_before_they_are_decoded():
    with pytest.raises(InputError, match="7,680 x 4,320"):
        load_video(clip(np.zeros((2, 4320, 7680, 3), np.uint8)))


@pytest.mark.parametrize("source", [None, "", "no/such/file.mp4", 7])
def test_no_file(source):
    with pytest.raises(InputError):
        load_video(source)


def test_a_file_that_is_too_large_is_refused():
    with pytest.raises(InputError, match="larger than"):
        load_video(clip(), VideoLimits(file_bytes=1000))


def test_200_mutations_give_a_clip_or_an_input_error():
    random, sound_clip = np.random.default_rng(1), clip(pictures(8))
    for _ in range(200):
        data = bytearray(sound_clip)
        for place in random.integers(0, len(data), random.integers(1, 30)):
            data[place] = random.integers(256)
        try:
            video = load_video(bytes(data), VideoLimits(time=5))
        except InputError:
            continue
        assert video.frames.dtype == np.uint8
        assert len(video.frames) == len(video.times)


def test_work_ends_when_its_time_is_over():
    video = load_video(clip(pictures(30)), VideoLimits(time=10))
    assert len(video.frames) == 30
    with pytest.raises(InputError, match="too long"):
        load_video(clip(pictures(30)), VideoLimits(time=-1))
