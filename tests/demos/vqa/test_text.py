import pytest

from core.errors import InputError
from core.input.tokenizers import train_word_tokenizer
from demos.vqa.text import QuestionParser, mirrored_tokens, normalise, normalise_answer


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("What's the colour of the bus?", "what is the color of the bus?"),
        ("Isn’t  it GREY", "is it gray"),
    ],
)
def test_questions_are_read_in_one_spelling(typed, read):
    assert normalise(typed) == read


@pytest.mark.parametrize(
    ("answer", "form"),
    [("Garbage_bin, Sofa", "garbage bin and sofa"), ("Two", "2"), ("a cat.", "cat"), ("two cats", "two cats")],
)
def test_answers_are_compared_in_one_form(answer, form):
    assert normalise_answer(answer) == form


def test_in_a_mirror_left_is_right():
    tokenizer = train_word_tokenizer(["left of the right bed"])
    swapped = mirrored_tokens(tokenizer)
    ids = [swapped.get(token, token) for token in tokenizer("left of the right bed")["input_ids"]]
    assert tokenizer.decode(ids) == "right of the left bed"


def test_words_that_are_unknown_become_the_nearest_or_are_named(tokenizer):
    parser = QuestionParser(tokenizer)
    plain = parser.question("what color is the bus")
    assert parser.question("What color is the bus?").ids[: len(plain.ids)] == plain.ids
    assert parser.question("where is the frisbees").read_as == {"frisbees": "frisbee"}
    assert parser.question("where is the frisbe").read_as == {"frisbe": "frisbee"}
    assert parser.question("where is the xylophone").unknown == ("xylophone",)


@pytest.mark.parametrize("text", ["", "  ", "😀", "?!", "Что это", None, 7, "x" * 10_001])
def test_what_has_no_known_word_gets_a_sentence(tokenizer, text):
    with pytest.raises(InputError):
        QuestionParser(tokenizer).question(text)


def test_a_long_question_is_read_to_its_limit(tokenizer):
    assert 0 < len(QuestionParser(tokenizer).question("what is the bus " * 600).ids) <= 24
