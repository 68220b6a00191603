"""Training: a network learns, goes on with some of its corpora alone, and each recipe runs on toy corpora."""

import gzip
import json
import math
from dataclasses import replace

import pytest
import torch

from core.checkpoint import REPOSITORY
from core.errors import InputError
from core.training.loop import TrainingConfig
from core.training.losses import SampledSoftmax
from core.training.recipes import StageRun, read_recipe, run_recipe
from demos.generation import train as generation_train
from demos.generation.data import BpttConfig, to_ids
from demos.generation.evaluate import text_scores
from demos.generation.model import TextGenerator
from demos.generation.predict import GenerationOptions, GenerationPredictor
from demos.generation.sources import SOURCES
from demos.generation.train import (
    MOMENTS,
    STAGES,
    BpttLoss,
    LanguageModel,
    fit,
    four_moments,
    new_generator,
    read_moments,
    specialise,
)

from .conftest import TEXT, TUNES

SMALL = (
    "train.bptt.batch_size=4", "train.bptt.segment=16", "train.bptt.segments=4", "train.bptt.excerpts=4",
    "train.training.epochs=1", "train.training.warmup_steps=4", "train.training.precision=no",
)  # fmt: skip
NARROW = ("train.hidden_size=32", "train.embed_dim=16", "train.training.learning_rate=1e-2")


def train(model, corpora, stage, folder, **options):
    """The log of a training, and what ran it."""
    run = StageRun(folder, folder, folder)
    return fit(model, corpora, (1.0,) * len(corpora), stage.bptt, stage.training, run, **options)


@pytest.fixture(scope="module")
def trained(corpora, stage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)
    return train(new_generator(corpora, stage), corpora, stage, folder), folder


def test_training_learns_and_keeps_samples_with_step_and_loss(trained, corpora):
    log, folder = trained
    assert log[-1]["dev"]["cats"] < 0.9 * math.log(40)
    moments = json.loads((folder / "best" / MOMENTS).read_text())
    assert moments[-1]["step"] == log[-1]["step"]
    assert set(moments[-1]["samples"]) == {"cats", "folk"}
    assert moments[-1]["samples"]["cats"].startswith("The cat")
    model = TextGenerator.from_pretrained(folder / "best")
    scores = text_scores(model, corpora[0], "dev")
    assert scores["bits_per_character"] == pytest.approx(scores["nats_per_character"] / math.log(2), abs=1e-3)
    assert scores["nats_per_character"] == pytest.approx(log[-1]["dev"]["cats"], abs=0.02)


def test_a_network_that_goes_on_with_some_of_its_corpora_becomes_theirs_alone(trained, corpora, stage, tmp_path):
    whole = TextGenerator.from_pretrained(trained[1] / "best")
    narrow = specialise(whole, corpora[:1], dropout=0.3).eval()
    assert [entry[0] for entry in narrow.config.corpora] == ["cats"]
    assert narrow.config.vocabulary[4:5] == ("<cats>",)
    assert set(narrow.config.vocabulary[5:]) == set(corpora[0].train)  # no token of a tune
    assert (narrow.config.decoder.dropout, narrow.decoder.dropout.p) == (0.3, 0.3)
    before, after = ({p: n for n, p in enumerate(m.config.vocabulary)} for m in (whole, narrow))
    text, rows = ["<cats>", *"The cat"], [before[piece] for piece in narrow.config.vocabulary]
    with torch.inference_mode():
        logits = [m(torch.tensor([[ix[p] for p in text]])).logits for m, ix in ((whole, before), (narrow, after))]
    torch.testing.assert_close(logits[1], logits[0][..., rows])
    start = text_scores(narrow, corpora[0], "dev")["nats_per_character"]
    log = train(narrow, corpora[:1], stage, tmp_path, earlier=read_moments(trained[1] / "best"))
    assert log[-1]["dev"]["cats"] < start
    steps = [moment["step"] for moment in read_moments(tmp_path / "best")]
    assert steps == [log[-1]["step"], 2 * log[-1]["step"]]
    assert GenerationPredictor.from_pretrained(tmp_path / "best")("cats", "The cat").text


def test_a_corpus_that_the_network_lacks_is_named(trained, reviews):
    with pytest.raises(InputError, match="has not learnt reviews"):
        specialise(TextGenerator.from_pretrained(trained[1] / "best"), [reviews], 0.1)


