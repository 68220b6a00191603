"""Every figure against arithmetic done by hand, written out, or against the official code."""

import random
import time
from math import exp, sqrt

import numpy as np
import pytest
from pycocoevalcap.cider.cider_scorer import CiderScorer

from core.errors import InputError, ModelError
from core.metrics import (
    CiderD,
    accuracy,
    bleu,
    caption_scores,
    caption_scores_fast,
    cer,
    chrf,
    expected_calibration_error,
    java_available,
    macro_f1,
    r_precision,
    success_at_k,
    wer,
)
from core.metrics import captions as captions_module

HYPOTHESES = ["the cat sat on the mat", "a dog runs fast"]
REFERENCES = [["the cat sat on a mat", "on the mat"], ["a dog runs far"]]
# n-grams of the hypotheses that a reference has too (its count at most: "the" once), by n, first + second hypothesis.
PRECISIONS = [(5 + 3) / (6 + 4), (5 + 2) / (5 + 3), (3 + 1) / (4 + 2), (1 + 0) / (3 + 1)]
# The longest common subsequences with the references: 5 and 3 words, then 3; best precision, best recall, beta = 1.2.
ROUGE = ((1 + 1.2**2) * (5 / 6) * (3 / 3) / (3 / 3 + 1.2**2 * 5 / 6) + 3 / 4) / 2


# --- text ----------------------------------------------------------------------------------------------------------


def test_bleu_by_hand():
    score = bleu(HYPOTHESES, REFERENCES)
    assert score.value == pytest.approx(100 * np.prod(PRECISIONS) ** (1 / 4))  # 10 words against 6 + 4: no penalty
    assert "nrefs:var|case:mixed" in score.signature
    assert "tok:13a" in score.signature


def test_bleu_brevity_penalty_and_case():
    hypotheses, references = ["The cat sat on"], [["the cat sat on mats"]]
    assert bleu(hypotheses, references, lowercase=True).value == pytest.approx(100 * exp(1 - 5 / 4))
    assert bleu(hypotheses, references).value < bleu(hypotheses, references, lowercase=True).value
    assert "case:lc" in bleu(hypotheses, references, lowercase=True).signature


def test_chrf_by_hand():
    # "abc" and "abd" share 2 of 3 characters, 1 of 2 pairs, 0 of 1 triples; precision equals recall, so F does too.
    score = chrf(["abc"], [["abd"]])
    assert score.value == pytest.approx(100 * (2 / 3 + 1 / 2 + 0) / 3)
    assert "nc:6" in score.signature


def test_wer_by_hand():
    # sat -> sit, the second "the" missing, "now" too many: 3 edits; 6 + 4 words in the references.
    hypotheses = ["the cat sit on mat now", "a dog runs fast"]
    references = ["the cat sat on the mat", "a dog runs fast"]
    assert wer(hypotheses, references) == pytest.approx(3 / 10)


def test_cer_divides_by_the_reference_length():
    assert cer(["sitting"], ["kitten"]) == pytest.approx(3 / 6)
    assert cer(["kitten"], ["sitting"]) == pytest.approx(3 / 7)


@pytest.mark.parametrize("score", [bleu, chrf, caption_scores_fast])
@pytest.mark.parametrize("references", [[], [["a"], ["b"]], [[]], ["a bare string"]])
def test_each_hypothesis_needs_references(score, references):
    with pytest.raises(InputError, match="references"):
        score(["a"], references)


# --- captions ------------------------------------------------------------------------------------------------------


def test_fast_caption_scores_by_hand(capfd):
    scores = caption_scores_fast(["The cat sat on the mat.", "A dog runs, fast"], REFERENCES)
    for n in range(1, 5):
        assert scores[f"BLEU-{n}"] == pytest.approx(100 * np.prod(PRECISIONS[:n]) ** (1 / n), rel=1e-6)
    assert scores["ROUGE-L"] == pytest.approx(100 * ROUGE)
    assert set(scores) == {"BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"}
    assert capfd.readouterr().out == ""


def test_cider_by_hand():
    # "a" is used for both of the two photos, idf log(2/2) = 0; "dog" and "a dog" for one, log 2; "dog dog" for none,
    # also log 2. Cosines of photo 1: clipped 1 * 1 / (2 * 1) and 1 / sqrt(2); of photo 2: 1 and 1. No longer n-grams.
    first = (1 / 2 + 1 / sqrt(2) + 0 + 0) / 4 * exp(-(1**2) / (2 * 6**2))  # one bigram too many
    second = (1 + 1 + 0 + 0) / 4
    scores = caption_scores_fast(["a dog dog", "a cat"], [["a dog"], ["a cat"]])
    assert scores["CIDEr"] == pytest.approx(100 * 10 * (first + second) / 2)
    rewards = CiderD([[[7, 8]], [[7, 9]]]).score([[7, 8, 8], [7, 9]], [0, 1])
    assert rewards == pytest.approx([10 * first, 10 * second])


