"""Folk tunes: bars added up, ABC notation."""

import pytest

from demos.generation.bars import check_bars
from demos.generation.folk import parses, to_abc, tunes


def test_music21_reads_a_tune_and_refuses_what_is_none():
    assert parses("M:4/4\nK:Cmaj\n|: C D E F G A B c | c 2 B 2 A 2 G 2 :|")
    assert not parses("M:4/4\nK:Cmaj\n")


def test_a_chord_that_ends_without_a_beginning_is_no_chord():
    assert check_bars("M:4/4\nK:C\nC 4 ] D 4 | E 8 |").complete


@pytest.mark.parametrize(
    ("music", "bars", "wrong"),
    [
        ("| C D E F G A B c |", 1, 0),
        ("|: G | C 2 D 2 E 2 F 2 | C 3 D E 2 F 2 | C 7 :|", 4, 0),  # a pick-up and its complement
        ("| C 8 | C 2 D 2 E 2 | C 8 |", 3, 1),
        ("| C 8 | (3 C D E F 2 G 2 A 2 | C 8 |", 3, 0),
        ("| C 8 | [ C E ] 2 D > E F /2 G /2 A c 2 | C 8 |", 3, 0),
        ("", 0, 0),
    ],
)
def test_bars_are_added_up(music, bars, wrong):
    report = check_bars(f"M:4/4\nK:Cmaj\n{music}")
    assert (report.bars, report.wrong) == (bars, wrong)
    assert report.complete == (bars > 0 and not wrong)


def test_tokens_become_abc():
    abc = to_abc("M:6/8\nK:Ador\n|: A 2 B c > d (3 e f g [ C E ] |")
    assert abc == "X:1\nM:6/8\nL:1/8\nK:Ador\n|: A2 B c>d (3e f g [C E ] |\n"
    assert tunes("M:4/4\nK:C\nC\n\nM:3/4\nK:D\nD\n") == ["M:4/4\nK:C\nC", "M:3/4\nK:D\nD"]
