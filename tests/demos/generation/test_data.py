import gzip
import lzma

import pytest
import torch

from core.errors import InputError
from demos.generation.data import (
    BpttBatches,
    BpttConfig,
    Corpus,
    build_vocabulary,
    known_pieces,
    read_corpora,
    read_text,
    spell,
    split_pieces,
    split_text,
    to_ids,
    without_leaks,
)
from demos.generation.sources import Source


@pytest.mark.parametrize("kind", ["characters", "abc", "prose"])
@pytest.mark.parametrize("text", ["a b\n\nc  d |\n", "M:4/4\nK:C\n|: C2 D |", "é€\t\n", 'It\'s "so-so"... 7/10!\n\n\n'])
def test_pieces_joined_are_the_text(text, kind):
    assert "".join(split_pieces(text, kind)) == text


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
    corpus = Corpus(Source("films", "Films", (), "prose"), "a fine film\n\n" * 9 + "some rare words\n\n" * 6, "", "")
    vocabulary = build_vocabulary([corpus], largest=4)
    assert vocabulary[5:9] == ("\n\n", "a", " fine", " film")
    assert set(vocabulary[9:]) == set("fine film some rare words\n") - {"a"}
    assert 3 not in to_ids(corpus.train, "prose", {piece: n for n, piece in enumerate(vocabulary)})


@pytest.mark.parametrize(("ending", "compress"), [("gz", gzip.compress), ("xz", lzma.compress)])
def test_reviews_are_read_once_each_shuffled_and_split_between_reviews(tmp_path, ending, compress):
    rows = [f"{n}_9\t1\tReview  {n} is <br /><br />here." for n in range(200)]
    (tmp_path / "imdb").mkdir()
    table = "\n".join(["id\tlabel\treview", *rows, rows[0]]).encode()
    (tmp_path / "imdb" / f"train.tsv.{ending}").write_bytes(compress(table))
    (corpus,) = read_corpora(tmp_path, ["reviews"])
    assert corpus.train + corpus.dev + corpus.test == corpus.whole
    reviews = corpus.whole.split("\n\n")[:-1]
    assert len(reviews) == len(set(reviews)) == 200
    assert reviews != sorted(reviews)
    assert "Review 7 is\nhere." in reviews
    assert corpus.test.count("\n\n") == 10
    assert corpus.dev.count("\n\n") == 4


def test_a_text_is_read_as_it_is_or_compressed_and_what_is_none_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\r")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("é\n".encode()))
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "d.txt.xz").write_bytes(b"no archive")
    assert read_text(tmp_path / "a.txt") == "one\ntwo\r"
    assert read_text(tmp_path / "b.txt") == read_text(tmp_path / "b.txt.gz") == "é\n"
    with pytest.raises(InputError, match=r"c\.txt is not text in UTF-8"):
        read_text(tmp_path / "c.txt")
    for name in ("d.txt", "e.txt"):
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            read_text(tmp_path / name)


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
    first = Corpus(Source("a", "A", ()), "".join([*lines[:50], secret, *lines[50:]]), "dev\n", "test\n")
    second = Corpus(Source("b", "B", ()), "something else\n" * 30, "dev\n", secret)
    cleaned, other = without_leaks([first, second])
    assert secret not in cleaned.train
    assert len(cleaned.train) > 0.7 * len(first.train)
    assert other.train == second.train


def test_an_unknown_corpus_or_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no corpus 'klingon'"):
        read_corpora(tmp_path, ["klingon"])
    with pytest.raises(InputError, match=r"linux_kernel\.c cannot be read"):
        read_corpora(tmp_path, ["linux"])


def test_vocabulary_holds_specials_tags_and_frequent_pieces(corpora):
    vocabulary = build_vocabulary(corpora, min_count=5)
    assert vocabulary[4:6] == ("<cats>", "<folk>")
    assert "C " in vocabulary
    assert "T" in vocabulary
    assert len(set(vocabulary)) == len(vocabulary)


def test_a_row_goes_on_where_it_stopped():
    texts = [torch.arange(100, 1100), torch.arange(2000, 3000)]
    batches = BpttBatches(texts, [1, 2], [1, 1], BpttConfig(batch_size=3, segment=8, segments=4, excerpts=2))
    assert len(batches) == 8
    for item in range(8):
        tokens = batches[item]["tokens"]
        assert tokens.shape == (3, 9)
        assert bool(batches[item]["fresh"]) == (item % 4 == 0)
        if item % 4:
            assert torch.equal(tokens[:, 0], batches[item - 1]["tokens"][:, -1])
        else:
            assert set(tokens[:, 0].tolist()) <= {1, 2}
        steps = tokens[:, 1:].diff()
        assert bool((steps == 1).all())


def test_an_excerpt_begins_where_a_line_does():
    text = torch.arange(1000) % 50 + 100
    batches = BpttBatches([text], [1], [1], BpttConfig(8, 4, 2), line_end=149)
    assert set(batches[0]["tokens"][:, 1].tolist()) == {100}


def test_a_text_shorter_than_an_excerpt_is_refused():
    with pytest.raises(InputError, match="shorter than the 2,048 pieces"):
        BpttBatches([torch.arange(2048)], [1], [1], BpttConfig())


def test_epochs_differ_and_repeat_with_their_number():
    batches = BpttBatches([torch.arange(10_000)], [1], [1], BpttConfig(batch_size=2, segment=8))
    first = batches[0]["tokens"]
    batches.set_epoch(1)
    assert not torch.equal(batches[0]["tokens"], first)
    batches.set_epoch(0)
    assert torch.equal(batches[0]["tokens"], first)


def test_unknown_pieces_are_unknown():
    assert to_ids("ab", "characters", {"a": 9}).tolist() == [9, 3]