def test_maps_of_photos_are_matched_by_name():
    hypotheses = dict(zip(("cat.jpg", "dog.jpg"), HYPOTHESES, strict=True))
    references = {"dog.jpg": REFERENCES[1], "cat.jpg": REFERENCES[0]}
    assert caption_scores_fast(hypotheses, references) == caption_scores_fast(HYPOTHESES, REFERENCES)
    with pytest.raises(InputError, match=r"dog\.jpg"):
        caption_scores_fast(hypotheses, {"cat.jpg": ["a"], "pig.jpg": ["b"]})
    with pytest.raises(InputError, match="maps"):
        caption_scores_fast(hypotheses, REFERENCES)


@pytest.mark.java
def test_ptb_tokenizer_splits_and_drops_punctuation_as_the_coco_server_does():
    # "Dog's" becomes two words, the comma and the dash go; line breaks stay inside their own caption.
    hypotheses = ["The Dog's café,\nclosed -- a t-shirt!", ""]
    references = [["the dog 's café closed a t-shirt"], ["nothing"]]
    scores = caption_scores(hypotheses, references, ("BLEU", "ROUGE-L"))
    assert scores["BLEU-1"] == pytest.approx(100 * exp(1 - 8 / 7), rel=1e-6)  # all 7 words right, 8 expected
    assert scores["ROUGE-L"] == pytest.approx(100 * (1 + 0) / 2)


@pytest.mark.java
def test_meteor_by_hand(capfd, monkeypatch):
    # Denkowski and Lavie 2014 for English: alpha 0.85, beta 0.2, gamma 0.6, delta 0.75 for content, 0.25 for function
    # words. Field separators in captions and a locale with decimal commas, on which METEOR fails, change nothing.
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
    precision = 1.0
    recall = (0.75 * 1 + 0.25 * 1) / (0.75 * 2 + 0.25 * 1)  # "a" and "cat" of "a cat sleeps"
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    fragmentation = 0.6 * (1 / 2) ** 0.2  # one chunk of two matches
    scores = caption_scores(["a ||| cat"], [["a cat sleeps", "|||"]], ("METEOR",), tokenizer="simple")
    assert scores == {"METEOR": pytest.approx(100 * mean * (1 - fragmentation), rel=1e-6)}
    assert capfd.readouterr().out == ""


def test_without_java_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not java_available()
    with pytest.raises(ModelError, match="default-jre-headless"):
        caption_scores(HYPOTHESES, REFERENCES)
    with pytest.raises(ModelError, match="default-jre-headless"):
        caption_scores(HYPOTHESES, REFERENCES, ("METEOR",), tokenizer="simple")
    assert caption_scores_fast(HYPOTHESES, REFERENCES)["BLEU-1"] == pytest.approx(80)


@pytest.mark.parametrize("script", ["exit 1", "exec /bin/sleep 60"], ids=["stops", "hangs"])
@pytest.mark.parametrize(("metrics", "tokenizer"), [(("BLEU",), "ptb"), (("METEOR",), "simple")])
def test_a_broken_java_neither_hangs_nor_stays(monkeypatch, tmp_path, script, metrics, tokenizer):
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(captions_module, "_TIME_LIMIT", 0.3)
    started = time.monotonic()
    with pytest.raises(ModelError, match="stopped early"):
        caption_scores(HYPOTHESES, REFERENCES, metrics, tokenizer)
    assert time.monotonic() - started < 20


def test_unknown_metric_and_tokenizer():
    with pytest.raises(InputError, match="SPICE"):
        caption_scores(HYPOTHESES, REFERENCES, ("SPICE",))
    with pytest.raises(InputError, match="moses"):
        caption_scores(HYPOTHESES, REFERENCES, tokenizer="moses")


# --- CIDEr-D as a reward -------------------------------------------------------------------------------------------


def random_caption(rng: random.Random, length: int) -> list[int]:
    """Token ids that are as uneven as words are: a few very frequent, most rare; the largest id possible occurs."""
    return [min(int(rng.paretovariate(0.6)) - 1, 65_534) for _ in range(length)]


