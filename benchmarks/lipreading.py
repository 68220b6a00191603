"""Speed of lipreading: from the file of a 3-second clip to text, and the network alone beside one of LipNet's shape.

    python -m benchmarks.lipreading [--runs 20] [--json]

The clip is 360 x 288 pixels, 75 frames, H.264, drawn from a photo that scikit-image ships. The network of LipNet's
shape (Assael et al. 2016: three spatio-temporal convolutions, two bidirectional GRUs of 256, 75 frames of 64 x 128
pixels) has random weights: only its time is compared.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

from core.input.video import load_video, save_video
from demos.lipreading.model import outputs_of
from demos.lipreading.mouth import find_face
from demos.lipreading.predict import LipreadingOptions, LipreadingPredictor, crop

FRAMES = 75


class LipNetShaped(nn.Module):
    """(B, 3, 75, 64, 128) -> (B, 75, 28) logits of characters and the blank."""

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, kernel, stride in (
            (3, 32, (3, 5, 5), (1, 2, 2)),
            (32, 64, (3, 5, 5), (1, 1, 1)),
            (64, 96, (3, 3, 3), (1, 1, 1)),
        ):
            padding = tuple(k // 2 for k in kernel)
            layers += [nn.Conv3d(before, after, kernel, stride, padding), nn.ReLU(), nn.MaxPool3d((1, 2, 2))]
        self.convolutions = nn.Sequential(*layers)
        self.stack = nn.GRU(96 * 4 * 8, 256, 2, batch_first=True, bidirectional=True)
        self.classes = nn.Linear(512, 28)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips of 75 frames -> logits at each."""
        maps = self.convolutions(clips).transpose(1, 2).flatten(2)  # (B, 75, 96 * 4 * 8)
        return self.classes(self.stack(maps)[0])


def write_clip(file: Path) -> None:
    """A face of usual size that sways a little."""
    photo = Image.fromarray(np.ascontiguousarray(data.astronaut()[:384, 32:416])).resize((288, 288))
    pictures = []
    for i in range(FRAMES):
        picture = Image.new("RGB", (360, 288), (90, 120, 150))
        picture.paste(photo, (36 + round(8 * np.sin(i / 9)), 0))
        pictures.append(np.asarray(picture))
    save_video(file, np.stack(pictures), 25)


def timed(work: Callable[[], object], runs: int) -> dict[str, float]:
    """p50 and p95 in seconds, after one call that warms up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return {"p50": round(median(times), 3), "p95": round(quantiles(times, n=20)[-1], 3)}


def measure(predictor: LipreadingPredictor, runs: int) -> dict[str, dict[str, float]]:
    """Seconds of each row."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip.mp4"
        write_clip(file)
        video = load_video(file)
        rows = {
            f"file to text, {name}": timed(lambda name=name: predictor(file, LipreadingOptions(name)), runs)
            for name in ("grid", "words")
        }
    rows["of that, the face, each 3rd frame"] = timed(lambda: find_face(video), runs)
    model = predictor.model("grid")
    mouths = crop(video, model.config).mouths
    rows["our network alone"] = timed(lambda: outputs_of(model, [mouths]), runs)
    peer, clip = LipNetShaped().eval(), torch.rand(1, 3, FRAMES, 64, 128)
    with torch.inference_mode():
        rows["network of LipNet's shape alone"] = timed(lambda: peer(clip), runs)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--checkpoint", help="folder with words/, grid/ and animated/ (default: the repository's own)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(LipreadingPredictor.from_pretrained(options.checkpoint), options.runs)
    if options.json:
        print(json.dumps({"cores": os.cpu_count(), "torch": torch.__version__, "rows": rows}))
        return
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, median of {options.runs} runs\n")
    print(f"{'a clip of 3 seconds':36} {'p50 s':>8} {'p95 s':>8}")
    for name, row in rows.items():
        print(f"{name:36} {row['p50']:8.3f} {row['p95']:8.3f}")


if __name__ == "__main__":
    main()
