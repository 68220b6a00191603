"""The recipe on toy data in the official layouts: each stage learns what it is for and leaves what the next needs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.checkpoint import load_tokenizer
from core.errors import InputError
from core.metrics import expected_calibration_error
from core.training.recipes import StageRun, read_recipe
from demos.sentiment.__main__ import main
from demos.sentiment.data import Example, padded, read_corpus
from demos.sentiment.evaluate import best_temperature, predict_logits, scores
from demos.sentiment.model import EncoderConfig, ReviewLanguageModel, SentimentClassifier, SentimentConfig
from demos.sentiment.train import STAGES, AdversarialLoss, ClassifyStage, FinishStage, new_tokenizer, set_loss

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
CLASSIFIERS = {"english": ("classify", "longer", "stronger"), "korean": ("classify",)}


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def small(language: str) -> list[str]:
    """Toy data make a few hundred steps: too few for the shipped recipe's warm-up and average of weights."""
    stages = {name: {"batch_size": 16, "training.epochs": 2} for name in CLASSIFIERS[language]}
    stages["classify"]["training.epochs"] = 8
    stages["language"] = {
        "vocab_size": 200, "embed_dim": 32, "hidden_size": 32, "batch_size": 1, "training.epochs": 6,
    }  # fmt: skip
    common = {"learning_rate": 0.01, "warmup_steps": 10, "average": 0.0, "patience": 99, "precision": "no"}
    for stage in stages.values():
        stage |= {f"training.{name}": value for name, value in common.items()}
    stages["finish"] = {"ngrams": 4096}
    return [f"{stage}.{name}={value}" for stage, settings in stages.items() for name, value in settings.items()]


@pytest.fixture(scope="module")
def runs(data, sst, imdb, nsmc, tmp_path_factory) -> Path:
    """Both shipped recipes from beginning to end, on toy data."""
    folder = tmp_path_factory.mktemp("runs")
    for language in CLASSIFIERS:
        recipe = ["--recipe", str(RECIPES / f"sentiment-{language}.toml"), "--data", str(data)]
        assert main(["train", *recipe, "--out", str(folder / language), "--set", *small(language)]) == 0
    return folder


def test_the_language_model_learns(runs):
    judged = [r["dev"]["perplexity"] for r in read_log(runs / "english" / "language") if "dev" in r]
    assert judged[-1] < 0.5 * judged[0]
    assert isinstance(ReviewLanguageModel.from_pretrained(runs / "english" / "language" / "best"), ReviewLanguageModel)


@pytest.mark.parametrize(("language", "classes", "name"), [("english", 5, "sst"), ("korean", 2, "nsmc")])
def test_the_classifier_is_saved_calibrated_with_ngrams_and_tokenizer(runs, data, language, classes, name, capsys):
    best = runs / language / "finish" / "best"
    model, tokenizer = SentimentClassifier.from_pretrained(best), load_tokenizer(best)
    assert len(model.config.class_names) == classes
    assert model.config.language == language
    assert model.config.votes == 4096
    assert model.config.temperature != 1
    assert len(tokenizer) == model.config.reader.vocab_size
    assert main(["evaluate", "--data", str(data / name), "--checkpoint", str(best), "--save"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["accuracy"] > 90
    assert json.loads((best / "metrics.json").read_text()) == {"evaluations": [record]}


def test_the_last_classifier_is_the_mean_of_those_before_it(runs):
    longer, stronger, last = (
        SentimentClassifier.from_pretrained(runs / "english" / name / "best").state_dict()
        for name in ("longer", "stronger", "finish")
    )
    assert not torch.equal(longer["classes.weight"], stronger["classes.weight"])
    for name, tensor in longer.items():
        torch.testing.assert_close(last[name], (tensor + stronger[name]) / 2, atol=2e-3, rtol=2e-3)


def test_a_classifier_goes_on_from_a_classifier_of_the_same_classes(runs, data, tmp_path):
    start, folder = str(runs / "english" / "classify" / "best"), tmp_path / "more"
    training = replace(ClassifyStage().training, epochs=1, learning_rate=1e-9, precision="no")
    stage = ClassifyStage(data=("sst",), start=start, batch_size=16, training=training)
    stage.run(StageRun(folder, data, tmp_path))
    before, after = (SentimentClassifier.from_pretrained(each) for each in (start, folder / "best"))
    for name, tensor in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], tensor, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (ClassifyStage(data=("nsmc",), start="classify"), "other classes"),
        (ClassifyStage(data=("sst",), start="finish"), "has n-grams"),
        (ClassifyStage(data=("sst",)), "name an earlier stage"),
        (FinishStage(data=("sst",)), "name an earlier stage"),
        (FinishStage(start=("classify",)), "needs data"),
        (FinishStage(data=("sst", "nsmc"), start=("classify",)), "apart"),
    ],
)
def test_a_stage_that_cannot_run_says_why(runs, data, tmp_path, stage, reason):
    with pytest.raises(InputError, match=reason):
        stage.run(StageRun(tmp_path, data, runs / "english"))


def test_a_training_can_be_resumed(data, nsmc, tmp_path):
    recipe = ["--recipe", str(RECIPES / "sentiment-korean.toml"), "--data", str(data), "--stage", "language"]
    for epochs in ("1", "2"):
        settings = [*small("korean"), f"language.training.epochs={epochs}"]
        assert main(["train", *recipe, "--out", str(tmp_path), "--resume", "--set", *settings]) == 0
        (tmp_path / "language" / "done").unlink()
    assert [r["epoch"] for r in read_log(tmp_path / "language") if "dev" in r] == [1, 2]