def test_cider_d_equals_the_official_scorer():
    rng = random.Random(0)
    references = [[random_caption(rng, rng.randint(0, 14)) for _ in range(rng.randint(1, 6))] for _ in range(64)]
    hypotheses = [random_caption(rng, rng.randint(1, 14)) for _ in range(61)]
    hypotheses += [[], [0] * 9, references[63][0]]
    official = CiderScorer()
    for hypothesis, entry in zip(hypotheses, references, strict=True):
        official += (" ".join(map(str, hypothesis)), [" ".join(map(str, caption)) for caption in entry])
    _, expected = official.compute_score()

    scorer = CiderD(references)
    assert expected.max() > 1
    np.testing.assert_allclose(scorer.score(hypotheses, range(64)), expected, atol=1e-9)
    shuffled = rng.sample(range(64), 64)
    np.testing.assert_allclose(scorer.score([tuple(hypotheses[p]) for p in shuffled], shuffled), expected[shuffled])


def test_cider_d_edge_cases():
    scorer = CiderD([[[1, 2, 3]], [[4, 5]]])
    assert scorer.score([], []).shape == (0,)
    assert scorer.score([[]], [0]) == 0
    assert scorer.score([[77, 78]], [1]) == 0  # only words that no reference has
    with pytest.raises(InputError, match="each needs its photo"):
        scorer.score([[1]], [0, 1])
    with pytest.raises(InputError, match="65,534"):
        scorer.score([[65_535]], [0])
    with pytest.raises(InputError, match="at least one"):
        CiderD([[[1]], []])


def test_cider_d_is_fast_enough_for_training():
    rng = random.Random(1)
    scorer = CiderD([[random_caption(rng, 12) for _ in range(5)] for _ in range(500)])
    hypotheses, photos = [random_caption(rng, 12) for _ in range(320)], [n // 5 for n in range(320)]
    seconds = []
    for _ in range(5):
        started = time.thread_time()
        scorer.score(hypotheses, photos)
        seconds.append(time.thread_time() - started)
    assert min(seconds) <= 0.060


# --- classes -----------------------------------------------------------------------------------------------------


def test_classification_by_hand():
    actual = ["pos", "pos", "pos", "neg", "neg", "mid"]
    predicted = ["pos", "pos", "neg", "neg", "pos", "neg"]
    assert accuracy(predicted, actual) == pytest.approx(3 / 6)
    positive = 2 * (2 / 3) * (2 / 3) / (2 / 3 + 2 / 3)
    negative = 2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2)
    assert macro_f1(predicted, actual) == pytest.approx((positive + negative + 0) / 3)  # "mid" is never predicted
    assert macro_f1(["new"], ["pos"]) == 0  # a class that is only predicted counts, too
    assert macro_f1([1, 0, 1], [1, 0, 1]) == 1


def test_accuracy_needs_items():
    with pytest.raises(InputError, match="at least one"):
        accuracy([], [])


def test_calibration_error_by_hand():
    # the bin of 0.9 says 0.9 and is right half of the time; that of 0.55 says 0.55 and is always right
    error = expected_calibration_error([0.9, 0.9, 0.55, 0.55], [True, False, True, True], bins=10)
    assert error == pytest.approx((2 * 0.4 + 2 * 0.45) / 4)
    assert expected_calibration_error([1.0, 1.0], [True, True]) == 0
    with pytest.raises(InputError):
        expected_calibration_error([0.5], [])


# --- ranking -------------------------------------------------------------------------------------------------------

SCORES = np.array([[0.9, 0.8, 0.7, 0.6], [-4.0, -1.0, -2.0, -3.0], [5.0, 4.0, 3.0, 2.0]])
RELEVANT = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 0, 1, 0]], dtype=bool)  # ranks 1 3 / 3 4 / 3


def test_success_at_k_by_hand():
    assert [success_at_k(SCORES, RELEVANT, k) for k in (1, 2, 3, 9)] == pytest.approx([1 / 3, 1 / 3, 3 / 3, 3 / 3])


def test_r_precision_by_hand():
    assert r_precision(SCORES, RELEVANT) == pytest.approx((1 / 2 + 0 / 2 + 0 / 1) / 3)
    assert r_precision(RELEVANT, RELEVANT) == 1


def test_equal_scores_are_no_success():
    assert success_at_k(np.zeros_like(SCORES), RELEVANT, 2) == 0  # the two irrelevant ones (three for query 3) lead
    assert success_at_k(np.zeros_like(SCORES), RELEVANT, 3) == pytest.approx(2 / 3)
    assert r_precision(np.zeros_like(SCORES), RELEVANT) == 0


def test_rankings_that_have_no_figure():
    with pytest.raises(InputError, match="Query 1 has no relevant"):
        r_precision(SCORES, RELEVANT & [[True], [False], [True]])
    with pytest.raises(InputError, match="queries, candidates"):
        success_at_k(SCORES, RELEVANT[:, :2], 1)
    with pytest.raises(InputError, match="k of 1"):
        success_at_k(SCORES, RELEVANT, 0)
