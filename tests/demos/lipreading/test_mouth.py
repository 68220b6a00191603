"""Finding the mouth, on a face that scikit-image ships."""

import numpy as np
import pytest

from core.errors import InputError
from core.input.video import Video
from demos.lipreading.mouth import LEFT_CORNER, RIGHT_CORNER, crop_boxes, crop_mouth, find_face
from tests.demos.lipreading.conftest import astronaut, person


def still(picture: np.ndarray, count: int = 7) -> Video:
    return Video(np.repeat(picture[None], count, 0), tuple(i / 25 for i in range(count)))


def test_the_mouth_lies_below_the_nose_between_its_corners():
    face = find_face(person())
    for left_eye, right_eye, nose, left, right in face.points:
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left[0] < nose[0] < right[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left[1], right[1])
    assert face.notes == ()


def test_the_crop_follows_the_face_smoothly():
    video = person(30, sway=40)
    face = find_face(video)
    middle = face.points[:, (LEFT_CORNER, RIGHT_CORNER)].mean(1)[:, 0]
    assert middle[-5] - middle[5] == pytest.approx(40 * 19 / 29, abs=4)
    assert np.abs(np.diff(middle, 2)).max() < 1.0
    crops = crop_mouth(video, crop_boxes(face, "wide", 48, 80), 48, 80)
    assert crops.shape == (30, 48, 80)
    assert np.abs(crops[8].astype(int) - crops[-8]).mean() < 12  # the same mouth, though it has moved


def test_a_tight_crop_ends_at_the_corners():
    video = person()
    face = find_face(video)
    tight, wide = (crop_boxes(face, kind, 40, 64) for kind in ("tight", "wide"))
    assert np.allclose(tight[:, 3] - tight[:, 1], (tight[:, 2] - tight[:, 0]) * 40 / 64)
    tight, wide = (boxes[:, 2] - boxes[:, 0] for boxes in (tight, wide))
    corners = face.points[:, RIGHT_CORNER, 0] - face.points[:, LEFT_CORNER, 0]
    assert np.allclose(tight, 1.15 * corners, rtol=0.1)
    assert np.ptp(wide) == pytest.approx(0, abs=1e-9)


def test_a_crop_may_reach_beyond_the_picture():
    video = person()
    face = find_face(video)
    cut = Video(video.frames[:, : int(face.points[0, LEFT_CORNER, 1]) + 6], video.times)
    assert crop_mouth(cut, crop_boxes(face, "wide", 48, 80), 48, 80).shape == (12, 48, 80)


def test_of_two_faces_the_larger_is_read_and_that_is_said():
    large, small = person(7).frames, person(7).frames[:, ::2, ::2]
    canvas = np.zeros((7, 288, 560, 3), np.uint8)
    canvas[:, 72:216, :180] = small
    canvas[:, :, 200:] = large
    face = find_face(Video(canvas, tuple(i / 25 for i in range(7))))
    assert (face.points[:, LEFT_CORNER, 0] > 200).all()
    assert "larger" in face.notes[0] or "largest" in face.notes[0]


def test_a_grey_face_is_found_too():
    grey = astronaut().mean(2, keepdims=True).astype(np.uint8).repeat(3, 2)
    assert len(find_face(still(grey)).points) == 7


def test_a_face_that_comes_late_is_guessed_before_and_that_is_said():
    frames = person(30).frames.copy()
    frames[:12] = 128
    face = find_face(Video(frames, tuple(i / 25 for i in range(30))))
    assert "guessed" in face.notes[-1]


@pytest.mark.parametrize(
    "picture",
    [np.full((200, 200, 3), 127, np.uint8), np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)],
    ids=["grey", "noise"],
)
def test_no_face_is_said_so(picture):
    with pytest.raises(InputError, match="No face was found"):
        find_face(still(picture))


def test_a_face_that_is_hardly_ever_there_is_refused():
    frames = person(30).frames.copy()
    frames[5:] = 128
    with pytest.raises(InputError, match="only"):
        find_face(Video(frames, tuple(i / 25 for i in range(30))))
