"""Training, evaluation, folk tunes, units, tab and command line."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import InputError
from core.training.loop import TrainingConfig
from demos.generation import __main__ as cli
from demos.generation import tab
from demos.generation.bars import check_bars
from demos.generation.data import to_ids
from demos.generation.dynamic import STRETCHES
from demos.generation.evaluate import longest_copy, save_record, text_scores, xz_bits
from demos.generation.folk import parses, to_abc, tunes
from demos.generation.model import TextGenerator
from demos.generation.predict import GenerationOptions, GenerationPredictor
from demos.generation.train import (
    MOMENTS,
    Recipe,
    SampledLoss,
    four_moments,
    going_on_from,
    stateful_loss,
    train_generator,
)
from demos.generation.units import best_units


@pytest.fixture(scope="module")
def trained(corpora, recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return train_generator(corpora, recipe, folder), folder


def test_training_learns_and_keeps_samples_with_step_and_loss(trained, corpora):
    log, folder = trained
    assert log[-1]["dev"]["cats"] < 0.9 * math.log(40)
    moments = json.loads((folder / "best" / MOMENTS).read_text())
    assert moments[-1]["step"] == log[-1]["step"]
    assert set(moments[-1]["samples"]) == {"cats", "folk"}
    model = TextGenerator.from_pretrained(folder / "best")
    scores = text_scores(model, corpora[0], "dev")
    assert scores["bits_per_character"] == pytest.approx(scores["nats_per_character"] / math.log(2), abs=1e-3)
    assert scores["nats_per_character"] == pytest.approx(log[-1]["dev"]["cats"], abs=0.02)


def test_a_training_can_go_on_from_a_checkpoint_but_not_for_a_corpus_it_lacks(trained, corpora, recipe, tmp_path):
    start = TextGenerator.from_pretrained(trained[1] / "best")
    earlier = json.loads((trained[1] / MOMENTS).read_text())
    log = train_generator(corpora, recipe, tmp_path, start=start, earlier=earlier)
    assert log[-1]["dev"]["cats"] < trained[0][-1]["dev"]["cats"]
    steps = [moment["step"] for moment in json.loads((tmp_path / MOMENTS).read_text())]
    assert steps == [log[-1]["step"], 2 * log[-1]["step"]]
    assert TextGenerator.from_pretrained(tmp_path / "best").config.corpora == start.config.corpora
    other = type(corpora[0])(**{**vars(corpora[0]), "name": "dogs"})
    with pytest.raises(InputError, match="has not learnt dogs"):
        train_generator([other], recipe, tmp_path, start=start)


def test_a_network_that_learns_as_it_reads_is_measured_beside(trained, corpora):
    model = TextGenerator.from_pretrained(trained[1] / "best")
    scores = text_scores(model, replace(corpora[0], whole=""), "dev", limit=120, dynamic="all")
    assert scores["dynamic_perplexity"] < scores["perplexity"]  # every line is like the one before
    bits = math.log2(scores["dynamic_perplexity"])
    assert scores["dynamic_bits_per_character"] == pytest.approx(bits, abs=1e-3)
    assert scores["dynamic_stretch"] in STRETCHES
    assert "xz_bits_per_character" not in scores  # of a corpus in parts nobody knows the whole


def test_a_network_that_goes_on_with_some_of_its_corpora_becomes_theirs_alone(trained, corpora, recipe, tmp_path):
    whole = TextGenerator.from_pretrained(trained[1] / "best")
    narrow = going_on_from(whole, corpora[:1], dropout=0.3).eval()
    assert [entry[0] for entry in narrow.config.corpora] == ["cats"]
    assert narrow.config.vocabulary[4:5] == ("<cats>",)
    assert set(narrow.config.vocabulary[5:]) == set(corpora[0].train)  # no token of a tune
    assert (narrow.config.decoder.dropout, narrow.decoder.dropout.p) == (0.3, 0.3)
    before, after = ({p: n for n, p in enumerate(m.config.vocabulary)} for m in (whole, narrow))
    text, rows = ["<cats>", *"The cat"], [before[piece] for piece in narrow.config.vocabulary]
    with torch.inference_mode():
        logits = [m(torch.tensor([[ix[p] for p in text]])).logits for m, ix in ((whole, before), (narrow, after))]
    torch.testing.assert_close(logits[1], logits[0][..., rows])
    log = train_generator(corpora[:1], recipe, tmp_path, start=whole)
    assert log[-1]["dev"]["cats"] < text_scores(narrow, corpora[0], "dev")["nats_per_character"]
    assert GenerationPredictor.from_pretrained(tmp_path / "best")("cats", "The cat").text


def test_a_network_of_words_learns_from_a_sample_of_its_vocabulary(reviews, tmp_path):
    training = TrainingConfig(epochs=2, learning_rate=2e-2, schedule="constant", warmup_steps=4, average=0.8)
    recipe = Recipe(1, 32, 16, 0.0, 4, 16, 8, 3, training, stretches=4, largest=20, negatives=10)
    log = train_generator([reviews], recipe, tmp_path)
    assert log[-1]["dev"]["reviews"] < 0.8  # three pieces in four follow for certain
    model = TextGenerator.from_pretrained(tmp_path / "best")
    scores = text_scores(model, reviews, "test")
    assert scores["perplexity_per_word"] > scores["perplexity"]  # a rare word takes several pieces
    assert scores["characters"] == len(reviews.test)
    predictor = GenerationPredictor(model)
    result = predictor("reviews", "I liked film ", GenerationOptions(length=40, temperature=3.0))
    assert result.prompt == "I liked film"
    assert not result.notes
    assert "<" not in result.text
    assert predictor("reviews", "I liked number77 €").notes == ("Skipped, because the network never read it: '€'.",)


def test_the_sampled_loss_estimates_the_whole_one(model, corpora):
    index = {piece: number for number, piece in enumerate(model.config.vocabulary)}
    ids = to_ids(corpora[0].train[:65], "characters", index)[None]
    batch = {"tokens": ids, "fresh": torch.tensor(True)}
    whole = stateful_loss(model, batch, None).value
    sampled = SampledLoss(torch.ones(len(index)), 100_000)(model, batch, None)  # all are among the candidates
    assert sampled.value.item() == pytest.approx(whole.item(), abs=1e-3)
    sampled.value.backward()
    assert model.decoder.embedding.weight.grad.abs().sum() > 0
    assert sampled.carry.hidden.shape == (2, 1, 32)


def test_four_moments_are_the_first_the_last_and_two_between():
    assert [m["step"] for m in four_moments([{"step": n} for n in range(1, 28)])] == [1, 3, 9, 27]
    assert [m["step"] for m in four_moments([{"step": 1}, {"step": 2}])] == [1, 2]


def test_an_evaluation_takes_the_place_of_the_older_one(tmp_path):
    for value in (1, 2):
        save_record(tmp_path / "metrics.json", {"data": "a", "split": "test", "x": value})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "evaluations": [{"data": "a", "split": "test", "x": 2}]
    }


def test_music21_reads_a_tune_and_refuses_what_is_none():
    assert parses("M:4/4\nK:Cmaj\n|: C D E F G A B c | c 2 B 2 A 2 G 2 :|")
    assert not parses("M:4/4\nK:Cmaj\n")


def test_a_chord_that_ends_without_a_beginning_is_no_chord():
    assert check_bars("M:4/4\nK:C\nC 4 ] D 4 | E 8 |").complete


def test_xz_needs_less_for_what_repeats():
    assert xz_bits("abc" * 5000) < 0.5 < xz_bits("".join(map(chr, np.random.default_rng(0).integers(65, 90, 5000))))


@pytest.mark.parametrize(
    ("written", "corpus", "length"),
    [("abcdef", "xxbcdexx", 4), ("abc", "abc", 3), ("abc", "xyz", 0), ("", "abc", 0), ("aab", "ba", 1)],
)
def test_the_longest_copied_run(written, corpus, length):
    assert longest_copy([list(written), list("qq")], list(corpus)) == length


@pytest.mark.parametrize(
    ("music", "bars", "wrong"),
    [
        ("| C D E F G A B c |", 1, 0),
        ("|: G | C 2 D 2 E 2 F 2 | C 3 D E 2 F 2 | C 7 :|", 4, 0),  # a pick-up and its complement
        ("| C 8 | C 2 D 2 E 2 | C 8 |", 3, 1),
        ("| C 8 | (3 C D E F 2 G 2 A 2 | C 8 |", 3, 0),
        ("| C 8 | [ C E ] 2 D > E F /2 G /2 A c 2 | C 8 |", 3, 0),
        ("", 0, 0),
    ],
)
def test_bars_are_added_up(music, bars, wrong):
    report = check_bars(f"M:4/4\nK:Cmaj\n{music}")
    assert (report.bars, report.wrong) == (bars, wrong)
    assert report.complete == (bars > 0 and not wrong)


def test_tokens_become_abc():
    abc = to_abc("M:6/8\nK:Ador\n|: A 2 B c > d (3 e f g [ C E ] |")
    assert abc == "X:1\nM:6/8\nL:1/8\nK:Ador\n|: A2 B c>d (3e f g [C E ] |\n"
    assert tunes("M:4/4\nK:C\nC\n\nM:3/4\nK:D\nD\n") == ["M:4/4\nK:C\nC", "M:3/4\nK:D\nD"]


def test_the_unit_that_follows_a_signal_is_found_and_scored_on_the_other_half():
    text = "a line (of text) here\n" * 20
    cells = np.random.default_rng(0).normal(size=(len(text), 30)).astype(np.float32)
    inside = 0.0
    for place, character in enumerate(text):
        inside = {"(": 1.0, ")": 0.0}.get(character, inside)
        cells[place, 7] = -inside + 0.05 * cells[place, 7]
    unit = next(unit for unit in best_units(text, cells) if unit.signal == "inside round brackets")
    assert unit.number == 7
    assert unit.score > 0.95
    assert not best_units("too short", cells[:9])


@pytest.fixture
def shipped(trained, monkeypatch, tmp_path):
    (tmp_path / "generation").symlink_to(trained[1] / "best")
    monkeypatch.setenv("UNROLLED_CHECKPOINTS", str(tmp_path))
    from demos.generation import predict

    predict._load.cache_clear()
    yield
    predict._load.cache_clear()


def test_the_tab_streams_tinted_pieces_and_escapes(shipped):
    pages = list(tab.write("cats", "The <b>", 0.7, 0, 1.0, 100, 1))
    assert len(pages) > 2
    assert pages[-1][0].count("<span style=") == 100
    assert pages[-1][1].startswith("The ")
    assert "<b>" not in pages[-1][0]
    assert "Choose one of" in next(iter(tab.write("klingon", "", 0.7, 0, 1.0, 100, 1)))[0]
    assert "temperature must be" in next(iter(tab.write("cats", "", -1, 0, 1.0, 100, 1)))[0]


def test_the_tab_shows_next_pieces_units_moments_and_scores(shipped):
    assert tab.show_following("cats", "The").count("<tr>") == 12
    assert "correlation" in tab.show_units("cats", "The cat (7) sat on the mat.\n" * 8)
    assert "too short" in tab.show_units("cats", "The")
    assert "steps" in tab.show_moments("cats")
    assert tab.show_moments("klingon") == ""
    assert "data-abc" in tab.show_score("M:4/4\nK:Cmaj\n| C 8 |")
    assert "no tune yet" in tab.show_score("hello")


def test_the_command_line_writes_on(shipped, capsys, tmp_path):
    assert cli.main(["cats", "The cat", "--length", "20"]) == 0
    assert len(capsys.readouterr().out) == len("The cat") + 20 + 1
    assert cli.main(["cats", "--json", "--length", "5"]) == 0
    assert len(json.loads(capsys.readouterr().out)["tokens"]) == 5
    requests = tmp_path / "requests"
    requests.write_text('{"corpus": "cats", "length": 3}\n{"corpus": "cats", "length": 0}\nnonsense\n')
    assert cli.main(["--jsonl", str(requests)]) == 1
    good, wrong, nonsense = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(good["tokens"]) == 3
    assert "length must be" in wrong["error"]
    assert "not JSON" in nonsense["error"]


@pytest.mark.parametrize("arguments", [[], ["cats", "--jsonl", "x"], ["cats", "--temperature", "nan"]])
def test_the_command_line_says_what_is_wrong(arguments, capsys):
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.strip().endswith(".")
