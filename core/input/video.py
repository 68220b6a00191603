"""Untrusted clips -> a few seconds of small RGB frames at an even rate, or InputError with one clear sentence.

PyAV (FFmpeg) decodes. What a file says about itself is checked before its first frame is decoded, what it turns out to
be while it is: a clip of three hours costs no more than one of ten seconds. Sound is never decoded, and playlists,
which could name other files and addresses, are never opened.
"""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from core.errors import InputError
from core.input.files import open_untrusted

# Containers that hold their own pictures; "concat", "hls", "image2" and the like, which name others, are left out.
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,flv,ogg"
CONTAINER_NAMES = "MP4, MOV, WebM, MKV, AVI, MPEG or GIF"
_DAMAGED = "The clip is cut off or damaged: save or record it afresh and try again."


@dataclass(frozen=True)
class VideoLimits:
    """What one clip may cost: about 150 MB of frames at most."""

    file_bytes: int = 60_000_000
    seconds: float = 10.0  # of the clip; what follows is left out, and said
    pixels: int = 4096 * 2304  # of one frame
    fps: float = 30.0  # of more frames a second some are left out
    side: int = 400  # pixels; larger frames are shrunk to this longer side, keeping the aspect ratio
    min_frames: int = 2
    max_frames: int = 1500  # decoded; a clip of very many frames a second ends there
    time: float = 20.0  # seconds of work


DEFAULT_LIMITS = VideoLimits()


@dataclass(frozen=True)
class Video:
    """A clip's pictures."""

    frames: np.ndarray  # (T, H, W, 3) uint8, RGB, upright
    times: tuple[float, ...]  # seconds from the first frame
    notes: tuple[str, ...] = ()  # what a visitor should know about it

    @property
    def fps(self) -> float:
        """Frames a second, on average."""
        return (len(self.times) - 1) / self.times[-1] if len(self.times) > 1 and self.times[-1] > 0 else 0.0

    def at_rate(self, fps: float) -> "Video":
        """The clip at an even rate: at each moment the frame that was to be seen then."""
        count = max(1, round((self.times[-1] + self._last_frame()) * fps))
        moments = (np.arange(count) + 0.5) / fps  # in the middle of a frame's time, where rounding cannot hurt
        shown = np.searchsorted(self.times, moments - 1e-9, side="right") - 1
        times = tuple(float(t) for t in np.arange(count) / fps)
        return replace(self, frames=self.frames[np.clip(shown, 0, len(self.frames) - 1)], times=times)

    def _last_frame(self) -> float:
        """For how long the last frame is to be seen: as long as frames usually are."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.04


def load_video(source: str | Path | bytes | BinaryIO, limits: VideoLimits = DEFAULT_LIMITS) -> Video:
    """A clip's frames with their times. Raises InputError, whatever the bytes may be.

    The content decides about the format, not the file's name.
    """
    stream = open_untrusted(source, limits.file_bytes, "clip")
    try:
        return _decode(stream, limits)
    except InputError:
        raise
    except MemoryError as error:
        raise InputError("The clip needs more memory than there is: make it smaller and try again.") from error
    except Exception as error:  # FFmpeg's errors are of many kinds
        raise InputError(_DAMAGED) from error
    finally:
        stream.close()


def _decode(stream: BinaryIO, limits: VideoLimits) -> Video:
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": ""}
    try:
        container = av.open(stream, "r", options=options, metadata_errors="ignore")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise InputError(_refusal(stream)) from error
    with container:
        if not container.streams.video:
            what = "only sound" if container.streams.audio else "no pictures"
            raise InputError(f"The file holds {what}: choose a clip in which one sees somebody speak.")
        video = container.streams.video[0]
        _check_size(video.codec_context.width, video.codec_context.height, limits)
        video.thread_type = "AUTO"
        frames, times, cut = _read_frames(container, video, limits)
    if len(frames) < limits.min_frames:
        found = "no frame that can be decoded" if not frames else "one frame only"
        raise InputError(f"The clip holds {found}: lipreading needs a clip of a second or more.")
    notes = (f"Only the first {limits.seconds:g} seconds were read.",) if cut else ()
    return Video(np.stack(frames), tuple(times), notes)


def _refusal(stream: BinaryIO) -> str:
    stream.seek(0)
    start = stream.read(512).lstrip()
    if start.startswith((b"#EXTM3U", b"ffconcat", b"[playlist]", b"<?xml", b"v=0")):
        return f"This is not a clip but a list of clips, which is never opened: {CONTAINER_NAMES} files work."
    if start[4:8] == b"ftyp" or start.startswith((b"\x1aE\xdf\xa3", b"GIF8")) or start[8:12] == b"AVI ":
        return _DAMAGED
    return f"This is not a clip that can be opened: {CONTAINER_NAMES} files work."


def _check_size(width: int, height: int, limits: VideoLimits) -> None:
    if width * height > limits.pixels:
        raise InputError(
            f"The clip's pictures have {width:,} x {height:,} pixels, more than the {limits.pixels / 1e6:.1f} million "
            "that work: save it in a smaller size, such as 1280 x 720."
        )


def _read_frames(
    container: av.container.InputContainer, video: av.VideoStream, limits: VideoLimits
) -> tuple[list[np.ndarray], list[float], bool]:
    """Frames and times in the order of showing, and whether the limits cut the clip."""
    deadline = time.monotonic() + limits.time
    found: list[np.ndarray] = []
    times: list[float] = []
    start = None
    shape = None
    for number, frame in enumerate(_frames(container, video, deadline)):
        _check_size(frame.width, frame.height, limits)  # a stream may grow on the way
        moment = float(frame.time) if frame.time is not None else number / float(video.average_rate or Fraction(25))
        start = moment if start is None else start
        moment -= start
        if moment >= limits.seconds or number >= limits.max_frames or time.monotonic() > deadline:
            return found, times, True
        if times and moment < times[-1] + 0.9 / limits.fps:  # too many a second, or back in time
            continue
        picture = _small_rgb(frame, limits.side)
        shape = shape or picture.shape
        if picture.shape == shape:
            found.append(picture)
            times.append(moment)
    return found, times, False


def _frames(container: av.container.InputContainer, video: av.VideoStream, deadline: float) -> Iterator[av.VideoFrame]:
    """What can be decoded, up to the first damage."""
    try:
        for packet in container.demux(video):
            if time.monotonic() > deadline:
                raise InputError("The clip takes too long to decode: save it in a smaller size and try again.")
            yield from packet.decode()
    except av.FFmpegError:
        return


def _small_rgb(frame: av.VideoFrame, side: int) -> np.ndarray:
    """(H, W, 3) uint8, upright."""
    scale = min(1.0, side / max(frame.width, frame.height))
    width, height = (max(2, round(n * scale)) for n in (frame.width, frame.height))
    picture = frame.to_ndarray(width=width, height=height, format="rgb24")
    turns = round(frame.rotation / 90) % 4  # counter-clockwise
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def save_video(file: str | Path | io.BytesIO, frames: np.ndarray, fps: float) -> None:
    """(T, H, W, 3) uint8 -> an MP4 file that browsers play (H.264, 4:2:0: width and height must be even)."""
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast"}
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
