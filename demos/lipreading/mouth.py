"""Where the mouth is in a clip, and the crops that the networks read.

MTCNN (core.fast.facenet) finds the face and five points of it, both corners of the mouth among them, on every third
frame. The points of the frames between are interpolated and then smoothed over time: a crop that trembles looks like
speech.

    wide    the lower face around the mouth, steady: for sentences (LipNet cuts much the same)
    tight   the lips alone, from corner to corner: for words, as MIRACL-VC1 was cut
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from core.errors import InputError
from core.fast.facenet import face_detector
from core.input.video import Video

EVERY = 3  # frames from one search to the next
_SEARCH_SIDE = 288  # pixels; faces of clips are large, and a smaller picture is searched faster
_LEAST_FACE = 0.12  # of the picture's shorter side
_SURE = 0.9  # least probability of a face

LEFT_EYE, RIGHT_EYE, NOSE, LEFT_CORNER, RIGHT_CORNER = range(5)


@dataclass(frozen=True)
class Face:
    """The face of each frame."""

    points: np.ndarray  # (T, 5, 2) x, y in pixels: both eyes, nose, both corners of the mouth
    notes: tuple[str, ...] = ()


def find_face(video: Video, every: int = EVERY) -> Face:
    """The face that speaks in the clip: the largest one, followed from frame to frame.

    Raises InputError where no face, or hardly ever one, can be seen.
    """
    frames = video.frames
    looked = sorted({*range(0, len(frames), every), len(frames) - 1})
    scale = min(1.0, _SEARCH_SIDE / max(frames.shape[1:3]))
    size = tuple(round(n * scale) for n in (frames.shape[2], frames.shape[1]))
    pictures = [np.asarray(Image.fromarray(frames[i]).resize(size, Image.Resampling.BILINEAR)) for i in looked]
    found, several = _follow(_detect(pictures), min(size))
    seen = [i for i, face in zip(looked, found, strict=True) if face is not None]
    if not seen:
        raise InputError(
            "No face was found in the clip: it must be upright, look at the camera and fill a good part of the picture."
        )
    faces = np.stack([face for face in found if face is not None]) / scale  # (N, 7, 2): box corners, then five points
    if len(seen) < max(1, len(looked) // 3):
        raise InputError(
            f"A face was found in only {len(seen)} of the {len(looked)} frames that were searched: stay in the picture "
            "and look at the camera."
        )
    smooth = _smooth(_interpolate(np.array(seen), faces, len(frames)))
    notes = []
    if several:
        notes.append("Several faces were found: the largest one was read.")
    if len(seen) < 0.8 * len(looked):
        notes.append(
            f"The face was found in {len(seen)} of {len(looked)} searched frames; between them it was guessed."
        )
    return Face(smooth[:, 2:], tuple(notes))


def _detect(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Faces (N, 7, 2) of each picture: two corners of the box and five points, surest first."""
    found = []
    with torch.inference_mode():
        detector = face_detector()
        for start in range(0, len(pictures), 16):
            boxes, sure, points = detector.detect(np.stack(pictures[start : start + 16]), landmarks=True)
            for b, s, p in zip(boxes, sure, points, strict=True):
                if b is None:
                    found.append(np.zeros((0, 7, 2)))
                    continue
                keep = np.asarray(s, float) > _SURE
                corners = np.asarray(b, float).reshape(-1, 2, 2)
                found.append(np.concatenate([corners, np.asarray(p, float)], 1)[keep])
    return found


def _follow(candidates: list[np.ndarray], shorter_side: int) -> tuple[list[np.ndarray | None], bool]:
    """One face per picture: the largest at first, then the one nearest to it; and whether there were others."""
    candidates = [faces[(_height(faces) > _LEAST_FACE * shorter_side)] for faces in candidates]
    everyone = [face for faces in candidates for face in faces]
    if not everyone:
        return [None] * len(candidates), False
    largest = max(_height(np.stack(everyone)))
    before = next(face for face in everyone if _height(face[None])[0] == largest).mean(0)
    chosen: list[np.ndarray | None] = []
    for faces in candidates:
        near = [
            face for face in faces
            if np.abs(face.mean(0) - before).max() < largest and _height(face[None])[0] > 0.5 * largest
        ]  # fmt: skip
        chosen.append(min(near, key=lambda face: np.abs(face.mean(0) - before).sum()) if near else None)
        before = chosen[-1].mean(0) if near else before
    return chosen, sum(len(faces) > 1 for faces in candidates) > len(candidates) / 3


def _height(faces: np.ndarray) -> np.ndarray:
    return faces[:, 1, 1] - faces[:, 0, 1]


def _interpolate(seen: np.ndarray, faces: np.ndarray, count: int) -> np.ndarray:
    flat = faces.reshape(len(faces), -1)
    moments = np.arange(count)
    return np.stack([np.interp(moments, seen, column) for column in flat.T], 1).reshape(count, 7, 2)


def _smooth(tracks: np.ndarray, reach: int = 4) -> np.ndarray:
    """Mean over a window in time, narrower at the ends."""
    padded = np.pad(tracks, ((reach, reach), (0, 0), (0, 0)), mode="edge")
    return np.mean([padded[i : i + len(tracks)] for i in range(2 * reach + 1)], 0)


# --- crops -------------------------------------------------------------------------------------------------------

_WIDE = 0.62  # width of a wide crop, in distances from the eyes to the mouth times two
_TIGHT = 1.15  # width of a tight crop, in distances from corner to corner


def crop_boxes(face: Face, kind: str, height: int, width: int) -> np.ndarray:
    """(T, 4): left, top, right and bottom, in pixels, of what is cut out; its shape is height : width."""
    corners = face.points[:, (LEFT_CORNER, RIGHT_CORNER)]
    centre = corners.mean(1)
    if kind == "tight":
        across = np.abs(corners[:, 1] - corners[:, 0]).max(1) * _TIGHT
    else:
        eyes = face.points[:, (LEFT_EYE, RIGHT_EYE)].mean(1)
        across = np.full(len(centre), np.median(np.linalg.norm(centre - eyes, axis=1)) * 2 * _WIDE)
        centre = centre + [0, 0.06] * across[:, None]  # a little lower: the chin says more than the nose
    across = np.maximum(across, 8.0)
    half = np.stack([across / 2, across * height / width / 2], 1)
    return np.concatenate([centre - half, centre + half], 1)


def crop_mouth(video: Video, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """(T, height, width) uint8, grey: the boxes (T, 4) of the frames; beyond the edge the last pixels go on."""
    return np.stack([_cut(frame, box, (width, height)) for frame, box in zip(video.frames, boxes, strict=True)])


def shrink(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """(T, H, W, 3) -> (T, height, width) uint8, grey: whole pictures that show nothing but a mouth."""
    pictures = (Image.fromarray(frame).convert("L") for frame in frames)
    return np.stack([np.asarray(each.resize((width, height), Image.Resampling.BOX)) for each in pictures])


def _cut(frame: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    left, top = (int(np.floor(v)) - 1 for v in box[:2])
    right, bottom = (int(np.ceil(v)) + 2 for v in box[2:])
    rows = np.clip(np.arange(top, bottom), 0, frame.shape[0] - 1)
    columns = np.clip(np.arange(left, right), 0, frame.shape[1] - 1)
    patch = Image.fromarray(np.ascontiguousarray(frame[rows][:, columns])).convert("L")
    inside = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    return np.asarray(patch.resize(size, Image.Resampling.BILINEAR, box=inside, reducing_gap=None))
