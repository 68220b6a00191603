"""The tab and the command line, with a small network in the place of the shipped one."""

import json

import pytest

from demos.generation import __main__ as cli
from demos.generation import predict, tab
from demos.generation.train import MOMENTS


@pytest.fixture
def shipped(model, monkeypatch, tmp_path):
    model.save_pretrained(tmp_path / "generation")
    moment = {"step": 16, "losses": {"cats": 2.5}, "samples": {"cats": "The <cat>"}}
    (tmp_path / "generation" / MOMENTS).write_text(json.dumps([moment]))
    monkeypatch.setenv("UNROLLED_CHECKPOINTS", str(tmp_path))
    predict.load.cache_clear()
    yield
    predict.load.cache_clear()


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
    assert "After 16 steps: 2.50 nats" in tab.show_moments("cats")
    assert "The &lt;cat&gt;" in tab.show_moments("cats")
    assert tab.show_moments("klingon") == ""
    assert "data-abc" in tab.show_score("M:4/4\nK:Cmaj\n| C 8 |")
    assert "no tune yet" in tab.show_score("hello")


def test_the_command_line_writes_on(shipped, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "MAX_LENGTH", 70)
    assert cli.main(["cats", "The cat", "--length", "20"]) == 0
    assert len(capsys.readouterr().out) == len("The cat") + 20 + 1
    assert cli.main(["cats", "--length", "5", "The €", "--length", "1000000"]) == 0
    shown = capsys.readouterr()
    assert "'€'" in shown.err
    assert "bounded" in shown.err
    assert cli.main(["cats", "--json", "--length", "5"]) == 0
    assert len(json.loads(capsys.readouterr().out)["tokens"]) == 5
    requests = tmp_path / "requests"
    requests.write_text('{"corpus": "cats", "prompt": "The", "length": 3}\n{"corpus": "cats", "length": 0}\nnonsense\n')
    assert cli.main(["--jsonl", str(requests)]) == 1
    good, wrong, nonsense = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(good["tokens"]) == 3
    assert "length must be" in wrong["error"]
    assert "not JSON" in nonsense["error"]


@pytest.mark.parametrize("arguments", [[], ["cats", "--jsonl", "x"], ["cats", "--temperature", "nan"]])
def test_the_command_line_says_what_is_wrong(arguments, capsys):
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.strip().endswith(".")
