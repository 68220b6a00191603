"""Text to phonemes to visemes."""

import pytest

from core.errors import InputError
from demos.lipreading.phonemes import VISEMES, pronounce, pronounce_word


def looks_like(word: str, other: str) -> bool:
    return pronounce_word(word).visemes == pronounce_word(other).visemes


def test_each_phoneme_looks_one_way():
    phonemes = [phoneme for group in VISEMES.values() for phoneme in group]
    assert len(phonemes) == len(set(phonemes)) == 39  # of ARPAbet


def test_voicing_and_the_nose_do_not_show():
    assert pronounce_word("pat").visemes == ("closed lips", "half open", "tongue up")
    assert {word for word in ("bat", "mat", "cat", "fat", "pad") if looks_like(word, "pat")} == {"bat", "mat", "pad"}
    assert looks_like("fan", "van")
    assert not looks_like("fan", "pan")


def test_a_single_letter_is_its_name():
    assert [pronounce_word(letter).phonemes for letter in "abw"] == [
        ("EY",), ("B", "IY"), ("D", "AH", "B", "AH", "L", "Y", "UW"),
    ]  # fmt: skip


def test_words_out_of_the_dictionary_are_said_by_their_spelling():
    word = pronounce_word("splonkish")
    assert word.guessed
    assert word.phonemes == ("S", "P", "L", "AA", "N", "K", "IH", "SH")
    assert not pronounce_word("hello").guessed


def test_every_word_of_a_sentence_in_order():
    assert [p.word for p in pronounce("Place blue, at “F” two — NOW!")] == ["place", "blue", "at", "f", "two", "now"]
    assert [p.word for p in pronounce("don't, it’s")] == ["don't", "it's"]


@pytest.mark.parametrize("text", ["", "  ", "123 !", "안녕"])
def test_no_word_is_said_so(text):
    with pytest.raises(InputError, match="no English word"):
        pronounce(text)
