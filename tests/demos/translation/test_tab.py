"""What the tab's events do, with a small network in place of the shipped one."""

import gradio as gr
import numpy as np
import pytest

from demos.translation import predict, tab


@pytest.fixture
def loaded(predictor, monkeypatch):
    monkeypatch.setattr(predict, "get_predictor", lambda: predictor)


def click(**data: object) -> gr.EventData:
    """A click on a word, as the page reports it."""
    return gr.EventData(None, data)


REQUEST = ("A dog sleeps here. A man runs outside.", "en", "de", 3, 1.0, True)


def test_words_are_buttons_and_the_alignment_of_the_first_sentence_is_shown(loaded):
    html, shown, picture, note = tab.show_translation(*REQUEST)
    assert html.count("<li>") == 3
    assert ">Hund</button>" in html
    assert "logprob / length + 0.25 × " in html
    assert html.count(">되번역</span> -") == 3
    assert "되번역" not in tab.show_translation(*REQUEST[:-1], False)[0]
    assert "Sentence 1 of 2" in note
    assert np.asarray(picture).std() > 10
    second, note = tab.show_alignment(shown, click(sequence=0, word="6"))
    assert "Sentence 2 of 2" in note
    assert second.size != picture.size or np.asarray(second).tobytes() != np.asarray(picture).tobytes()
    assert tab.show_alignment(shown, click(sequence=2, word="all"))[0] is not None


@pytest.mark.parametrize(
    "data",
    [{}, {"sequence": 0}, {"sequence": 7, "word": "0"}, {"sequence": 0, "word": None}, {"sequence": "x", "word": "0"},
     {"sequence": -1, "word": "0"}, {"sequence": 0, "word": "-2"}],
    ids=str,
)  # fmt: skip
def test_clicks_that_the_page_cannot_send_are_refused(loaded, data):
    shown = tab.show_translation(*REQUEST)[1]
    with pytest.raises(gr.Error, match="no such word"):
        tab.show_alignment(shown, click(**data))
    with pytest.raises(gr.Error, match="no longer kept"):
        tab.show_alignment(None, click(sequence=0, word="0"))


def test_empty_text_greets_and_a_wrong_language_is_explained(loaded):
    assert tab.show_translation("  ", "en", "de", 5, 1.0, True) == (tab.HELLO, None, None, None)
    html, shown, picture, _ = tab.show_translation("A dog", "de", "fr", 5, 1.0, True)
    assert "one of the two must be English" in html
    assert shown is picture is None


def test_a_language_that_was_learnt_from_photos_alone_says_so_beside_its_answers(loaded, monkeypatch):
    warning = "learnt from descriptions of photos alone"
    assert warning in tab.show_translation("A dog sleeps.", "en", "de", 2, 1.0, True)[0]
    monkeypatch.setattr(tab, "FROM_PHOTOS", {"cs"})
    assert warning not in tab.show_translation("A dog sleeps.", "en", "de", 2, 1.0, True)[0]


def test_what_somebody_typed_never_becomes_markup(loaded):
    html, *_ = tab.show_translation("<img src=x onerror=alert(1)> sleeps here.", "en", "de", 2, 1.0, True)
    assert "<img" not in html
    assert "<img" not in tab.show_beam("<img src=x> sleeps here.", "en", "de", 2, 1.0)
    shown = tab.show_translation(*REQUEST)[1]
    assert "<img" not in tab.show_scores(shown, "<img src=x>")


def test_a_very_long_text_is_shown_plainly(loaded):
    html, shown, *_ = tab.show_translation("A dog sleeps here. " * 600, "en", "de", 1, 1.0, True)
    assert 'class="words long"' in html
    assert 'data-word="0"' not in html
    assert len(shown.translations[0].alignments) == 600


def test_the_beam_is_a_row_per_step_with_the_winner_marked(loaded, predictor):
    html = tab.show_beam(*REQUEST[:-1])
    best = predictor("A dog sleeps here.", "en", "de", predict.TranslationOptions(3)).hypotheses[0]
    assert html.count('class="beam won"') == len(best.tokens) - 1
    assert best.text in html
    assert "beam 3" in html
    assert "beam 4" not in html


def test_the_visitors_own_translation_scores_the_best_one(loaded):
    shown = tab.show_translation("A dog sleeps here.", "en", "de", 3, 1.0, True)[1]
    perfect = tab.show_scores(shown, "Ein Hund schläft hier.\nDer Hund schläft.")
    assert perfect.count(">100.0<") == 2
    assert "tok:13a" in perfect
    assert ">100.0<" not in tab.show_scores(shown, "Das ist etwas anderes.")
    assert "empty" in tab.show_scores(shown, " ")
    assert "translate a sentence first" in tab.show_scores(None, "x")


def test_swapping_makes_the_translation_the_text(loaded):
    shown = tab.show_translation("A dog sleeps here.", "en", "de", 3, 1.0, True)[1]
    assert tab.swap("A dog sleeps here.", "en", "de", shown) == ("Ein Hund schläft hier.", "de", "en")
    assert tab.swap("A dog", "en", "de", None) == ("A dog", "de", "en")


def test_one_of_the_two_languages_is_always_english():
    assert tab.other_language("fr", "de") == "en"
    assert tab.other_language("en", "fr") == "fr"
    assert tab.other_language("en", "en") == "de"


def test_a_photo_becomes_an_english_sentence():
    text, source, target = tab.caption_photo(gr.media.get_image("cheetah1.jpg"), "fr")
    assert text[0].isupper()
    assert text.endswith(".")
    assert (source, target) == ("en", "fr")
    with pytest.raises(gr.Error, match="photo"):
        tab.caption_photo(None, "fr")


def test_the_page_is_built_with_one_documented_endpoint():
    with gr.Blocks() as page:
        tab.build()
    endpoints = page.get_api_info()["named_endpoints"]
    assert list(endpoints) == ["/translation"]
    assert [p["parameter_name"] for p in endpoints["/translation"]["parameters"]] == [
        "text", "source", "target", "beam_size", "length_penalty", "rerank",
    ]  # fmt: skip
