"""Units that follow what one can name."""

import numpy as np

from demos.generation.units import best_units


def test_the_unit_that_follows_a_signal_is_found_and_scored_on_the_other_half():
    text = "a line (of text) here\n" * 20
    cells = np.random.default_rng(0).normal(size=(len(text), 30)).astype(np.float32)
    inside = 0.0
    for place, character in enumerate(text):
        inside = {"(": 1.0, ")": 0.0}.get(character, inside)
        cells[place, 7] = -inside + 0.05 * cells[place, 7]
    unit = next(unit for unit in best_units(text, cells) if unit.signal == "inside round brackets")
    assert unit.number == 7
    assert unit.score > 0.95
    assert not best_units("too short", cells[:9])
