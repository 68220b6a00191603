"""Damage valid pictures and clips in 5,000 ways and see what core.input.image and core.input.video do with them.

    python -m scripts.fuzz [--cases 5000] [--seed 0]      (needs requirements-dev.txt)

Each case is a picture or clip, truncated, with flipped bits, or with the header of another. It must end in a picture,
a clip or an InputError, within 10 seconds and 150 MB. All run in one child process; a case that kills it is reported by
its number and seed. Prints one JSON line, and ends with status 1 if any case failed.
"""

import argparse
import io
import json
import multiprocessing
import re
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from core.errors import InputError
from core.input.image import load_image
from core.input.video import VideoLimits, load_video, save_video
from tests.bad_input import encode, heic
from tests.core.input.test_image import mutate
from tests.core.input.test_video import encoded, gif, pictures

SECONDS, MEGABYTES = 10.0, 150.0
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")


def media() -> list[tuple[str, bytes]]:
    """("picture" or "clip", content) of each valid file."""
    photo = Image.fromarray(data.astronaut()).resize((96, 64))
    found = [("picture", encode(photo, name)) for name in FORMATS] + [("picture", heic(photo))]
    clip = io.BytesIO()
    save_video(clip, pictures(8), 25)
    found += [("clip", clip.getvalue()), ("clip", gif(6))]
    for container, codec, pixels in (
        ("matroska", "mpeg4", "yuv420p"), ("avi", "mjpeg", "yuvj420p"), ("webm", "libvpx", "yuv420p"),
        ("mpegts", "mpeg2video", "yuv420p"),
    ):  # fmt: skip
        found.append(("clip", encoded(container, codec, pixels, pictures(8))))
    return found


def case(number: int, seed: int, valid: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """The damaged file of a number; the same for the same seed."""
    random = np.random.default_rng([seed, number])
    kind, content = valid[number % len(valid)]
    return kind, mutate(content, random, other=valid[random.integers(len(valid))][1])


def resident(what: str) -> float:
    """Memory of this process in MB."""
    return int(re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def child(pipe: Connection, seed: int) -> None:
    """Serves case numbers until told to end: (outcome, seconds, MB that it grew by at its peak)."""
    valid = media()
    for kind, content in valid:
        load_image(content) if kind == "picture" else load_video(content)  # what is loaded once is no growth
    while (number := pipe.recv()) is not None:
        kind, content = case(number, seed, valid)
        Path("/proc/self/clear_refs").write_text("5")
        before, start = resident("VmRSS"), time.monotonic()
        try:
            load_image(content) if kind == "picture" else load_video(content, VideoLimits())
            outcome = "served"
        except InputError:
            outcome = "refused"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        pipe.send((f"{kind} {outcome}", time.monotonic() - start, resident("VmHWM") - before))


def main() -> int:
    """Run all cases; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    process, ours = None, None
    outcomes: dict[str, int] = {}
    failures, slowest, largest = [], 0.0, 0.0
    for number in range(options.cases):
        if process is None:
            ours, theirs = context.Pipe()
            process = context.Process(target=child, args=(theirs, options.seed), daemon=True)
            process.start()
            theirs.close()
            patience = 60.0  # it has to import everything first
        try:
            ours.send(number)
            if not ours.poll(SECONDS + patience):
                raise TimeoutError
            outcome, seconds, growth = ours.recv()
            patience = 0.0
        except (EOFError, OSError) as error:  # TimeoutError is an OSError
            failures.append({"case": number, "what": "hang" if isinstance(error, TimeoutError) else "crash"})
            process.kill()
            process = None
            continue
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        slowest, largest = max(slowest, seconds), max(largest, growth)
        if outcome.split(" ", 1)[1] not in ("served", "refused") or seconds > SECONDS or growth > MEGABYTES:
            failures.append({"case": number, "what": outcome, "seconds": round(seconds, 2), "MB": round(growth)})
    if process:
        ours.send(None)
    report = {"cases": options.cases, "seed": options.seed, "outcomes": outcomes, "slowest_seconds": round(slowest, 2),
              "largest_growth_MB": round(largest), "failures": failures}  # fmt: skip
    print(json.dumps(report))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
