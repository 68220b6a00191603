"""What the app costs: cold start, import time, and memory with every tab used once.

    python -m benchmarks.app [--json]

Starts `python app.py` as a user does. Seconds run from the start of the process; the first answer is the one of the
captioner, which begins to load as soon as the page is up. Every other demo is then asked once, and its first answer
includes loading its network.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.load import ROOT, client_of, requests, resident, running_app

IMPORTS = ("app", "core.input.image", "demos.captioning.predict", "demos.lipreading.predict")


def import_seconds(module: str) -> float:
    """Of a fresh interpreter, its own start subtracted."""

    def run(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        return time.perf_counter() - start

    return run(f"import {module}") - run("pass")


def serve() -> dict[str, dict[str, float]]:
    """Seconds to first page and first answer; for each demo the seconds of its first answer and the MB after it."""
    with TemporaryDirectory() as clips, TemporaryDirectory() as temporary:
        calls = requests(Path(clips))
        start = time.perf_counter()
        with running_app(Path(temporary), keep=3600, every=0.05) as (url, app):
            seconds = {"first page": time.perf_counter() - start}
            client, answers, megabytes = client_of(url), {}, {"page": resident(app)}
            for name, arguments in calls.items():
                asked = time.perf_counter()
                client.predict(*arguments, api_name=name)
                answers[name.strip("/")] = time.perf_counter() - asked
                megabytes[name.strip("/")] = resident(app)
                seconds.setdefault("first answer", time.perf_counter() - start)
    return {"seconds": seconds, "first_answer_s": answers, "resident_mb": megabytes}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = serve() | {"import_s": {module: import_seconds(module) for module in IMPORTS}}
    if options.json:
        print(json.dumps(figures))
        return
    seconds = figures["seconds"]
    print(f"first page {seconds['first page']:.1f} s, first answer {seconds['first answer']:.1f} s after the start\n")
    print(f"{'':14} {'first answer s':>15} {'resident MB':>12}")
    for name, megabytes in figures["resident_mb"].items():
        first = figures["first_answer_s"].get(name)
        print(f"{name:14} {f'{first:.2f}' if first else '':>15} {megabytes:12.0f}")
    print("\nimport: " + ", ".join(f"{module} {took:.1f} s" for module, took in figures["import_s"].items()))


if __name__ == "__main__":
    main()
