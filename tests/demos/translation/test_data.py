"""Reading parallel text, splitting it without leaks, and making batches of it."""

import random
from collections import Counter

import pytest

from core.errors import InputError
from core.input.tokenizers import BOS, EOS
from demos.translation.data import (
    COPY,
    Noise,
    Rounds,
    SentencePair,
    encode_sources,
    multi30k_pairs,
    normalise,
    read_multi30k,
    read_tatoeba,
    with_copies,
)


def test_multi30k_gives_every_direction_of_the_languages_that_are_there(toys):
    pairs = multi30k_pairs(toys, "test2016")
    assert Counter((p.source, p.target) for p in pairs) == {("en", "de"): 12, ("de", "en"): 12}
    assert read_multi30k(toys, "dev")["de"][0] == "Ein Hund schläft hier."


def test_files_that_are_missing_or_not_aligned_are_named(toys, tmp_path):
    with pytest.raises(InputError, match="Multi30k folder"):
        read_multi30k(tmp_path, "train")
    (tmp_path / "train.en").write_text("one\ntwo\n")
    (tmp_path / "train.fr").write_text("un\n")
    with pytest.raises(InputError, match="aligned"):
        read_multi30k(tmp_path, "train")


@pytest.fixture(scope="module")
def tatoeba_lines() -> list[str]:
    lines = []
    for n in range(7000):
        word = f"w{n:05d}"
        lines.append(f"I see {word}.\tJe vois {word}.\tCC-BY 2.0")
        if n % 3 == 0:
            lines.append(f"I see {word}.\tJe regarde {word} !\tCC-BY 2.0")
        if n % 7 == 0:
            lines.append(f"I see {word}!\tJe contemple {word}.\tCC-BY 2.0")  # but for punctuation the same English
        if n % 11 == 0:
            lines.append(f"I can see {word}.\tJe vois {word}.\tCC-BY 2.0")  # the same French
    return lines


@pytest.fixture(scope="module")
def tatoeba(tatoeba_lines, tmp_path_factory):
    file = tmp_path_factory.mktemp("tatoeba") / "fra.txt"
    file.write_text("\n".join(tatoeba_lines), encoding="utf-8")
    return read_tatoeba(file)


def letters(text: str) -> str:
    return text.rstrip(" .!").casefold()


def test_no_held_out_sentence_is_trained_on_in_either_language(tatoeba):
    assert len({en for en, _ in tatoeba.test}) == 2000
    assert len({en for en, _ in tatoeba.dev}) == 1000
    held_out = [*tatoeba.dev, *tatoeba.test]
    assert not {letters(en) for en, _ in tatoeba.train} & {letters(en) for en, _ in held_out}
    assert not {letters(fr) for _, fr in tatoeba.train} & {letters(fr) for _, fr in held_out}
    assert not {en for en, _ in tatoeba.dev} & {en for en, _ in tatoeba.test}
    assert {p.source for p in tatoeba.pairs()} == {"en", "fr"}


def test_the_split_does_not_depend_on_the_order_of_the_file(tatoeba, tatoeba_lines, tmp_path):
    file = tmp_path / "fra.txt"
    file.write_text("\n".join(random.Random(1).sample(tatoeba_lines, len(tatoeba_lines))), encoding="utf-8")
    assert {en for en, _ in read_tatoeba(file).test} == {en for en, _ in tatoeba.test}


def test_all_accepted_translations_are_references(tatoeba):
    items = {item.text: item.references for item in tatoeba.items("test", "en")}
    assert len(items) == 2000
    for english, references in items.items():
        number = int(english.split()[-1][1:6])
        if english.startswith("I see") and english.endswith("."):
            expected = {f"Je vois w{number:05d}."} | ({f"Je regarde w{number:05d} !"} if number % 3 == 0 else set())
            assert set(references) == expected
    back = tatoeba.items("test", "fr")
    assert len(back) == 2000
    assert max(len(item.references) for item in back) == 2  # "Je vois ..." of "I see ..." and "I can see ..."


def test_a_small_or_unreadable_file_is_refused(tmp_path):
    file = tmp_path / "fra.txt"
    file.write_text("Go.\tVa !\n")
    with pytest.raises(InputError, match="only 1 English"):
        read_tatoeba(file)
    with pytest.raises(InputError, match=r"missing\.txt"):
        read_tatoeba(tmp_path / "missing.txt")


