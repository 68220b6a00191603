import gzip
import lzma

import pytest
import torch

from core.errors import InputError
from core.input.tokenizers import BOS, EOS, PAD
from demos.sentiment.data import (
    COARSE,
    FINE,
    Batches,
    cut_middle,
    join_tokens,
    polarity,
    read_corpus,
    read_tree,
    stream_chunks,
    strip_html,
)


def test_a_tree_gives_every_phrase_with_its_label_and_the_sentence_last():
    found = read_tree("(3 (2 It) (4 (2 (2 is) (2 n't)) (1 (0 bad) (2 .))))")
    assert [(p.text, p.classes) for p in found] == [
        ("It", (2,)), ("is", (2,)), ("n't", (2,)), ("isn't", (2,)), ("bad", (0,)), (".", (2,)), ("bad.", (1,)),
        ("isn't bad.", (4,)), ("It isn't bad.", (3,)),
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["", "no tree", "(3 (2 It)", "(3 It))", "word) (2 x)"])
def test_what_is_no_tree_is_refused(line):
    with pytest.raises(InputError, match="not a sentiment tree"):
        read_tree(line)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("It 's n't bad , is it ?", "It'sn't bad, is it?"),
        ("-LRB- or not -RRB- ...", "(or not)..."),
        ("a co-writer\\/director 's `` cut ''", 'a co-writer/director\'s " cut "'),
        ("you ca n't , they 've", "you can't, they've"),
    ],
)
def test_treebank_tokens_are_joined_as_people_write(tokens, text):
    assert join_tokens(tokens.split()) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("One.<br /><br />Two &amp; three", "One. Two & three"),
        ("a < b and c > d <3", "a < b and c > d <3"),
        ("<p class='x'>It’s “fine”</p>", 'It\'s "fine"'),
        ("  \n\t ", ""),
        ("<div></div>", ""),
    ],
)
def test_text_is_freed_of_html(raw, text):
    assert strip_html(raw) == text


def test_sst_has_sentences_in_each_split_and_phrases_once(sst):
    corpus = read_corpus(sst)
    assert (corpus.name, corpus.language, corpus.class_names) == ("SST", "english", FINE)
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (132, 33, 33)
    texts = [phrase.text for phrase in corpus.phrases]
    assert len(texts) == len(set(texts))
    assert {"A", "great", "great film"} <= set(texts)
    assert not set(texts) & {sentence.text for sentence in corpus.train}


def test_imdb_keeps_a_dev_set_apart_and_drops_what_the_test_set_holds(imdb):
    corpus = read_corpus(imdb)
    train, dev, test = ({e.text for e in split} for split in (corpus.train, corpus.dev, corpus.test))
    assert len(test) == 33
    assert len(train) + len(dev) == 32
    assert len(dev) == 3
    assert not train & (dev | test)
    assert not dev & test
    assert "The same words & the same film." in test
    assert {e.classes for e in corpus.train} == {(0, 1), (3, 4)}
    assert not any("<br" in text for text in train)


def test_imdb_s_official_folders_read_like_its_table(imdb, tmp_path):
    for split in ("train", "test"):
        with gzip.open(imdb / f"{split}.tsv.gz", "rt", encoding="utf-8") as rows:
            next(rows)
            for row in rows:
                name, label, text = row.rstrip("\n").split("\t")
                folder = tmp_path / split / ("pos" if label == "1" else "neg")
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    table, folders = read_corpus(imdb), read_corpus(tmp_path)
    assert set(table.test) == set(folders.test)
    assert set(table.train + table.dev) == set(folders.train + folders.dev)


@pytest.mark.parametrize(("ending", "compress"), [("tsv", bytes), ("tsv.xz", lzma.compress)])
def test_a_table_may_be_compressed_in_another_way_or_not_at_all(imdb, tmp_path, ending, compress):
    for split in ("train", "test"):
        (tmp_path / f"{split}.{ending}").write_bytes(compress(gzip.decompress((imdb / f"{split}.tsv.gz").read_bytes())))
    assert read_corpus(tmp_path) == read_corpus(imdb)


def test_nsmc_without_a_dev_file_takes_its_dev_set_from_the_training_set(nsmc, tmp_path):
    corpus = read_corpus(nsmc)
    assert (corpus.name, corpus.language, corpus.class_names) == ("NSMC", "korean", COARSE)
    assert (len(corpus.train), len(corpus.test)) == (216, 18)
    rows = [f"{n}\t영화 {n}\t{n % 2}" for n in range(6100)]
    for split in ("train", "test"):
        (tmp_path / f"ratings_{split}.txt").write_text("\n".join(["id\tdocument\tlabel", *rows]), encoding="utf-8")
    corpus = read_corpus(tmp_path)
    assert (len(corpus.train), len(corpus.dev)) == (100, 6000)
    assert corpus.train[1].classes == (1,)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="neither SST trees"):
        read_corpus(tmp_path)
    (tmp_path / "dev.txt").write_text("(2 (2 a) (2 b))")
    with pytest.raises(InputError, match=r"train.txt is missing"):
        read_corpus(tmp_path)


@pytest.mark.parametrize(
    ("classes", "count", "expected"),
    [((0,), 5, 0), ((1,), 5, 0), ((2,), 5, None), ((3, 4), 5, 1), ((0, 1), 5, 0), ((0,), 2, 0), ((1,), 2, 1)],
)
def test_polarity_is_the_half_that_the_classes_lie_in(classes, count, expected):
    assert polarity(classes, count) == expected


def test_long_texts_lose_their_middle():
    ids = [BOS, *range(4, 40), EOS]
    assert cut_middle(ids, 38) == ids
    short = cut_middle(ids, 12)
    assert len(short) == 12
    assert short[:3] == ids[:3]
    assert short[3:] == ids[-9:]


def test_training_batches_are_new_in_each_epoch_and_the_same_for_the_same_epoch():
    ids = [[BOS, *[5] * (n % 40), EOS] for n in range(300)]
    batches = Batches(ids, [(n % 5,) for n in range(300)], 5, 16, 256)
    first = [list(rows) for rows in batches.rows]
    batches.set_epoch(1)
    assert batches.rows != first
    batches.set_epoch(0)
    assert batches.rows == first
    item = batches[3]
    assert item["tokens"].shape == (len(first[3]), int(item["lengths"].max()))
    assert torch.equal((item["tokens"] != PAD).sum(1), item["lengths"])
    assert item["targets"].sum(1).eq(1).all()
    assert item["targets"].float().argmax(1).tolist() == [row % 5 for row in first[3]]


def test_a_stream_is_cut_into_chunks_without_loss_but_at_its_end():
    chunks = stream_chunks([[BOS, 5, 6, EOS], [BOS, 7, EOS], [BOS, 8]], 4)
    assert chunks.tolist() == [[BOS, 5, 6, EOS], [BOS, 7, EOS, BOS]]
