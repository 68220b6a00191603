"""Folk tunes held to whole bars: what may follow, and what nobody can be stuck in."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch

from demos.generation.bars import Bar, check_bars, full_bar, kind_of, length_of
from demos.generation.data import split_pieces
from demos.generation.predict import GenerationOptions
from demos.generation.whole_bars import Place, WholeBars

NOTES = ["C ", "D ", "^F ", "c' ", "z "]
LENGTHS = ["2 ", "3 ", "4 ", "/2 ", "3/2 ", "2> ", "/2< "]
SIGNS = ["| ", "|", "|: ", ":| ", ":|", "|1 ", "|2 ", "(3 ", "[ ", "] ", "> ", "< "]
# What other corpora bring into the vocabulary: nothing of it may stand in a tune, nor count as a length.
OTHERS = ["<pad>", "a", "0", "/", ":", "\n", " ", "M:4/4", "K:Cmaj", "100000"]
VOCABULARY = [*OTHERS, *NOTES, *LENGTHS, *SIGNS]


@pytest.fixture(scope="module")
def bars():
    return WholeBars(VOCABULARY)


def place_after(bars, text):
    place = Place()
    for piece in split_pieces(text, "abc"):
        place = bars.read(place, piece)
    return place


def following(bars, music, meter="M:4/4"):
    mask = bars.allowed(place_after(bars, f"{meter}\nK:Cmaj\n{music}"))
    return {piece for piece, may in zip(VOCABULARY, mask, strict=True) if may}


@pytest.mark.parametrize(
    ("music", "may", "may_not"),
    [
        ("|: C 4 D 2 ", {"C ", "[ ", "| "}, {"3 ", "4 ", "a", "0"}),  # a pick-up may be closed, too
        ("| C 4 D 4 | C 4 D ", {"2 ", "4 ", "C "}, {"| ", "] ", "\n"}),
        ("| C 4 D 4 | C 4 D 4 ", {"| ", "|", ":| ", "|1 "}, {"C ", "2 ", "(3 ", "> "}),
        ("| C 4 D 4 | C 4 D 3 ", {"C ", "|", ":| "}, {"] ", "< ", "| "}),
        ("| C 4 D 4 | C 4 D 3 C /2 ", {"C ", "|"}, {"| ", "/2 "}),
        ("| C 4 D 4 | (3 C D ", {"C ", "2 "}, {"| ", "|", "(3 ", "[ "}),
        ("| C 4 D 4 | C > ", {"D "}, {"| ", "2 ", "[ ", "(3 "}),
        ("| C 4 D 4 | C 2> D ", {"2 "}, {"D ", "3 ", "| "}),  # the second note of a pair is written like the first
        ("| C 8 | [ C D ", {"] ", "C "}, {"| ", "2 ", "> "}),
        ("| C 8 | [ C D ] ", {"2 ", "4 ", "C "}, {"| ", "] "}),
        ("| C 8 :| ", {"|2 ", "|: ", "C "}, {"| ", ":| ", "|"}),
        ("| C 8 |", {"\n"}, {"C ", "| "}),
        ("", {"C ", "| ", "|: ", "K:Cmaj"}, {"\n", ":| ", "2 "}),
    ],
)
def test_what_may_follow(bars, music, may, may_not):
    allowed = following(bars, music)
    assert may <= allowed
    assert not may_not & allowed


def test_outside_a_tune_and_in_a_bar_past_saving_everything_may_follow(bars):
    assert bars.allowed(place_after(bars, "C 2 D |")) is None
    assert bars.allowed(place_after(bars, "M:4/4\nK:Cmaj\n| C 4 D 4 E ")) is None
    assert bars.allowed(place_after(bars, "M:4/4\nK:Cmaj\n| C 4 D 4 E | ")) is not None  # the next bar is held again


@pytest.mark.parametrize("meter", ["M:4/4", "M:3/4", "M:6/8", "M:9/8", "M:2/4", "M:12/8", "M:5/4"])
def test_whoever_walks_at_random_is_never_stuck_and_writes_whole_bars(bars, meter):
    random = np.random.default_rng(1)
    for _ in range(5):
        text, place = f"{meter}\nK:Cmaj\n", place_after(bars, f"{meter}\nK:Cmaj\n")
        for _ in range(400):
            mask = bars.allowed(place)
            assert mask is not None
            music = mask & np.array([piece[:2] not in ("M:", "K:") for piece in VOCABULARY])
            piece = VOCABULARY[random.choice(music.nonzero()[0])]
            text, place = text + piece, bars.read(place, piece)
            if text.endswith("\n\n"):
                assert check_bars(text).complete, text
                break


def test_a_short_last_bar_and_a_dotted_length_are_added_up():
    assert check_bars("M:4/4\nK:C\nG | C 8 | C 7 |").complete
    assert not check_bars("M:4/4\nK:C\nG | C 7 | C 8 |").complete
    assert check_bars("M:4/4\nK:C\n| C /2> D /2 C 7 | C 2> D 2 C 4 |").complete
    assert check_bars("M:3/4\nK:C\n| [ C 2 E 2 ] [ C E ] 4 | C 6 |").complete


def test_kinds_and_lengths_of_tokens():
    kinds = {"^f'": "note", "z": "note", "3/2": "length", "/2>": "length", ">": "dot", "(3": "tuplet", "|1": "bar line"}
    assert {token: kind_of(token) for token in kinds} == kinds
    assert kind_of("hello") == kind_of("") == kind_of("(1") == ""
    assert [length_of(token) for token in ("3", "/2", "3/2", "/", "2<")] == [
        3,
        *map(Fraction, ("1/2", "3/2", "1/2")),
        2,
    ]
    assert full_bar("M:6/8") == 6
    assert full_bar("M:none") is full_bar("M:0/0") is None
    assert Bar(Fraction(8)).read("C").read("2").filled == 2


def test_tunes_are_written_in_whole_bars_unless_told_otherwise(predictor):
    header = "M:4/4\nK:Cmaj\n"
    wrong = {True: 0, False: 0}
    for whole, seed in itertools.product(wrong, range(3)):
        options = GenerationOptions(temperature=2.0, length=300, seed=seed, whole_bars=whole)
        tune = (header + predictor("folk", header, options).text).split("\n\n")[0].rpartition("|")[0]
        wrong[whole] += check_bars(tune + "|").wrong
    assert wrong[True] == 0 < wrong[False]


def test_whole_bars_leave_the_logprob_the_networks_own(predictor):
    header = "M:4/4\nK:Cmaj\n"
    tokens = predictor("folk", header, GenerationOptions(temperature=2.0, length=30)).tokens
    pieces = ["<folk>", *split_pieces(header, "abc"), *(token.text for token in tokens)]
    ids = torch.tensor([[predictor.index[piece] for piece in pieces]])
    with torch.no_grad():
        logits = predictor.model(ids).logits[0, -31:-1]
    logits[:, : predictor.reserved] = -torch.inf  # special tokens and tags are no text
    own = logits.log_softmax(1)[range(30), ids[0, -30:]]
    assert [token.logprob for token in tokens] == pytest.approx(own.tolist(), abs=1e-3)