def test_normalised_text_is_composed_and_plainly_spaced():
    assert normalise("L\u2019e\u0301te\u0301\u202f!  Oui\xa0?\u200b") == "L'été ! Oui ?"
    assert COPY not in normalise(f"a{COPY}b")


def test_only_names_and_numbers_on_both_sides_are_copied():
    pair = "Tom has 3 cats in Boston.", "Tom hat 3 Katzen in Boston."
    assert with_copies(*pair, lambda: True) == (
        f"{COPY} has {COPY} cats in {COPY}.",
        f"{COPY} hat {COPY} Katzen in {COPY}.",
    )
    assert with_copies(*pair, lambda: False) == pair
    twice = "Tom and Tom", "Tom und Tom"
    assert with_copies(*twice, lambda: True) == twice  # which is which, attention could not tell


def test_a_source_begins_with_its_language_and_the_one_to_write(tokenizer):
    ids = encode_sources(tokenizer, ["A dog.", "<to-fr>"], [("en", "de"), ("de", "en")])
    assert tokenizer.convert_ids_to_tokens(ids[0][:2]) == ["<from-en>", "<to-de>"]
    assert tokenizer.convert_ids_to_tokens(ids[1][:2]) == ["<from-de>", "<to-en>"]
    assert tokenizer.convert_tokens_to_ids("<to-fr>") not in ids[1]  # a tag that somebody types is text
    assert [row[-1] for row in ids] == [EOS, EOS]


def test_a_placeholder_is_a_token_of_its_own_and_survives_decoding(tokenizer):
    text = f"A {COPY}'s dog, {COPY}."
    ids = encode_sources(tokenizer, [text], [("en", "de")])[0]
    assert ids.count(tokenizer.convert_tokens_to_ids(COPY)) == 2
    assert tokenizer.decode(ids[2:-1]) == text


QUIET = Noise(0.0, 0.0, 0.0)


def sources_of(rounds: Rounds) -> list[tuple[int, ...]]:
    return sorted(tuple(source) for batch in rounds.batches for source, _ in batch)


def test_every_pair_comes_equally_often_however_rounds_fall(tokenizer):
    corpus = [SentencePair("en", "de", f"A dog {n}.", f"Ein Hund {n}.") for n in range(30)]
    rounds = Rounds([corpus, corpus[:7]], [20, 5], tokenizer, 200, QUIET)
    seen = Counter()
    for number in range(21):
        rounds.set_epoch(number)
        assert sum(map(len, rounds.batches)) == 25
        seen.update(sources_of(rounds))
    # 21 * 20 / 30 passes of the one, and 21 * 5 / 7 of the other
    assert set(seen.values()) == {14, 14 + 15}


def test_batches_keep_within_their_tokens_and_are_whole_sentences(tokenizer, toys):
    rounds = Rounds([multi30k_pairs(toys, "train")], [300], tokenizer, 150, Noise())
    assert sum(len(batch) for batch in rounds.batches) == 300
    for batch in rounds:
        source, target = batch["source"], batch["target"]
        assert max(source.shape[1], target.shape[1]) * len(source) <= 150
        assert (target[:, 0] == BOS).all()
        assert ((target == EOS).sum(1) == 1).all()


def test_a_round_is_the_same_whenever_it_is_drawn_and_rounds_differ(tokenizer, toys):
    pairs = multi30k_pairs(toys, "train")
    first, second = Rounds([pairs], [100], tokenizer, 300, Noise()), None
    second = Rounds([pairs], [100], tokenizer, 300, Noise())
    second.set_epoch(3)
    assert sources_of(first) != sources_of(second)
    first.set_epoch(3)
    assert first.batches == second.batches


def test_sources_are_sometimes_typed_carelessly_but_never_the_targets(tokenizer, toys):
    pairs = multi30k_pairs(toys, "train")
    rounds = Rounds([pairs], [400], tokenizer, 500, Noise(0.0, lower=1.0, bare=1.0))
    for source, target in rounds.batches[0]:
        text = tokenizer.decode(source[2:-1])
        assert text == text.lower()
        assert not text.endswith(".")
        assert tokenizer.decode(target[1:-1]).endswith(".")
