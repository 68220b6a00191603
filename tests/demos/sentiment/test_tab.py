"""What the tab's events do, on results made by hand and on small untrained networks."""

import pytest

from core.errors import InputError
from demos.sentiment import predict, tab
from demos.sentiment.predict import SentimentResult, Word


@pytest.fixture
def result() -> SentimentResult:
    words = (Word("Not", -1.5), Word("<b>bad</b>", 3.0), Word("영화", 0.0))
    fine = {"very negative": 0.05, "negative": 0.15, "neutral": 0.2, "positive": 0.5, "very positive": 0.1}
    return SentimentResult(
        "positive", 0.75, "english", {"negative": 0.25, "positive": 0.75}, fine, words, (0.4, 0.6, 0.75), 0.01
    )


@pytest.fixture
def small_networks(predictor, monkeypatch):
    """The tab answers with the small networks of the tests."""
    monkeypatch.setattr(predict, "get_predictor", lambda: predictor)


def test_a_judgement_shows_label_classes_words_and_line(result):
    html = tab.judgement_html(result)
    assert ">Positive</span>" in html
    assert "</strong> <span>75%</span>" in html
    for name, share in (("very negative", "5.0%"), ("neutral", "20.0%"), ("positive", "50.0%")):
        assert f">{name}</span>" in html
        assert share in html
    assert html.count('class="weighed') == 3
    assert "<b>" not in html
    assert html.count("<circle") == 3
    assert "English network" in html
    assert ", 0.01 s" in html


def test_words_are_tinted_by_sign_and_size(result):
    html = tab.words_html(result.tokens)
    assert 'weighed against" style="--p: 0.750" title="-1.50 log-odds">Not' in html
    assert 'weighed for" style="--p: 1.000"' in html
    assert 'weighed for" style="--p: 0.000" title="+0.00 log-odds">영화' in html


def test_the_line_rises_with_the_probability():
    html = tab.line_html(["a", "b"], [0.0, 1.0], height=174)  # 100 units from bottom to top
    assert 'points="190.0,112.0 482.0,12.0"' in html.replace("190.0", "190.0")
    assert "from 0% to 100%" in html
    many = tab.line_html([f"w{n}" for n in range(300)], [0.5] * 300)
    assert many.count("<circle") == 300
    assert many.count("word-label") <= 28


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_without_a_text_the_tab_says_what_to_do(text):
    assert tab.show_judgement(text, "auto") == tab.HELLO


@pytest.mark.usefixtures("small_networks")
def test_typing_gives_a_judgement_or_a_sentence():
    assert "Korean network" in tab.show_judgement("이 영화 최고", "auto")
    assert "English network" in tab.show_judgement("A great film", "auto")
    assert 'role="alert"' in tab.show_judgement("😀", "auto")
    assert "not supported" in tab.show_judgement("Это фильм", "auto")


@pytest.mark.usefixtures("small_networks")
def test_the_endpoint_gives_plain_values():
    found = tab.sentiment("A great film")
    assert {"label", "probability", "language", "classes", "fine", "tokens", "steps", "seconds"} == set(found)
    assert found["tokens"][1]["text"] == "great"
    assert tab.sentiment("A great film", explain=False)["steps"] is None


@pytest.mark.usefixtures("small_networks")
def test_a_file_gives_a_distribution_and_a_table(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("A great film\n\n😀\n이 영화 최고\n<i>dull</i>\n", encoding="utf-8")
    html = tab.show_file(str(file), "auto")
    assert "4 texts" in html
    assert "not judged" in html
    assert "&lt;i&gt;dull" in html
    assert html.count("<tr>") >= 5 + 3
    file.write_text("great\n" * (tab.MAX_LINES + 1))
    assert "more than the 5,000 lines" in tab.show_file(str(file), "auto")
    file.write_bytes(b"\x00\xff\xfe" * 100)
    assert "not judged" in tab.show_file(str(file), "auto")
    file.write_text("\n")
    assert "empty" in tab.show_file(str(file), "auto")
    assert "Choose a file" in tab.show_file(None, "auto")


def test_bars_show_counts_and_survive_nothing():
    assert "1,200" in tab.bars_html([("negative", 1200), ("positive", 0)], as_counts=True)
    assert "--share: 0.0000" in tab.bars_html([("negative", 0), ("positive", 0)], as_counts=True)
    assert "not judged" not in tab.distribution_html([])
    assert "not judged" in tab.distribution_html([InputError("no")])
