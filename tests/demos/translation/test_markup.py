"""HTML is taken out of a sentence and comes back around the words that it stood around."""

import time

import numpy as np
import pytest

from demos.translation.alignment import Alignment
from demos.translation.markup import Element, put_back, take_out


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


def test_names_are_compared_without_case_and_quotes_may_hold_anything():
    assert take_out("<B>A dog</b> runs.")[1][0].closing == "</b>"
    assert take_out('<a title="x > y < z">A dog</a>') == (
        "A dog", (Element('<a title="x > y < z">', "</a>", 0, 4),),
    )  # fmt: skip
    assert take_out("one<br><hr>two <script>if (a<b>c</b>)</script>")[0] == "one two if (a c)"


@pytest.mark.parametrize("text", ["<!-- a --> dog", "I </3 you", "<![x dog", "A <b dog", "x < y <b and", "&lt;b&gt; <"])
def test_what_is_no_tag_stays_text(text):
    assert take_out(text) == (text, ())


@pytest.mark.parametrize(
    "text",
    ["<" + "a" * 99_999, "<a" * 50_000, "<a b='" * 16_000, "<!--" * 25_000, "<b>" * 3000 + "</i>" * 3000 + "a",
     "<b>x" * 5000],
    ids=lambda text: text[:6],
)  # fmt: skip
def test_many_tags_take_no_longer_than_their_length_asks(text):
    start = time.process_time()
    plain, elements = take_out(text)
    words = Alignment(("x",), ("x",), np.ones((1, 1), "float32"))
    put_back("x", elements, words)
    assert time.process_time() - start < (1 if elements else 0.2)
    assert len(plain) <= 2 * len(text)
