"""The recipe on toy data in the official layouts: each stage learns what it is for and leaves what the next needs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.checkpoint import load_tokenizer
from core.errors import InputError
from core.metrics import expected_calibration_error
from demos.sentiment import train
from demos.sentiment.__main__ import main
from demos.sentiment.data import Example, padded, read_corpus
from demos.sentiment.evaluate import calibrate, predict_logits, scores
from demos.sentiment.model import ReaderConfig, ReviewLanguageModel, SentimentClassifier, SentimentConfig
from demos.sentiment.train import AdversarialLoss, new_classifier, new_tokenizer, set_loss

SMALL = ["--vocab-size", "200", "--embed-dim", "32", "--hidden-size", "32", "--precision", "no"]


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(sst, imdb, nsmc, tmp_path_factory) -> Path:
    """Language model and classifier of both languages."""
    folder = tmp_path_factory.mktemp("runs")
    # Toy data make a few hundred steps: too few for the shipped recipe's warm-up and average of weights.
    stages = {stage: replace(c, warmup_steps=10, average=0.0, patience=99) for stage, c in train._STAGES.items()}
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(train, "_STAGES", stages)
    for language, data in (("english", [sst, imdb]), ("korean", [nsmc])):
        common = ["--data", *map(str, data), "--language", language]
        first, second = folder / f"{language}-language", folder / language
        language_options = ["--epochs", "6", "--learning-rate", "0.01", "--batch-size", "1"]
        assert main(["train", "language", *common, *SMALL, *language_options, "--out", str(first)]) == 0
        rest = ["--precision", "no", "--epochs", "8", "--learning-rate", "0.01", "--batch-size", "16"]
        start = ["--start", str(first / "best")]
        assert main(["train", "classify", *common, *start, *rest, "--out", str(second)]) == 0
    monkeypatch.undo()
    return folder


def test_the_language_model_learns(runs):
    judged = [r["dev"]["perplexity"] for r in read_log(runs / "english-language") if "dev" in r]
    assert judged[-1] < 0.5 * judged[0]
    assert isinstance(ReviewLanguageModel.from_pretrained(runs / "english-language" / "best"), ReviewLanguageModel)


@pytest.mark.parametrize(("language", "classes"), [("english", 5), ("korean", 2)])
def test_the_classifier_learns_and_is_saved_calibrated_with_its_tokenizer(runs, request, language, classes, capsys):
    model, tokenizer = (
        SentimentClassifier.from_pretrained(runs / language / "best"),
        load_tokenizer(runs / language / "best"),
    )
    assert len(model.config.class_names) == classes
    assert model.config.language == language
    assert len(tokenizer) == model.config.reader.vocab_size
    data = request.getfixturevalue("sst" if language == "english" else "nsmc")
    assert main(["evaluate", "--data", str(data), "--checkpoint", str(runs / language / "best"), "--save"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["accuracy"] > 90
    saved = json.loads((runs / language / "best" / "metrics.json").read_text())
    assert saved == {"evaluations": [record]}


def test_a_classifier_starts_from_the_language_model(runs, sst):
    start = ReviewLanguageModel.from_pretrained(runs / "english-language" / "best")
    model = new_classifier(start.config, "english", [read_corpus(sst)])
    model.reader.load_state_dict(start.reader.state_dict())
    for name, tensor in start.reader.state_dict().items():
        assert torch.equal(model.reader.state_dict()[name], tensor)


def test_a_classifier_goes_on_from_a_classifier_of_the_same_classes(runs, sst, nsmc, tmp_path, capsys):
    start, out = str(runs / "english" / "best"), tmp_path / "more"
    rest = ["--epochs", "1", "--learning-rate", "1e-9", "--precision", "no", "--out", str(out)]
    assert main(["train", "classify", "--data", str(sst), "--start", start, *rest]) == 0
    before, after = (SentimentClassifier.from_pretrained(folder) for folder in (start, out / "best"))
    for name, tensor in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], tensor, atol=2e-3, rtol=0)
    assert main(["train", "classify", "--data", str(nsmc), "--start", start, *rest]) == 2
    assert "other classes" in capsys.readouterr().err
    assert main(["train", "language", "--data", str(sst), "--start", start, *rest]) == 2
    assert "leave --start out" in capsys.readouterr().err
    voting = tmp_path / "votes"
    assert main(["train", "votes", "--data", str(sst), "--start", start, "--votes", "64", "--out", str(voting)]) == 0
    assert main(["train", "classify", "--data", str(sst), "--start", str(voting / "best"), *rest]) == 2
    assert "has votes" in capsys.readouterr().err


def test_averaging_a_checkpoint_with_itself_gives_it_back(runs, nsmc, tmp_path):
    best = str(runs / "korean" / "best")
    assert main(["train", "average", "--data", str(nsmc), "--start", best, best, "--out", str(tmp_path)]) == 0
    before, after = SentimentClassifier.from_pretrained(best), SentimentClassifier.from_pretrained(tmp_path / "best")
    for name, tensor in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], tensor)


def test_a_training_can_be_resumed(runs, nsmc, tmp_path):
    arguments = ["train", "language", "--data", str(nsmc), "--language", "korean", *SMALL, "--batch-size", "1"]
    for epochs in ("1", "2"):
        assert main([*arguments, "--epochs", epochs, "--out", str(tmp_path), "--resume"]) == 0
    assert [r["epoch"] for r in read_log(tmp_path) if "dev" in r] == [1, 2]


def test_english_and_korean_are_not_mixed(sst, nsmc, tmp_path, capsys):
    out = str(tmp_path)
    assert main(["train", "classify", "--data", str(sst), str(nsmc), *SMALL, "--out", out]) == 2
    assert "apart" in capsys.readouterr().err


def test_the_loss_is_that_of_the_set_of_classes_a_text_may_belong_to():
    logits = torch.tensor([[1.0, 2.0, 0.0], [0.5, 0.0, 1.0]])
    targets = torch.tensor([[True, False, False], [False, True, True]])
    p = logits.softmax(1)
    expected = -(p[0, 0].log() + (p[1, 1] + p[1, 2]).log()) / 2

    class Answer(torch.nn.Module):
        def forward(self, tokens, lengths, shift):
            return type("Reading", (), {"logits": logits})

    value = set_loss(Answer(), {"tokens": None, "lengths": None, "targets": targets})
    torch.testing.assert_close(value, expected)


def test_the_adversary_moves_each_text_by_its_size_to_where_the_loss_is_larger():
    torch.manual_seed(0)
    model = SentimentClassifier(SentimentConfig(ReaderConfig(20, embed_dim=6, hidden_size=4))).eval()
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


def test_without_an_adversary_there_is_one_loss():
    model = SentimentClassifier(SentimentConfig(ReaderConfig(20, embed_dim=6, hidden_size=4)))
    batch = padded([[1, 5, 2]]) | {"targets": torch.tensor([[True, False]])}
    assert AdversarialLoss(0.0)(model, batch, None).again is None


@pytest.mark.parametrize(("units", "pieces"), [("letters", "letters"), ("jamo", "jamo")])
def test_korean_may_be_spelt_in_jamo(nsmc, units, pieces):
    tokenizer = new_tokenizer([read_corpus(nsmc)], "korean", 60, units)
    characters = {c for token in tokenizer.get_vocab() for c in token}
    assert ("영" in characters) == (pieces == "letters")
    assert ("\u110b" in characters) == (pieces == "jamo")  # the initial consonant of 영


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
    model, tokenizer = (
        load(runs / "korean" / "best") for load in (SentimentClassifier.from_pretrained, load_tokenizer)
    )
    for parameter in model.classes.parameters():
        parameter.data *= 20  # as sure as can be
    corpus = read_corpus(nsmc)
    wrong = [Example(e.text, (1 - e.classes[0],) if n % 4 == 0 else e.classes) for n, e in enumerate(corpus.dev)]
    corpus = type(corpus)("NSMC", corpus.class_names, (), tuple(wrong), ())
    temperature, loss = calibrate(model, tokenizer, [corpus])
    assert temperature > 1.2  # a quarter of the labels is wrong: it must be less sure
    logits = predict_logits(model, tokenizer, [e.text for e in wrong])
    labels = torch.tensor([e.classes[0] for e in wrong])
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits / temperature, labels).item(), abs=1e-3)
    before, after = (scores((logits / t).softmax(1), wrong) for t in (1.0, temperature))
    assert after["ECE"] < before["ECE"]
    assert after["accuracy"] == before["accuracy"]


def test_stages_need_what_they_continue_from(sst, tmp_path, capsys):
    assert main(["train", "average", "--data", str(sst), "--out", str(tmp_path)]) == 2
    assert "--start" in capsys.readouterr().err
    with pytest.raises(InputError):
        read_corpus(tmp_path)