@pytest.mark.parametrize("language", CLASSIFIERS)
def test_the_shipped_recipe_asks_for_the_shipped_network(language):
    stages = read_recipe(RECIPES / f"sentiment-{language}.toml", STAGES).stages
    shipped = SentimentClassifier.from_pretrained(RECIPES.parent / "checkpoints" / "sentiment" / language).config
    first, last = stages["language"], stages["finish"]
    encoder = shipped.reader
    assert (first.embed_dim, first.hidden_size) == (encoder.embed_dim, encoder.hidden_size)
    assert (first.vocab_size, last.ngrams) == (encoder.vocab_size, shipped.votes)


def test_the_loss_is_that_of_the_set_of_classes_a_text_may_belong_to():
    logits = torch.tensor([[1.0, 2.0, 0.0], [0.5, 0.0, 1.0]])
    targets = torch.tensor([[True, False, False], [False, True, True]])
    p = logits.softmax(1)
    expected = -(p[0, 0].log() + (p[1, 1] + p[1, 2]).log()) / 2

    class Fixed(torch.nn.Module):
        def forward(self, tokens, lengths, perturbation):
            return type("Output", (), {"logits": logits})

    value = set_loss(Fixed(), {"tokens": None, "lengths": None, "targets": targets})
    torch.testing.assert_close(value, expected)


def test_a_perturbation_moves_each_text_by_its_size_to_where_the_loss_is_larger():
    torch.manual_seed(0)
    model = SentimentClassifier(SentimentConfig(EncoderConfig(20, embed_dim=6, hidden_size=4))).eval()
    batch = padded([[1, 5, 6, 7, 2], [1, 8, 2]]) | {"targets": torch.tensor([[True, False], [False, True]])}
    loss = AdversarialLoss(0.3)(model, batch, None)
    torch.testing.assert_close(loss.value, set_loss(model, batch))
    loss.value.backward()
    moved = []
    model.reader.register_forward_pre_hook(lambda module, inputs: moved.append(inputs[2].detach()))
    assert loss.again() > loss.value
    length = model.reader.embedding.weight.norm(dim=1).mean().item()
    torch.testing.assert_close(moved[0].flatten(1).norm(dim=1), torch.full((2,), 0.3 * length))
    assert not moved[0][1, 3:].any()  # padding stays where it is


def test_without_a_perturbation_there_is_one_loss():
    model = SentimentClassifier(SentimentConfig(EncoderConfig(20, embed_dim=6, hidden_size=4)))
    batch = padded([[1, 5, 2]]) | {"targets": torch.tensor([[True, False]])}
    assert AdversarialLoss(0.0)(model, batch, None).again is None


def test_korean_is_spelt_in_jamo_and_english_in_lower_case(sst, nsmc):
    english, korean = (
        {c for token in new_tokenizer([read_corpus(root)], 60).get_vocab() for c in token} for root in (sst, nsmc)
    )
    assert "영" not in korean
    assert "\u110b" in korean  # the initial consonant of 영
    assert "a" in english
    assert "A" not in english


# --- figures -----------------------------------------------------------------------------------------------------


def test_scores_are_those_worked_out_by_hand():
    probabilities = torch.tensor(
        [[0.7, 0.1, 0.1, 0.1, 0.0], [0.0, 0.0, 0.6, 0.3, 0.1], [0.1, 0.3, 0.2, 0.4, 0.0], [0.0, 0.1, 0.1, 0.2, 0.6]]
    )
    examples = [Example("a", (0,)), Example("b", (2,)), Example("c", (1,)), Example("d", (3,))]
    found = scores(probabilities, examples)
    assert found["accuracy"] == pytest.approx(100)  # of three: 0.8 to 0.1, 0.4 to 0.4 (not above half), 0.1 to 0.8
    assert found["five-class accuracy"] == pytest.approx(50)
    confidence = [0.8 / 0.9, 0.5, 0.8 / 0.9]
    error = 100 * expected_calibration_error(confidence, [True] * 3)
    assert found["ECE"] == pytest.approx(error, abs=1e-4)
    binary = scores(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), [Example("a", (0,)), Example("b", (1,))])
    assert binary["accuracy"] == 50
    assert "five-class accuracy" not in binary


def test_the_temperature_makes_confidence_match_accuracy(runs, nsmc):
    best = runs / "korean" / "classify" / "best"
    model, tokenizer = SentimentClassifier.from_pretrained(best), load_tokenizer(best)
    for parameter in model.classes.parameters():
        parameter.data *= 20  # as sure as can be
    corpus = read_corpus(nsmc)
    wrong = [Example(e.text, (1 - e.classes[0],) if n % 4 == 0 else e.classes) for n, e in enumerate(corpus.dev)]
    logits = predict_logits(model, tokenizer, [e.text for e in wrong])
    temperature, loss = best_temperature([logits], [replace(corpus, dev=tuple(wrong))])
    assert temperature > 1.2  # a quarter of the labels is wrong: it must be less sure
    labels = torch.tensor([e.classes[0] for e in wrong])
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits / temperature, labels).item(), abs=1e-3)
    before, after = (scores((logits / t).softmax(1), wrong) for t in (1.0, temperature))
    assert after["ECE"] < before["ECE"]
    assert after["accuracy"] == before["accuracy"]
