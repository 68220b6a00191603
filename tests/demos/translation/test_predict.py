"""Translating what a visitor typed, with a small network that knows its toy language by heart."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.errors import InputError
from core.input.tokenizers import EOS
from demos.translation.predict import TranslationOptions, TranslationResult
from tests.demos.translation.conftest import LINES

GREEDY = TranslationOptions(beam_size=1)


def test_the_small_translator_has_learnt_its_language_both_ways(predictor):
    there = [result.text for result in predictor.stream(((en, "en", "de") for en, _ in LINES), GREEDY)]
    back = [result.text for result in predictor.stream(((de, "de", "en") for _, de in LINES), GREEDY)]
    right = sum(text == de for text, (_, de) in zip(there, LINES, strict=True))
    right += sum(text == en for text, (en, _) in zip(back, LINES, strict=True))
    assert right >= 0.9 * 2 * len(LINES)


def test_a_result_has_what_the_page_needs(predictor):
    result = predictor("A dog sleeps in the park.", "en", "de")
    assert len(result.hypotheses) == 5
    assert (result.text, result.logprob) == (result.hypotheses[0].text, result.hypotheses[0].logprob)
    scores = [h.logprob / len(h.tokens) + 0.25 * h.scores["channel"] for h in result.hypotheses]
    assert scores == sorted(scores, reverse=True)
    for hypothesis in result.hypotheses:
        assert hypothesis.logprob == pytest.approx(sum(t.logprob for t in hypothesis.tokens), abs=1e-4)
        assert hypothesis.tokens[-1].text == "<eos>"
    (alignment,) = result.attention
    assert alignment.source == ("A", "dog", "sleeps", "in", "the", "park", ".")
    assert alignment.target == ("Ein", "Hund", "schläft", "im", "Park", ".")
    assert alignment.weights.shape == (6, 7)
    assert (alignment.weights >= 0).all()
    assert (alignment.weights.sum(1) <= 1 + 1e-5).all()
    fields = result.to_dict()
    assert set(fields) == {"text", "logprob", "hypotheses", "attention", "seconds"}
    assert np.shape(fields["attention"][0]["weights"]) == (6, 7)


def test_a_name_that_it_never_saw_goes_through_unchanged(predictor):
    for name in ("Zqxwvykj", "Wojciechowską-Łęcką", "王小明", "1984"):
        assert predictor(f"{name} sleeps here.", "en", "de").text == f"{name} schläft hier."
        assert predictor(f"{name} schläft hier.", "de", "en").text == f"{name} sleeps here."


def test_batches_answer_as_single_calls_do_and_in_order(predictor):
    texts = [en for en, _ in LINES[:40:3]] + ["A man sleeps here. A girl runs outside.", "A dog"]
    together = list(predictor.stream([(text, "en", "de") for text in texts], batch_size=5))
    for text, result in zip(texts, together, strict=True):
        alone = predictor(text, "en", "de")
        assert [h.text for h in result.hypotheses] == [h.text for h in alone.hypotheses]
        assert result.logprob == pytest.approx(alone.logprob, abs=1e-3)


def test_directions_may_be_mixed_and_errors_stay_in_their_place(predictor):
    requests = [
        ("A dog sleeps here.", "en", "de"),
        ("", "en", "de"),
        ("Ein Hund schläft hier.", "de", "en"),
        (None, "en", "de"),
        ("A dog", "en", "en"),
        ("A dog", "en", "xx"),
        ("Ein Hund", "de", "fr"),
        (7, "en", "de"),
        ("A dog", ["en"], "de"),
    ]
    results = list(predictor.stream(requests))
    assert [isinstance(r, TranslationResult) for r in results] == [True, False, True] + [False] * 6
    assert (results[0].text, results[2].text) == ("Ein Hund schläft hier.", "A dog sleeps here.")
    errors = [str(r) for r in results if isinstance(r, InputError)]
    words = ("empty", "missing", "both English", "'xx'", "one of the two must be English", "string", "['en']")
    assert all(word in error for word, error in zip(words, errors, strict=True))


def test_lines_and_sentences_keep_their_order(predictor):
    text = "A dog sleeps here. A man runs outside.\n\nA girl sings at home."
    result = predictor(text, "en", "de")
    assert result.text == "Ein Hund schläft hier. Ein Mann läuft draußen.\n\nEin Mädchen singt zu Hause."
    assert len(result.attention) == 3
    assert sum(token.text == "<eos>" for token in result.hypotheses[0].tokens) == 3


def test_five_thousand_words_are_translated_within_seconds(predictor):
    start = time.process_time()
    result = predictor("A dog sleeps here. " * 1250, "en", "de")
    assert result.text == " ".join(["Ein Hund schläft hier."] * 1250)
    assert time.process_time() - start < 60
    assert predictor("dog " * 5000, "en", "de", GREEDY).text  # no full stop anywhere


def test_a_sentence_that_comes_again_is_translated_once(predictor, monkeypatch):
    seen = []
    search = predictor.search
    monkeypatch.setattr(predictor, "search", lambda some, options: seen.extend(some) or search(some, options))
    result = predictor("A dog sleeps here. A man runs outside. A dog sleeps here.", "en", "de")
    assert result.text == "Ein Hund schläft hier. Ein Mann läuft draußen. Ein Hund schläft hier."
    assert len(seen) == 2


def test_html_stays_around_the_words_it_stood_around(predictor):
    assert predictor("<p><b>A dog</b> sleeps here.</p>", "en", "de").text == "<p><b>Ein Hund</b> schläft hier.</p>"
    assert predictor("A dog sleeps here.<br>\n<hr>", "en", "de").text == "Ein Hund schläft hier.<br>\n<hr>"
    assert predictor("<b>😀</b>", "en", "de").text == "<b>😀</b>"


@pytest.mark.parametrize(
    "text",
    ["x" * 10_000, "😀", "!!!", "A dog 😀 sleeps.", "собака and 犬", "<b>A dog</b> <script>alert(1)</script>",
     "A\x00 dog\x07 sleeps\u202e here.", "A DOG SLEEPS HERE.", "\ue000 dog", "<eos> <to-fr> <pad>", "a" * 60 + " dog"],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_strange_text_gets_a_sane_answer(predictor, text):
    result = predictor(text, "en", "de")
    assert result.text.strip()
    assert "\ue000" not in result.text
    assert "<unk>" not in result.text
    assert np.isfinite(result.logprob)


def test_what_cannot_be_translated_comes_back_as_it_is(predictor):
    for text in ("x" * 10_000, "😀", "!!!", "123456"):
        assert predictor(text, "en", "de").text == text


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "\x00\x01", None, 5, "a" * 200_000], ids=repr)
def test_no_text_or_too_much_is_refused_with_a_sentence(predictor, text):
    with pytest.raises(InputError, match="text to translate"):
        predictor(text, "en", "de")


@pytest.mark.parametrize(
    "options", [{"beam_size": 0}, {"beam_size": 21}, {"beam_size": 2.5}, {"beam_size": True}, {"length_penalty": -1},
                {"length_penalty": "x"}, {"rerank": 1}, {"rerank": None}],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        TranslationOptions(**options)


def test_the_trace_shows_the_way_of_the_winner(predictor):
    trace = predictor.trace("A dog sleeps here. A man runs.", "en", "de")
    best = predictor("A dog sleeps here.", "en", "de").hypotheses[0]
    way = [step for step in trace.steps if step.winner is not None]
    pieces = [predictor.tokenizer.convert_ids_to_tokens(step.tokens[step.winner]) for step in way]
    assert pieces == [token.text for token in best.tokens[:-1]]
    assert trace.best == best.text
    slot = None
    for before, after in itertools.pairwise(way):
        assert after.parents[after.winner] == before.winner
        slot = after.winner
    ends = [(parent, logprob) for step in trace.steps for parent, logprob in step.ended]
    assert any(parent == slot and logprob == pytest.approx(best.logprob, abs=1e-4) for parent, logprob in ends)
    assert all(EOS not in step.tokens[: np.isfinite(step.logprobs).sum()] for step in trace.steps)


def test_threads_share_one_network(predictor):
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda pair: predictor(pair[0], "en", "de", GREEDY).text, LINES[:16]))
    assert results == [predictor(en, "en", "de", GREEDY).text for en, _ in LINES[:16]]
