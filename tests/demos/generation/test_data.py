import gzip

import pytest
import torch

from core.errors import InputError
from demos.generation.data import (
    Corpus,
    Lanes,
    build_vocabulary,
    known_pieces,
    read_corpora,
    read_penn_treebank,
    read_reviews,
    spell,
    split_pieces,
    split_text,
    to_ids,
    without_leaks,
)  # fmt: skip
from demos.generation.sources import Source


@pytest.mark.parametrize("kind", ["characters", "abc", "prose"])
@pytest.mark.parametrize("text", ["a b\n\nc  d |\n", "M:4/4\nK:C\n|: C2 D |", "é€\t\n", 'It\'s "so-so"... 7/10!\n\n\n'])
def test_pieces_joined_are_the_text(text, kind):
    assert "".join(split_pieces(text, kind)) == text


def test_a_word_is_the_same_at_the_end_of_a_line():
    assert split_pieces("a b\nb a", "words") == ["a ", "b ", "\n", "b ", "a "]


def test_prose_falls_into_words_with_the_space_before_them_and_marks():
    pieces = split_pieces("I don't like Bob's film... (at all)!\n\nNo.", "prose")
    assert pieces[:8] == ["I", " don't", " like", " Bob", "'s", " film", "...", " ("]
    assert pieces[8:] == ["at", " all", ")", "!", "\n\n", "No", "."]


def test_a_rare_word_is_spelt_in_the_longest_known_pieces():
    index = dict.fromkeys([" super", "man", "s", "u", " ", "m"], 0)
    assert spell(" supermans", index) == [" super", "man", "s"]
    assert spell(" sum", index) == [" ", "s", "u", "m"]
    assert known_pieces(" super é man", "prose", index) == [" super", " ", "é", " ", "man"]


def test_the_vocabulary_of_prose_has_the_frequent_words_and_every_letter():
    corpus = Corpus("films", "Films", "prose", "a fine film\n\n" * 9 + "some rare words\n\n" * 6, "", "")
    vocabulary = build_vocabulary([corpus], largest=4)
    assert vocabulary[5:9] == ("\n\n", "a", " fine", " film")
    assert set(vocabulary[9:]) == set("fine film some rare words\n") - {"a"}
    assert 3 not in to_ids(corpus.train, "prose", {piece: n for n, piece in enumerate(vocabulary)})


def test_reviews_are_read_once_each_shuffled_and_split_between_reviews(tmp_path):
    rows = [f"{n}_9\t1\tReview  {n} is <br /><br />here." for n in range(200)]
    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress("\n".join(["id\tlabel\treview", *rows, rows[0]]).encode()))
    (corpus,) = read_corpora(tmp_path, ["reviews"])
    assert corpus == read_reviews(tmp_path)
    assert corpus.train + corpus.dev + corpus.test == corpus.whole
    reviews = corpus.whole.split("\n\n")[:-1]
    assert len(reviews) == len(set(reviews)) == 200
    assert reviews != sorted(reviews)
    assert "Review 7 is\nhere." in reviews
    assert corpus.test.count("\n\n") == 10
    assert corpus.dev.count("\n\n") == 4


def test_the_parts_are_the_text_in_order_and_cut_at_line_ends():
    text = "".join(f"line {n}\n" for n in range(1000))
    corpus = split_text(Source("x", "X", (), held_out=0.1), text)
    assert corpus.train + corpus.dev + corpus.test == text
    assert all(part.startswith("line") for part in (corpus.dev, corpus.test))
    assert len(corpus.test) == pytest.approx(0.1 * len(text), abs=10)


@pytest.mark.parametrize("text", ["", "short\n", "x" * 5000])
def test_a_text_too_short_or_of_one_line_is_refused(text):
    with pytest.raises(InputError, match="too short"):
        split_text(Source("x", "X", ()), text)


def test_what_another_corpus_holds_out_is_left_out():
    secret = "this long line stands in the held-out part\n"
    lines = [f"an ordinary line of the training text, number {n}\n" for n in range(100)]
    first = Corpus("a", "A", "characters", "".join([*lines[:50], secret, *lines[50:]]), "dev\n", "test\n")
    second = Corpus("b", "B", "characters", "something else\n" * 30, "dev\n", secret)
    cleaned, other = without_leaks([first, second])
    assert secret not in cleaned.train
    assert len(cleaned.train) > 0.7 * len(first.train)
    assert other.train == second.train


def test_an_unknown_corpus_or_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no corpus 'klingon'"):
        read_corpora(tmp_path, ["klingon"])
    with pytest.raises(InputError, match=r"linux_kernel\.c\.gz cannot be read"):
        read_corpora(tmp_path, ["linux"])


def test_penn_treebank_words_end_lines_with_a_token(tmp_path):
    for part in ("train", "valid", "test"):
        (tmp_path / f"ptb.{part}.txt").write_text(" no it was n't \n but <unk> \n")
    corpus = read_penn_treebank(tmp_path)
    assert split_pieces(corpus.test, "words") == ["no ", "it ", "was ", "n't ", "\n", "but ", "<unk> ", "\n"]


def test_vocabulary_holds_specials_tags_and_frequent_pieces(corpora):
    vocabulary = build_vocabulary(corpora, min_count=5)
    assert vocabulary[4:6] == ("<cats>", "<folk>")
    assert "C " in vocabulary
    assert "T" in vocabulary
    assert len(set(vocabulary)) == len(vocabulary)


def test_a_lane_goes_on_where_it_stopped():
    texts = [torch.arange(100, 1100), torch.arange(2000, 3000)]
    lanes = Lanes(texts, [1, 2], [1, 1], lanes=3, chunk=8, stretch=4, stretches=2)
    assert len(lanes) == 8
    for item in range(8):
        tokens = lanes[item]["tokens"]
        assert tokens.shape == (3, 9)
        assert bool(lanes[item]["fresh"]) == (item % 4 == 0)
        if item % 4:
            assert torch.equal(tokens[:, 0], lanes[item - 1]["tokens"][:, -1])
        else:
            assert set(tokens[:, 0].tolist()) <= {1, 2}
        steps = tokens[:, 1:].diff()
        assert bool((steps == 1).all())


def test_epochs_differ_and_repeat_with_their_number():
    texts = [torch.arange(10_000)]
    lanes = Lanes(texts, [1], [1], lanes=2, chunk=8)
    first = lanes[0]["tokens"]
    lanes.set_epoch(1)
    assert not torch.equal(lanes[0]["tokens"], first)
    lanes.set_epoch(0)
    assert torch.equal(lanes[0]["tokens"], first)


def test_unknown_pieces_are_unknown():
    assert to_ids("ab", "characters", {"a": 9}).tolist() == [9, 3]
