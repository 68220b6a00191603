"""What the tab draws, as HTML."""

import numpy as np

from core.input.tokenizers import Token
from demos.captioning import view
from demos.captioning.predict import Caption, CaptioningResult, RankedCaption

TOKENS = (Token("a", -0.1), Token("dog's", -1.0), Token("<eos>", -2.5))
CAPTION = Caption("a dog's", -3.6, TOKENS, np.zeros((3, 2, 3)), (0.9, 0.75, 0.25))
TWO = CaptioningResult("a dog's", -3.6, (CAPTION, CAPTION), 0.123)


def test_captions_are_buttons_with_their_logprobs():
    html = view.captions_html(TWO, 1, 0.7, False)
    assert html.count("<li>") == 2
    assert "logprob -3.60" in html
    assert "2 captions in 0.12 s, ranked by logprob / length<sup>0.7</sup>." in html
    assert html.count('aria-pressed="true"') == 1
    assert "dog&#x27;s" in html
    assert "<eos>" not in html


def test_what_ranked_the_captions_is_said():
    assert "ranked by logprob / length." in view.captions_html(TWO, 0, 1, False)
    assert "ranked by logprob." in view.captions_html(TWO, 0, 0, False)
    reranked = view.captions_html(TWO, 0, 0, True)
    assert "ranked by logprob + <span" in reranked
    assert "words on the photo" in reranked


def test_typed_captions_are_a_table_without_their_end_and_with_their_unknown_words():
    ranked = [RankedCaption("a dog's", -3.6, TOKENS, ()), RankedCaption("a <b>", -9.0, TOKENS, ("<b>",))]
    html = view.ranking_table(ranked)
    assert "&lt;eos&gt;" not in html
    assert '<td class="number">-1.20</td>' in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
