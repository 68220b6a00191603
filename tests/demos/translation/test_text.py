"""What somebody typed, as the network reads it."""

import string
import time

import pytest

from demos.translation.data import COPY
from demos.translation.text import MAX_WORDS, prepare, split_sentences

ALPHABET = frozenset(string.printable + "äöüßéèÄÖÜ„“«»…") - {"\n"}


def pieces(word: str) -> int:
    """As a tokenizer would that knows these words."""
    return 1 if word.strip("-'").lower() in {"hello", "the", "house", "met", "in", "and"} else len(word)


def copied(text: str) -> tuple[str, ...]:
    return prepare(text, "en", ALPHABET, pieces).copied


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("How are you? I am fine.", ["How are you?", "I am fine."]),
        ('He said "Go!" Then he left.', ['He said "Go!"', "Then he left."]),
        ("Mr. Smith met Dr. Who. They sat.", ["Mr. Smith met Dr. Who.", "They sat."]),
        ("Version 2.5 is out, e.g. here.", ["Version 2.5 is out, e.g. here."]),
        ("Wirklich?! Ärger droht … „Ja.“", ["Wirklich?!", "Ärger droht …", "„Ja.“"]),
        ("   ", []),
        ("no end", ["no end"]),
    ],
)
def test_a_line_is_cut_into_its_sentences(line, sentences):
    assert split_sentences(line) == sentences


def test_an_endless_sentence_is_cut_at_commas_and_nothing_is_lost():
    words = [f"word{n}" + ("," if n % 30 == 29 else "") for n in range(500)]
    parts = split_sentences(" ".join(words))
    assert " ".join(parts) == " ".join(words)
    assert max(len(part.split()) for part in parts) <= MAX_WORDS
    assert all(part.endswith(",") for part in parts[:-1])
    plain = split_sentences("word " * 5000)
    assert sum(len(part.split()) for part in plain) == 5000


def test_names_addresses_numbers_and_foreign_letters_are_copied():
    text = "Zbigniew met 王小明 in https://example.org/a?b=1 and x.y@example.org and 1987, Жуков!"
    source = prepare(text, "en", ALPHABET, pieces)
    assert source.copied == ("Zbigniew", "王小明", "https://example.org/a?b=1", "x.y@example.org", "1987", "Жуков")
    assert source.text == f"{COPY} met {COPY} in {COPY} and {COPY} and {COPY}, {COPY}!"
    assert not source.only_copies


def test_known_words_and_punctuation_stay():
    source = prepare("Hello, the house! “7”", "en", ALPHABET | set("“”"), pieces)
    assert source.copied == ()
    assert source.text == "Hello, the house! “7”"


def test_words_that_were_learnt_are_translated_though_they_look_like_names_or_foreign():
    text = "Hello, the T-shirt met Zbigniew in T-SHIRT and rodéo."
    assert copied(text) == ("T-shirt", "Zbigniew", "T-SHIRT", "rodéo")
    known = frozenset({"t-shirt", "rodéo"})
    assert prepare(text, "en", ALPHABET, pieces, known).copied == ("Zbigniew",)


def test_emoji_are_copied_and_punctuation_beside_them_stays():
    assert copied("Hello 😀👍🏽!!!") == ("😀👍🏽",)
    assert prepare("Hello 😀!!!", "en", ALPHABET, pieces).text == f"Hello {COPY}!!!"


@pytest.mark.parametrize("text", ["😀", "1234567", "!!!", "王小明", "x" * 10_000, "42"])
def test_text_without_a_word_has_nothing_to_translate(text):
    assert prepare(text, "en", ALPHABET, pieces).only_copies


def test_html_is_kept_from_the_network():
    source = prepare("<b>Hello</b> the<br>", "en", ALPHABET, pieces)
    assert (source.text, source.copied) == ("Hello the", ())
    assert [(e.opening, e.closing) for e in source.elements] == [("<b>", "</b>"), ("<br>", "")]


def test_capitals_throughout_are_read_as_a_sentence():
    assert prepare("THE HOUSE!", "en", ALPHABET, pieces).text == "The house!"
    assert prepare("Hello", "en", ALPHABET, pieces).text == "Hello"


@pytest.mark.parametrize(
    "text", ["<" + "a" * 99_999, "@" * 40_000, "a.a" * 33_000, "a@" * 50_000, "😀a" * 10_000, "Mr. " * 25_000],
    ids=lambda text: text[:4],
)  # fmt: skip
def test_a_long_word_takes_no_longer_than_its_length_asks(text):
    start = time.process_time()
    for sentence in split_sentences(text):
        prepare(sentence, "en", ALPHABET, lambda word: 1)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("to x.y@z.org, now", ("x.y@z.org",)),
        ("a@ b", ()),
        ("@a", ()),
        ("x@y", ()),
        ("in x@yz!", ("x@yz",)),
        ("a@b@cd.", ("a@b@cd",)),
    ],
)
def test_addresses_reach_from_space_to_their_last_letter(text, words):
    assert tuple(word for word in copied(text) if "@" in word) == words