def test_a_network_of_words_learns_from_a_sample_of_its_vocabulary(reviews, tmp_path):
    training = TrainingConfig(epochs=2, learning_rate=2e-2, schedule="constant", warmup_steps=4, average=0.8)
    stage = LanguageModel(
        layers=1, hidden_size=32, embed_dim=16, dropout=0.0, min_count=3, max_pieces=20, bptt=BpttConfig(4, 16, 8),
        training=training,
    )  # fmt: skip
    log = train(new_generator([reviews], stage), [reviews], stage, tmp_path, negatives=40)
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
    whole = BpttLoss()(model, batch, None)
    torch.manual_seed(0)
    sampled = BpttLoss(SampledSoftmax(torch.ones(len(index)), 20_000))(model, batch, None)
    constant = math.log(20_000 / len(index))  # how often each piece is drawn
    assert sampled.value.item() == pytest.approx(whole.value.item() + constant, abs=0.05)
    sampled.value.backward()
    assert model.decoder.embedding.weight.grad.abs().sum() > 0
    torch.testing.assert_close(sampled.carry.hidden, whole.carry.hidden)


def test_four_moments_are_the_first_the_last_and_two_between():
    assert [m["step"] for m in four_moments([{"step": n} for n in range(1, 28)])] == [1, 3, 9, 27]
    assert [m["step"] for m in four_moments([{"step": 1}, {"step": 2}])] == [1, 2]


# --- recipes -----------------------------------------------------------------------------------------------------


def recipe(name, changes=()):
    return read_recipe(REPOSITORY / "recipes" / name, STAGES, changes)


@pytest.fixture
def data(tmp_path, reviews, monkeypatch):
    """Toy texts in the places of the corpora."""
    monkeypatch.setattr(generation_train, "SAMPLE", 20)
    (tmp_path / "corpora").mkdir()
    (tmp_path / "imdb").mkdir()
    texts = {"characters": TEXT, "abc": TUNES}
    for source in SOURCES:
        for file in source.files:
            if source.kind in texts:
                (tmp_path / f"{file}.gz").write_bytes(gzip.compress(texts[source.kind].encode()))
    lines = [review.replace("\n", "<br />") + str(n) for n, review in enumerate(reviews.train.split("\n\n"))]
    rows = [f"{n}\t1\t{line}" for n, line in enumerate(lines)]
    (tmp_path / "imdb" / "train.tsv").write_text("\n".join(["id\tlabel\treview", *rows]))
    return tmp_path


@pytest.mark.parametrize("name", ["generation.toml", "generation-reviews.toml"])
def test_a_recipe_makes_a_network_that_writes(name, data):
    minutes = () if name == "generation-reviews.toml" else ("train.training.minutes=0.03",)
    small = recipe(name, (*SMALL, *NARROW, *minutes))
    predictor = GenerationPredictor.from_pretrained(run_recipe(small, data, data / "run"))
    assert tuple(predictor.corpora) == small.stages["train"].corpora
    for corpus in predictor.corpora:
        assert predictor(corpus, "", GenerationOptions(length=20)).text


@pytest.mark.parametrize("corpus", ["folk", "speeches"])
def test_a_corpus_alone_goes_on_from_the_network_of_several(corpus, data, corpora, stage):
    known = {source.name: source for source in SOURCES}
    whole = [replace(corpora[1], source=known["folk"]), replace(corpora[0], source=known["speeches"])]
    new_generator(whole, stage).save_pretrained(data / "whole")
    changes = (*SMALL, "train.training.minutes=0.03", f"train.start={data / 'whole'}")
    folder = run_recipe(recipe(f"generation-{corpus}.toml", changes), data, data / "run")
    assert tuple(GenerationPredictor.from_pretrained(folder).corpora) == (corpus,)


def test_a_text_of_ones_own_is_learnt_and_proposes_its_first_line(data):
    (data / "my diary.txt").write_text(TEXT)
    mine = recipe("generation-own-text.toml", (*SMALL, *NARROW, "train.text=my diary.txt"))
    predictor = GenerationPredictor.from_pretrained(run_recipe(mine, data, data / "run"))
    assert predictor.corpora == {"my_diary": ("my diary", "characters", "The cat (0) sat on the mat.\n")}


def test_what_a_stage_cannot_train_on_is_said(data):
    for change, sentence in (("train.corpora=['folk']", "or a text of your own"), ("train.text=''", "Name corpora")):
        with pytest.raises(InputError, match=sentence):
            run_recipe(recipe("generation-own-text.toml", (change,)), data, data / "run")
    with pytest.raises(InputError, match="needs 7 numbers"):
        run_recipe(recipe("generation.toml", ("train.weights=[1.0]",)), data, data / "run")
