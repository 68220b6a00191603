"""The recipe of the shipped checkpoint, on the toy language: from sentences to a network that ranks what it finds."""

import json

import pytest
import torch

from core.checkpoint import REPOSITORY
from core.errors import InputError
from core.training.recipes import read_recipe, run_recipe
from demos.translation.__main__ import main
from demos.translation.languages import load_languages
from demos.translation.model import Translator
from demos.translation.predict import TranslationPredictor
from demos.translation.train import STAGES

RECIPE = REPOSITORY / "recipes" / "translation.toml"
TRAINED = ("translator", "again", "backward")
QUICK = [
    *(f"{stage}.{setting}" for stage in TRAINED for setting in (
        "tatoeba=", "dev_sentences=1", "round_pairs=[24, 0, 4]", "training.precision=no", "training.epochs=1",
        "training.warmup_steps=2",
    )),
    "translator.vocab_size=150", 'captions.languages=["de"]', 'backward.directions=["de-en"]', "rerank.tatoeba=",
    "rerank.dev_sentences=1", "rerank.channel=[0.0, 0.5]", "rerank.backward=[0.0, 0.5]",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(toys, flickr8k, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "multi30k").symlink_to(toys)
    (folder / "flickr8k").symlink_to(flickr8k)
    return folder


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    run_recipe(read_recipe(RECIPE, STAGES, QUICK), data, out)
    return out


def test_each_stage_adds_its_part(runs):
    translator, again, backward, ranked = (
        Translator.from_pretrained(runs / stage / "best") for stage in (*TRAINED, "rerank")
    )
    assert not torch.equal(again.encoder.layers[0].weight_ih_l0, translator.encoder.layers[0].weight_ih_l0)
    assert again.config.dropout == 0.15
    kept, before = backward.state_dict(), again.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in before.items())
    assert {name.split(".")[0] for name in kept.keys() - before.keys()} == {"backward"}
    assert backward.config.backward == ("en",)
    weights = dict(ranked.config.rerank)
    assert list(weights) == ["copies", "channel", "backward"]
    assert {weights["channel"], weights["backward"]} <= {0.0, 0.5}
    assert weights["copies"] > 1000
    assert len((runs / "captions" / "best" / "captions.de").read_text().splitlines()) == 2


def test_what_training_goes_by_is_logged(runs):
    for stage, figures in (
        ("again", ["mean BLEU", "Multi30k en-de", "Multi30k de-en"]),
        ("backward", ["mean log-probability", "Multi30k de-en"]),
    ):
        records = [json.loads(line) for line in (runs / stage / "log.jsonl").read_text().splitlines()]
        (dev,) = [record["dev"] for record in records if "dev" in record]
        assert list(dev) == figures
    assert dev["mean log-probability"] < 0


def test_the_result_answers_and_its_languages_have_their_own_words(runs):
    predictor = TranslationPredictor.from_pretrained(runs / "rerank" / "best")
    assert predictor("A dog sleeps here.", "en", "de").text
    languages = load_languages(runs / "rerank" / "best", len(predictor.tokenizer))
    assert languages == load_languages(runs / "again" / "best", len(predictor.tokenizer))
    english, german = (set(predictor.tokenizer.convert_ids_to_tokens(languages[code].tokens)) for code in ("en", "de"))
    assert "ß" in "".join(german)
    assert "ß" not in "".join(english)
    assert {"<pad>", "<bos>", "<eos>", "<unk>"} <= english & german


def test_an_interrupted_stage_goes_on(runs, data, tmp_path, capsys):
    arguments = ["train", "--recipe", str(RECIPE), "--data", str(data), "--out", str(tmp_path), "--stage", "translator"]
    assert main([*arguments, "--set", *QUICK]) == 0
    (tmp_path / "translator" / "done").unlink()
    assert main([*arguments, "--resume", "--set", *QUICK, "translator.training.epochs=2"]) == 0
    records = [json.loads(line) for line in (tmp_path / "translator" / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if "dev" in record] == [1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [(["backward.directions=['en-de']"], "No sentence pair"), (["backward.multi30k=nowhere"], "There is no")],
)
def test_a_stage_that_lacks_something_says_so(runs, data, tmp_path, changes, message):
    for earlier in ("again", "captions"):
        (tmp_path / earlier).symlink_to(runs / earlier)
    with pytest.raises(InputError, match=message):
        run_recipe(read_recipe(RECIPE, STAGES, [*QUICK, *changes]), data, tmp_path, ["backward"])
