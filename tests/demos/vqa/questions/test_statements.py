"""Whole captions as yes/no questions."""

import pytest

from demos.vqa.questions.description import Description, Phrasing
from demos.vqa.questions.phrases import parse
from demos.vqa.questions.statements import Statements, statement

COLLECTION = {
    "beach": ["A man riding a horse on the beach.", "Two dogs are running in the sand."],
    "kitchen": ["A man is cutting a pizza in a kitchen.", "A man cuts pizza."],
    "field": ["A man throws a frisbee.", "Two dogs are chasing a frisbee in a field.", "A man riding a horse."],
}


@pytest.mark.parametrize(
    ("caption", "start", "rest"),
    [
        ("A man riding a horse on the beach.", ("is", "the man"), "riding a horse on the beach"),
        ("Two dogs are running.", ("are", "the dogs"), "running"),
        ("A white cat on a bed", ("is", "the cat"), "on a bed"),
    ],
)
def test_what_a_caption_says_of_its_subject(caption, start, rest):
    found = statement(parse(caption))
    assert (found.start, " ".join(found.rest)) == (start, rest)


@pytest.mark.parametrize("caption", ["A man throws a frisbee.", "This is a kitchen.", "A man and a dog.", "Pizza!", ""])
def test_a_caption_of_another_form_says_nothing_plain(caption):
    assert statement(parse(caption)) is None


def made(photo: str, seeds: int = 30) -> dict[str, set[str]]:
    """{"yes" | "no": questions} over many seeds"""
    statements, found = Statements(COLLECTION), {"yes": set(), "no": set()}
    for seed in range(seeds):
        questions = list(statements.questions(Description(COLLECTION[photo]), Phrasing(seed)))
        assert sum(q.answer == "yes" for q in questions) * 2 == len(questions)  # one "no" for each "yes"
        for question in questions:
            found[question.answer].add(question.question)
    return found


def test_captions_of_the_photo_are_true_and_those_of_others_are_not():
    found = made("beach")
    assert found["yes"] == {"Is the man riding a horse?", "Is the man riding a horse on the beach?",
                            "Are the dogs running in the sand?"}  # fmt: skip
    assert found["no"] == {"Is the man cutting a pizza?", "Is the man cutting a pizza in a kitchen?",
                           "Are the dogs chasing a frisbee?", "Are the dogs chasing a frisbee in a field?"}  # fmt: skip


def test_a_subject_of_which_nothing_else_is_known_is_not_asked_about():
    alone = {"cat": ["A cat sleeping on a bed."]}
    assert not list(Statements(alone).questions(Description(alone["cat"]), Phrasing(1)))
