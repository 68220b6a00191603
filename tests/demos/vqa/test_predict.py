import math
from dataclasses import replace

import pytest
from PIL import Image

from core.errors import InputError
from demos.vqa.predict import Answer, VQAOptions, VQAResult


def test_an_open_question_gets_ranked_answers_with_and_without_the_photo(predictor, photo):
    result = predictor(photo, "what color is the bus", VQAOptions(answers=4))
    assert len(result.answers) == 4
    logprobs = [answer.logprob for answer in result.answers]
    assert logprobs == sorted(logprobs, reverse=True)
    assert result.text == result.answers[0].text
    for answer in result.answers:
        assert answer.probability == pytest.approx(math.exp(answer.logprob), abs=1e-4)
        assert answer.blind_probability == pytest.approx(math.exp(answer.blind_logprob), abs=1e-4)
    assert result.hops.shape == (2, 7, 7)
    assert all(0 < share < 1 for share in result.looked)
    assert {"hops", "looked"}.isdisjoint(result.to_dict())


def test_multiple_choice_ranks_what_was_typed(predictor, photo):
    result = predictor(photo, "what color is the bus", VQAOptions(("red", "Blue", "no such thing", "red")))
    assert {answer.text for answer in result.answers} == {"red", "Blue", "no such thing"}
    assert sum(answer.probability for answer in result.answers) == pytest.approx(1, abs=1e-4)
    assert sum(answer.blind_probability for answer in result.answers) == pytest.approx(1, abs=1e-4)
    assert result.blind_text in {"red", "Blue", "no such thing"}


def test_the_blind_answer_is_the_same_for_every_photo(predictor, coco):
    results = [predictor(coco / "images" / f"{name}.jpg", "what is the man doing") for name in ("cat", "horse")]
    assert results[0].blind_text == results[1].blind_text
    assert results[0].answers[0].logprob != pytest.approx(results[1].answers[0].logprob, abs=1e-4)


def test_a_share_of_the_language_prior_is_taken_away_with_the_photo_and_without(predictor, photo):
    choices = VQAOptions(("yes", "no"))
    plain = {a.text: a for a in predictor(photo, "is this a dog", choices).answers}
    predictor.model.config = replace(predictor.model.config, language_prior=0.75)
    fair = {a.text: a for a in predictor(photo, "is this a dog", choices).answers}

    def odds(answers: dict[str, Answer], field: str) -> float:
        return getattr(answers["yes"], field) - getattr(answers["no"], field)

    wording = odds(plain, "blind_logprob")
    assert odds(fair, "logprob") == pytest.approx(odds(plain, "logprob") - 0.75 * wording, abs=2e-3)
    assert odds(fair, "blind_logprob") == pytest.approx(0.25 * wording, abs=2e-3)
    with pytest.raises(InputError, match="language_prior"):
        replace(predictor.model.config, language_prior=1.0)


def test_a_photo_can_be_seen_at_another_size_than_in_training(predictor, photo):
    before = predictor(photo, "what color is the bus")
    predictor.model.config = replace(predictor.model.config, test_size=224)
    assert predictor(photo, "what color is the bus").answers == before.answers  # the encoder's own size
    predictor.model.config = replace(predictor.model.config, test_size=200)
    assert predictor(photo, "what color is the bus").answers != before.answers
    with pytest.raises(InputError, match="193 to 224 pixels"):
        replace(predictor.model.config, test_size=256)


def test_many_requests_keep_their_order_and_errors_their_place(predictor, photo, tmp_path):
    missing = tmp_path / "missing.jpg"
    requests = [
        (photo, "what is this", VQAOptions()),
        (photo, "", VQAOptions()),
        (missing, "what is this", VQAOptions()),
        (Image.open(photo), "what is this", VQAOptions()),
        (photo, "what is this", InputError("a bad line")),
        (photo, "how many dogs are there", VQAOptions(("1", "2"))),
    ]
    results = list(predictor.stream(requests))
    assert [isinstance(r, VQAResult) for r in results] == [True, False, False, True, False, True]
    assert results[0].text == results[3].text
    assert str(results[4]) == "a bad line"
    alone = predictor(photo, "how many dogs are there", VQAOptions(("1", "2")))
    assert alone.answers == results[5].answers


@pytest.mark.parametrize(
    "options",
    [{"answers": 0}, {"answers": 21}, {"answers": True}, {"choices": "red"}, {"choices": ["x"] * 51}],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(InputError):
        VQAOptions(**options)


@pytest.mark.parametrize("choice", ["", "  ", "😀", "x" * 201])
def test_a_choice_needs_a_word(predictor, photo, choice):
    with pytest.raises(InputError):
        predictor(photo, "what is this", VQAOptions((choice, "red")))
