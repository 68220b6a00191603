"""The predictor with small untrained networks: what it does with any text, and that its figures hang together."""

import math
import random
import string

import pytest
import torch

from core.errors import InputError, ModelError
from core.input.tokenizers import BOS, EOS
from demos.sentiment.model import log_odds_direction, positive_probability
from demos.sentiment.predict import SentimentOptions, SentimentPredictor, Word, detect_language, encode_texts

TEXTS = ["A great film!", "이 영화 최고", "It isn't a <b>boring</b> story, and it isn't poor.", "dull", "10/10"]
BAD = {
    "nothing": (None, "missing"),
    "number": (7, "string"),
    "empty": ("", "empty"),
    "spaces": (" \n\t ", "empty"),
    "emoji": ("😀 👍🏽 !!!", "no words"),
    "tags": ("<p><br/></p>", "HTML"),
    "megabyte": ("good " * 200_000, "characters"),
    "cyrillic": ("Это хороший фильм", "Cyrillic"),
    "chinese": ("这部电影很好看", "Chinese"),
    "arabic": ("فيلم جيد", "Arabic"),
}


@pytest.mark.parametrize("explain", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_an_answer_has_its_fields_and_they_agree(predictor, text, explain):
    result = predictor(text, SentimentOptions(explain=explain))
    korean = text.startswith("이")
    assert result.language == ("korean" if korean else "english")
    assert set(result.classes) == {"negative", "positive"}
    assert math.isclose(sum(result.classes.values()), 1)
    assert result.probability == max(result.classes.values()) == result.classes[result.label]
    if korean:
        assert result.fine is None
    else:
        assert list(result.fine) == ["very negative", "negative", "neutral", "positive", "very positive"]
        assert math.isclose(sum(result.fine.values()), 1, abs_tol=1e-5)
        better, worse = (sum(list(result.fine.values())[i] for i in half) for half in ((3, 4), (0, 1)))
        assert math.isclose(result.classes["positive"], better / (better + worse), abs_tol=1e-5)
    assert " ".join(word.text for word in result.tokens) == text.replace("<b>", " ").replace("</b>", " ").replace(
        "  ", " "
    )
    if explain:
        assert len(result.steps) == len(result.tokens)
        assert math.isclose(result.steps[-1], result.classes["positive"], abs_tol=1e-5)
    else:
        assert result.steps is None


def test_erased_words_weigh_what_leaving_them_out_changes(predictor):
    text = "A great film, and a dull story!"
    whole, explained = predictor(text), predictor(text, SentimentOptions(explain=True))
    words = text.split()
    for place, word in enumerate(explained.tokens):
        without = predictor(" ".join(words[:place] + words[place + 1 :]))
        change = logit(whole.classes["positive"]) - logit(without.classes["positive"])
        # the first word has a space token of its own in some tokenizers; the others are exact
        assert math.isclose(word.weight, change, abs_tol=1e-3) or place == 0
    for place, step in enumerate(explained.steps, start=1):
        before = predictor(" ".join(words[:place]))
        assert math.isclose(step, before.classes["positive"], abs_tol=1e-4)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_a_stream_answers_in_order_like_single_calls_and_errors_stay_in_their_place(predictor):
    texts = [*TEXTS, "", *[f"A {word} story" for word in ("great", "dull")] * 40, None, *TEXTS]
    found = list(predictor.stream(texts, batch_size=4))
    assert len(found) == len(texts)
    for text, result in zip(texts, found, strict=True):
        if not text:
            assert isinstance(result, InputError)
            continue
        alone = predictor(text)
        assert (result.label, result.language) == (alone.label, alone.language)
        assert math.isclose(result.probability, alone.probability, abs_tol=1e-5)
        for word, other in zip(result.tokens, alone.tokens, strict=True):
            assert word.text == other.text
            assert math.isclose(word.weight, other.weight, abs_tol=1e-4)


@pytest.mark.parametrize(("text", "reason"), BAD.values(), ids=BAD)
def test_what_cannot_be_judged_gets_a_sentence(predictor, text, reason):
    with pytest.raises(InputError, match=reason):
        predictor(text)


@pytest.mark.parametrize(
    "text",
    ["a" * 10_000, "great " * 8000, "x\x00y\ufeff\u200b good", "<script>alert('great')</script>", "é̂" * 500, "1999",
     "great 영화 film 최고", "&lt;eos&gt; &lt;pad&gt;", "\u202egreat", "A\ud800B"],
    ids=lambda text: ascii(text[:12]),
)  # fmt: skip
@pytest.mark.parametrize("explain", [False, True])
def test_strange_texts_get_an_answer(predictor, text, explain):
    result = predictor(text, SentimentOptions(explain=explain))
    assert 0.5 <= result.probability <= 1
    assert all(math.isfinite(word.weight) for word in result.tokens)


def test_random_text_never_breaks_it(predictor):
    rng = random.Random(1)
    letters = string.printable + "영화최고éß“”…😀"
    for _ in range(60):
        text = "".join(rng.choices(letters, k=rng.randint(1, 80)))
        for result in predictor.stream([text], SentimentOptions(explain=True)):
            assert isinstance(result, InputError) or len(result.steps) == len(result.tokens)


def test_a_long_text_keeps_its_words_but_weighs_only_what_was_read(predictor):
    words = [f"great{n}" for n in range(200)]
    result = predictor(" ".join(words), SentimentOptions(explain=True))
    assert [word.text for word in result.tokens] == words
    assert len(result.steps) == 200
    assert sum(word.weight != 0 for word in result.tokens) < 64  # the network reads 64 tokens
    assert result.tokens[0].weight != 0


@pytest.mark.parametrize(
    ("text", "language"),
    [("good", "english"), ("좋다", "korean"), ("CGI 최고의 영화", "korean"), ("the film 부산행 was good", "english"),
     ("ㅋㅋㅋ", "korean"), ("café", "english"), ("10/10", "english"), ("the word Привет", "english")],
)  # fmt: skip
def test_the_script_decides_the_language(text, language):
    assert detect_language(text) == language


def test_a_visitor_s_choice_of_language_comes_first(predictor):
    assert predictor("great", SentimentOptions(language="korean")).language == "korean"


@pytest.mark.parametrize("options", [{"language": "french"}, {"language": 5}, {"explain": 1}, {"explain": "yes"}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(InputError):
        SentimentOptions(**options)


def test_every_token_belongs_to_the_word_it_is_in(predictor):
    tokenizer = predictor.networks["english"].tokenizer
    (encoded,) = encode_texts(tokenizer, ["great films, isn't 12 é"], 64)
    assert encoded.words == ["great", "films,", "isn't", "12", "é"]
    assert (encoded.ids[0], encoded.ids[-1], encoded.word_of[0], encoded.word_of[-1]) == (BOS, EOS, -1, -1)
    assert sorted(set(encoded.word_of[1:-1])) == [0, 1, 2, 3, 4]
    assert encoded.word_of[1:-1] == sorted(encoded.word_of[1:-1])
    one_by_one = [encode_texts(tokenizer, [word], 64)[0].ids[1:-1] for word in encoded.words]
    assert [len(ids) for ids in one_by_one] == [encoded.word_of.count(n) for n in range(5)]


def test_the_direction_is_the_slope_of_the_log_odds():
    logits = torch.randn(3, 5, dtype=torch.double, requires_grad=True)
    positive = positive_probability(logits.softmax(1))
    (slope,) = torch.autograd.grad(positive.logit().sum(), logits)
    torch.testing.assert_close(log_odds_direction(logits.softmax(1)).detach(), slope)


def test_a_folder_without_networks_is_named(tmp_path):
    with pytest.raises(ModelError, match="holds no checkpoint"):
        SentimentPredictor.from_pretrained(tmp_path)


def test_a_saved_network_answers_bit_for_bit_the_same(predictor, tmp_path):
    for language, (model, tokenizer) in predictor.networks.items():
        model.save_pretrained(tmp_path / language, half=False)
        tokenizer.save_pretrained(tmp_path / language)
    again = SentimentPredictor.from_pretrained(tmp_path)
    for text in TEXTS:
        first, second = predictor(text), again(text)
        assert (first.classes, first.fine, first.tokens) == (second.classes, second.fine, second.tokens)
    single = SentimentPredictor.from_pretrained(tmp_path / "korean")
    assert list(single.networks) == ["korean"]
    with pytest.raises(InputError, match="no English network"):
        single("great")


def test_results_turn_into_plain_values(predictor):
    result = predictor("A great film")
    assert result.to_dict()["tokens"][1] == {"text": "great", "weight": result.tokens[1].weight}
    assert isinstance(result.tokens[0], Word)
