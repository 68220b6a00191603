"""Made texts: "not" turns a word, "but" gives the second clause the say, and what tests use training never sees."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from demos.sentiment.__main__ import main
from demos.sentiment.contrasts import adjectives, by_polarity, contrasts
from demos.sentiment.data import Corpus, read_sst
from demos.sentiment.model import EncoderConfig
from demos.sentiment.train import new_classifier, new_tokenizer, save

GOOD = ("charming", "clever", "funny", "great", "lovely", "superb")
BAD = ("awful", "boring", "dull", "poor", "silly", "weak")
WORDS = re.compile("|".join((*GOOD, *BAD, "mighty")))


def predicate(word: str) -> str:
    """(4 (2 It) (4 (2 is) (4 great))) with its full stop"""
    label = 4 if word in GOOD else 0
    return f"({label} (2 It) ({label} ({label} (2 is) ({label} {word})) (2 .)))"


@pytest.fixture
def root(tmp_path) -> Path:
    trees = "\n".join(predicate(word) for word in GOOD + BAD)
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.txt").write_text(f"{trees}\n(4 (2 A) (4 (4 mighty) (2 cat)))\n(2 (2 A) (2 cat))\n")
    return tmp_path


@pytest.fixture
def corpus(root) -> Corpus:
    return read_sst(root)


def test_adjectives_are_rated_words_that_say_what_something_is(corpus):
    assert [e.text for e in adjectives(corpus)] == sorted(GOOD + BAD)  # "mighty" never follows "is"
    negative, positive = by_polarity(adjectives(corpus))
    assert [e.text for e in negative] == list(BAD)
    assert [e.text for e in positive] == list(GOOD)


def side(word: str) -> set[int]:
    return {0, 1} if word in BAD else {3, 4}


def test_each_kind_has_the_class_that_its_words_give_it(corpus):
    texts = contrasts(corpus, "train", 400)
    assert len(texts) == 400
    plain, negated, contrasted, clauses = (texts[kind::4] for kind in range(4))
    assert all(set(e.classes) <= side(WORDS.findall(e.text)[-1]) for e in plain)
    assert all(set(e.classes).isdisjoint(side(WORDS.findall(e.text)[0])) for e in negated)
    assert all(set(e.classes) == side(WORDS.findall(e.text)[-1]) for e in contrasted)
    for example in clauses:
        first, second = WORDS.findall(example.text)
        deciding = first if re.search(", (although|even though) ", example.text) else second
        assert set(example.classes) == side(deciding)


def test_what_is_held_out_is_in_no_training_text(corpus):
    def words(split):
        return {
            word for n, e in enumerate(contrasts(corpus, split, 400)) if n % 4 < 3 for word in WORDS.findall(e.text)
        }

    assert words("train")
    assert words("dev")
    assert not words("train") & words("dev")


def test_the_same_seed_makes_the_same_texts_and_another_others(corpus):
    assert contrasts(corpus, "train", 40) == contrasts(corpus, "train", 40)
    assert contrasts(corpus, "train", 40) != contrasts(corpus, "train", 40, seed=2)


def test_a_corpus_without_rated_words_has_none(corpus):
    assert contrasts(replace(corpus, phrases=()), "train", 40) == []


def test_evaluate_tells_how_many_of_them_are_judged_right(root, corpus, tmp_path, capsys):
    tokenizer = new_tokenizer([corpus], 200)
    save(tokenizer, tmp_path / "best", new_classifier(EncoderConfig(len(tokenizer), 8, 8), [corpus]))
    command = ["evaluate", "--data", str(root), "--split", "dev", "--checkpoint", str(tmp_path / "best"), "--save"]
    assert main(command) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["data"], r["texts"]) for r in records] == [("SST", 14), ("SST, made contrasts", 1000)]
    assert json.loads((tmp_path / "best" / "metrics.json").read_text()) == {"evaluations": records}
