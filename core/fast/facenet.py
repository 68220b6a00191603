"""A face detector: MTCNN (Zhang et al. 2016) of `facenet-pytorch`, whose weights come in its wheel.

Two hooks make it run beside any torch. torchvision, which it imports, may have to be helped (see
core.fast.torchvision_import); and the non-maximum suppression that it takes from torchvision is a compiled operator
that may be missing, so its own function for the same in NumPy, which finds the same faces, is put in its place.
"""

from functools import partial
from typing import Any

from core.fast.torchvision_import import import_torchvision
from core.serving.shared import load_once


@load_once
def face_detector(min_face_size: int = 36) -> Any:
    """The detector, shared: `detect(pictures, landmarks=True)` gives boxes, probabilities and five points a face.

    pictures: (N, H, W, 3) uint8. min_face_size: pixels; smaller faces are not looked for.
    """
    import_torchvision()
    from facenet_pytorch import MTCNN
    from facenet_pytorch.models.utils import detect_face

    if own := getattr(detect_face, "batched_nms_numpy", None):
        detect_face.batched_nms = partial(own, method="Union")
    return MTCNN(keep_all=True, device="cpu", min_face_size=min_face_size, thresholds=[0.6, 0.7, 0.7]).eval()
