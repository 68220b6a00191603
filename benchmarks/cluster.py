"""Captions of many photos by one process and by several of Ray's: are the answers the same, and how quick are both?

    python -m benchmarks.cluster [--photos 200] [--workers 2] [--json]      (needs `pip install "ray[data]"`)

Each is a run of `python -m demos.captioning`, its start included: on one machine the processes share the cores, so what
is gained here is little. It shows that nothing is lost, and RAY_ADDRESS puts the same command on a cluster.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.captioning import REPOSITORY, photo_files


def captions(folder: Path, *arguments: str) -> tuple[list[dict[str, Any]], float]:
    """The answers for a folder of photos, without their times, and the seconds that all took."""
    command = [sys.executable, "-m", "demos.captioning", str(folder), "--json", *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - start
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [{"image": answer["image"], "text": answer["text"]} for answer in answers], seconds


def measure(photos: int, workers: int) -> dict[str, Any]:
    """Photos per second of both, and whether they said the same."""
    with TemporaryDirectory() as name:
        folder, files = Path(name), photo_files()
        for number in range(photos):
            file = files[number % len(files)]
            shutil.copy(file, folder / f"{number:05}{file.suffix}")
        alone, seconds = captions(folder)
        spread, seconds_spread = captions(folder, "--ray", str(workers))
    return {
        "photos": photos,
        "workers": workers,
        "same_answers": alone == spread and len(alone) == photos,
        "photos_per_second": {"one process": photos / seconds, f"{workers} of Ray's": photos / seconds_spread},
    }


def main() -> int:
    """Print the figures; returns the exit status: 1 where the answers differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.photos, options.workers)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, rate in figures["photos_per_second"].items():
            print(f"{name:16} {rate:6.1f} photos a second")
        print("the same answers" if figures["same_answers"] else "the answers differ")
    return 0 if figures["same_answers"] else 1


if __name__ == "__main__":
    sys.exit(main())
