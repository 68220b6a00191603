"""Each shipped checkpoint answers as its golden file says: texts, and numbers to a hundredth of a nat.

This is what holds a refactoring. When a checkpoint changes on purpose: `python -m tests.golden.renew <checkpoint>`.
"""

from pathlib import Path

import pytest

from tests.golden.cases import CHECKPOINTS, records
from tests.golden.records import computes_loosely, differences, load

SHIPPED = Path(__file__).resolve().parents[2] / "checkpoints"


def test_every_shipped_checkpoint_is_held():
    assert {str(file.parent.relative_to(SHIPPED)) for file in SHIPPED.rglob("config.json")} == set(CHECKPOINTS)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_checkpoint_answers_as_its_golden_file_says(checkpoint):
    golden = load(checkpoint)
    assert len(golden) >= 3
    found = differences(golden, records(checkpoint), computes_loosely(checkpoint))
    assert not found, "\n".join(found)
