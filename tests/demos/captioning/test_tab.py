"""What the tab's events do, on captions made by hand: no network is loaded."""

from dataclasses import replace

import gradio as gr
import numpy as np
import pytest

from core.input.tokenizers import Token
from demos.captioning import tab, view
from demos.captioning.predict import Caption

WORDS = ("a", "dog's", "tail", "<eos>")


def click(**data: object) -> gr.EventData:
    """A click on a word, as the page reports it."""
    return gr.EventData(None, data)


def caption(*logprobs: float) -> Caption:
    """A caption whose words look at one place each, in reading order."""
    attention = np.eye(4, 6, dtype=np.float16).reshape(4, 2, 3)
    tokens = tuple(Token(word, logprob) for word, logprob in zip(WORDS, logprobs, strict=True))
    return Caption("a dog's tail", sum(logprobs), tokens, attention, (0.9, 0.75, 0.5, 0.25))


@pytest.fixture
def shown() -> tab.Shown:
    """A session that sees two captions of one photo."""
    return tab.Shown(gr.media.get_image("cheetah1.jpg"), (caption(-0.1, -1, -2, -0.5), caption(-1, -1, -2, -1)))


def test_a_word_shows_its_attention_and_the_share_that_the_photo_had(shown):
    left, note = tab.show_attention(shown, click(sequence=0, word="0"))
    right, _ = tab.show_attention(shown, click(sequence=1, word="2"))
    assert "<strong>a</strong>" in note
    assert "90% of its attention to the photo and 10%" in note
    light = [np.asarray(picture.convert("L"), dtype=float) for picture in (left, right)]
    difference = light[0] - light[1]
    width = difference.shape[1]
    assert difference[:, : width // 3].mean() > 5
    assert difference[:, -width // 3 :].mean() < -5


def test_all_words_come_as_one_picture(shown):
    sheet, note = tab.show_attention(shown, click(sequence=0, word="all"))
    assert sheet.width > sheet.height
    assert "each word" in note
    _, note = tab.show_attention(shown, click(sequence=0, word="3"))
    assert "<strong>end</strong>" in note


@pytest.mark.parametrize(
    "data",
    [{}, {"sequence": 0}, {"sequence": 7, "word": "0"}, {"sequence": 0, "word": "99"}, {"sequence": 0, "word": None},
     {"sequence": "x", "word": "0"}, {"sequence": -1, "word": "0"}, {"sequence": 0, "word": "-2"}],
    ids=str,
)  # fmt: skip
def test_clicks_that_the_page_cannot_send_are_refused(shown, data):
    with pytest.raises(gr.Error, match="no such word"):
        tab.show_attention(shown, click(**data))


def test_a_session_whose_time_is_up_is_told_to_choose_the_photo_again(shown, tmp_path):
    gone = replace(shown, photo=str(tmp_path / "deleted.jpg"))
    for state in (None, gone):
        with pytest.raises(gr.Error, match="choose it again") as error:
            tab.show_attention(state, click(sequence=0, word="0"))
        assert str(tmp_path) not in error.value.message


def test_the_visitor_s_own_caption_is_scored_against(shown):
    scores = tab.show_scores(shown, "A dog's tail!\n\nsomething else", False)
    assert scores.count("100.0") == 4  # BLEU-1 to 3 and ROUGE-L; no four words in a row
    assert "METEOR" not in scores
    assert "is empty" in tab.show_scores(shown, "  \n ", False)
    assert "choose a photo" in tab.show_scores(None, "a dog", False)


@pytest.mark.java
def test_meteor_is_scored_where_it_is_asked_for(shown):
    assert "METEOR" in tab.show_scores(shown, "a dog's tail", True)


def test_without_a_photo_every_panel_says_what_to_do():
    assert tab.show_captions(None, 10, 5, 0.7, 20, True) == (view.HELLO, None, None, None)
    assert tab.show_labels(None, None) is None
    assert "choose a picture first" in tab.show_comparison(None, 10, 5, 0.7, 20, True)


def test_the_examples_exist():
    assert len(tab.examples()) == 6
