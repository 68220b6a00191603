"""HTML is taken out of a sentence and comes back around the words that it stood around."""

import numpy as np
import pytest

from demos.translation.alignment import Alignment
from demos.translation.markup import put_back, take_out


def word_by_word(source: str, target: str, order: list[int]) -> Alignment:
    """An alignment in which target word n looks at source word order[n] only."""
    weights = np.eye(len(source.split()), dtype="float32")[order]
    return Alignment(tuple(source.split()), tuple(target.split()), weights)


def test_the_network_reads_no_tags():
    assert take_out("<b>A dog</b> runs.")[0] == "A dog runs."
    assert take_out("Hello<br/>you")[0] == "Hello you"
    assert take_out("<p class='x y'>Go!</p>")[0] == "Go!"
    assert take_out("2 < 3 and 4 > 1") == ("2 < 3 and 4 > 1", ())


@pytest.mark.parametrize(
    "text",
    ["<b>a big dog</b>", "<p>a <b><i>big</i> dog</b></p>", "<hr>a big<br> dog", "a </b>big <i>dog", "<b></b>a big dog"],
)
def test_unchanged_words_get_their_tags_back(text):
    plain, elements = take_out(text)
    words = word_by_word(plain, plain, [0, 1, 2])
    again = put_back(plain, elements, words)
    assert again.replace("<br> ", " <br>") == text.replace("<br> ", " <br>")
    assert take_out(again)[0] == plain


def test_tags_move_with_their_words():
    _, elements = take_out("the <b>red</b> car")
    assert put_back("la voiture rouge", elements, word_by_word("the red car", "la voiture rouge", [0, 2, 1])) == (
        "la voiture <b>rouge</b>"
    )


def test_words_torn_apart_are_each_marked_and_tags_stay_nested():
    _, elements = take_out("he <i>sets <b>it</b> up</i> here")
    words = word_by_word("he sets it up here", "er baut es hier auf", [0, 1, 2, 4, 3])
    assert put_back("er baut es hier auf", elements, words) == "er <i>baut <b>es</b></i> hier <i>auf</i>"


def test_no_tag_is_lost_when_no_word_looks_at_its_words():
    _, elements = take_out("he said <b>it</b> here<br>")
    words = word_by_word("he said it here", "er sagte hier", [0, 1, 3])
    words.weights[1, 2] = 0.4
    assert put_back("er sagte hier", elements, words) == "er <b>sagte</b> hier<br>"
    assert put_back("", take_out("<br><hr>")[1], Alignment((), (), np.eye(0))) == "<br><hr>"
