"""Phrases that vote: which there are, what is learnt of them, and what they do to the classifier."""

import json
from dataclasses import replace

import pytest
import torch

from demos.sentiment.__main__ import main
from demos.sentiment.evaluate import positive_probability
from demos.sentiment.model import ReaderConfig, SentimentClassifier, SentimentConfig
from demos.sentiment.phrases import LONGEST, PhraseVotes, fit_votes, phrase_entries

SIZE = 2**16
FIVE = ("a", "b", "c", "d", "e")


def entries(*tokens: int) -> list[int]:
    """Those of one text, LONGEST for each token."""
    return phrase_entries(torch.tensor([tokens]), torch.tensor([len(tokens)]), SIZE)[0].tolist()


def test_every_token_ends_a_word_a_pair_and_a_triple_where_the_text_is_long_enough():
    assert [entry >= 0 for entry in entries(7, 8, 9, 10)] == [True, False, False, True, True, False] + [True] * 6


def test_a_phrase_counts_once_a_text_where_it_comes_first():
    found = entries(7, 8, 7, 8)  # 7, 8, 78, 87, 787, 878
    assert sum(entry >= 0 for entry in found) == 6
    assert found[2 * LONGEST] == -1
    assert found[3 * LONGEST : 3 * LONGEST + 2] == [-1, -1]


def test_a_phrase_has_its_entry_wherever_it_stands_and_another_order_another():
    here, there = entries(7, 8, 9), entries(30, 31, 7, 8, 9)
    assert here[-1] == there[-1]
    assert here[-2] == there[-2]
    assert entries(9, 8, 7)[-1] != here[-1]
    assert len({entries(a, b, c)[-1] for a in range(12) for b in range(12) for c in range(12)}) > 0.98 * 12**3


def test_padding_and_neighbours_in_the_batch_change_nothing():
    votes = PhraseVotes(SIZE)
    torch.nn.init.normal_(votes.weight)
    tokens, lengths = torch.tensor([[7, 8, 9, 8], [9, 9, 0, 0], [5, 0, 0, 0]]), torch.tensor([4, 2, 1])
    together = votes(tokens, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = votes(tokens[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0])
        assert together[row, length:].eq(0).all()


def test_what_is_learnt_tells_phrases_apart_that_share_their_words():
    good, bad = [4, 5, 6], [5, 4, 6]  # the same three words
    texts = [torch.tensor(entries(*tokens)) for tokens in (good, bad) * 20]
    texts = [text[text >= 0] for text in texts]
    positive = torch.tensor([True, False] * 20)
    gaps = []
    for penalty in (0.1, 10.0):
        table = fit_votes(texts, positive, SIZE, penalty)
        votes = [table[text].sum().item() for text in texts[:2]]
        assert votes[1] < 0 < votes[0]
        gaps.append(votes[0] - votes[1])
    assert gaps[1] < gaps[0]


@pytest.fixture
def voting() -> SentimentClassifier:
    reader = ReaderConfig(40, embed_dim=12, hidden_size=10)
    model = SentimentClassifier(SentimentConfig(reader, class_names=FIVE, votes=SIZE)).eval()
    torch.nn.init.normal_(model.votes.weight)
    return model


TEXTS = torch.tensor([[7, 8, 9, 8], [9, 9, 0, 0]]), torch.tensor([4, 2])


@torch.no_grad()
def test_votes_move_the_log_odds_by_what_they_say(voting):
    alone = SentimentClassifier(replace(voting.config, votes=0)).eval()
    alone.load_state_dict({k: v for k, v in voting.state_dict().items() if not k.startswith("votes")})
    before, after = (positive_probability(m(*TEXTS).logits.softmax(1)).logit() for m in (alone, voting))
    torch.testing.assert_close(after - before, voting.votes(*TEXTS).sum(1), atol=1e-4, rtol=1e-4)
    assert voting.stance().tolist() == [-0.5, -0.5, 0, 0.5, 0.5]


def test_the_shares_still_add_up_to_the_logits(voting):
    reading, direction = voting(*TEXTS), torch.randn(2, 5)
    expected = (direction * (reading.logits - voting.classes.bias)).sum(1)
    torch.testing.assert_close(voting.shares(reading, direction).sum(1), expected, atol=1e-4, rtol=1e-4)


def test_the_command_adds_votes_to_a_classifier_and_evaluate_can_leave_them_out(predictor, nsmc, tmp_path, capsys):
    def figures(*options: str) -> dict:
        assert main(["evaluate", "--data", str(nsmc), *options]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    start, best = str(tmp_path / "start"), str(tmp_path / "best")
    model, tokenizer = predictor.networks["korean"]
    model.save_pretrained(start)
    tokenizer.save_pretrained(start)
    assert (
        main(["train", "votes", "--data", str(nsmc), "--start", start, "--votes", "4096", "--out", str(tmp_path)]) == 0
    )
    assert "votes count" in capsys.readouterr().out
    assert SentimentClassifier.from_pretrained(best).config.votes == 4096
    assert figures("--checkpoint", best)["accuracy"] >= figures("--checkpoint", start)["accuracy"]
    alone = figures("--checkpoint", best, "--no-votes")
    assert alone["accuracy"] == figures("--checkpoint", start)["accuracy"]
    assert main(["evaluate", "--data", str(nsmc), "--checkpoint", best, "--no-votes", "--save"]) == 2
    assert "--no-votes" in capsys.readouterr().err


def test_votes_need_a_classifier_to_start_from(nsmc, tmp_path, capsys):
    assert main(["train", "votes", "--data", str(nsmc), "--out", str(tmp_path)]) == 2
    assert "--start" in capsys.readouterr().err
