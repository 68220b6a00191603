"""The face detector, whose non-maximum suppression is not torchvision's."""

import numpy as np
import torch
from skimage import data

from core.fast.facenet import face_detector


def test_of_overlapping_boxes_of_one_picture_the_surest_stays():
    face_detector()
    from facenet_pytorch.models.utils import detect_face

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [30, 30, 40, 40], [0, 0, 10, 10]])
    kept = detect_face.batched_nms(boxes, torch.tensor([0.8, 0.9, 0.7, 0.6]), torch.tensor([0, 0, 0, 1]), 0.5)
    assert kept.tolist() == [1, 2, 3]  # the last one lies in another picture


def test_a_face_is_found_once():
    with torch.inference_mode():
        boxes, sure, points = face_detector().detect(np.ascontiguousarray(data.astronaut()[None]), landmarks=True)
    assert boxes[0].shape == (1, 4)
    assert sure[0][0] > 0.9
    assert points[0].shape == (1, 5, 2)


def test_the_detector_is_shared():
    assert face_detector() is face_detector()
