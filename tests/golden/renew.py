"""Write the golden files anew: when a training has made another checkpoint, or a case has been changed.

    python -m tests.golden.renew                                 all of them
    python -m tests.golden.renew captioning sentiment/korean     those of two checkpoints

Says what has changed. Read it, and commit only what you can explain: a golden file that is renewed because the test
fails holds nothing. Needs a processor on which the networks compute in float32: one with fast bfloat16 refuses.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.golden.cases import CHECKPOINTS, records
from tests.golden.records import computes_loosely, differences, golden_file, load, save


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.renew", description="Write the golden files anew.")
    parser.add_argument(
        "checkpoints", nargs="*", metavar="checkpoint", help=f"by default all: {', '.join(CHECKPOINTS)}"
    )
    chosen = parser.parse_args(arguments).checkpoints or list(CHECKPOINTS)
    if unknown := [name for name in chosen if name not in CHECKPOINTS]:
        print(f"No such checkpoint: {', '.join(unknown)}. There are {', '.join(CHECKPOINTS)}.", file=sys.stderr)
        return 2
    for name in chosen:
        if computes_loosely(name):
            print(f"{name}: this processor computes in bfloat16. Renew on one that does not.", file=sys.stderr)
            return 1
        found = records(name)
        changed = differences(load(name), found, loosely=False) if golden_file(name).exists() else ["new"]
        if changed:  # else the file stays as it is, whatever the last digits
            save(name, found)
        print(f"{name}: {len(found)} cases, {len(changed)} differences", *changed, sep="\n    ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
