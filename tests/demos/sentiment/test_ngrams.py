"""Hashed n-grams: which there are, what is learnt of them, and what they do to the classifier."""

from dataclasses import replace

import pytest
import torch

from demos.sentiment.model import EncoderConfig, SentimentClassifier, SentimentConfig, positive_probability
from demos.sentiment.ngrams import LONGEST, HashedNgrams, fit_ngrams, ngram_entries

SIZE = 2**16
FIVE = ("a", "b", "c", "d", "e")


def entries(*tokens: int) -> list[int]:
    """Those of one text, LONGEST for each token."""
    return ngram_entries(torch.tensor([tokens]), torch.tensor([len(tokens)]), SIZE)[0].tolist()


def test_every_token_ends_a_word_a_pair_and_a_triple_where_the_text_is_long_enough():
    assert [entry >= 0 for entry in entries(7, 8, 9, 10)] == [True, False, False, True, True, False] + [True] * 6


def test_an_ngram_counts_once_a_text_where_it_comes_first():
    found = entries(7, 8, 7, 8)  # 7, 8, 78, 87, 787, 878
    assert sum(entry >= 0 for entry in found) == 6
    assert found[2 * LONGEST] == -1
    assert found[3 * LONGEST : 3 * LONGEST + 2] == [-1, -1]


def test_an_ngram_has_its_entry_wherever_it_stands_and_another_order_another():
    here, there = entries(7, 8, 9), entries(30, 31, 7, 8, 9)
    assert here[-1] == there[-1]
    assert here[-2] == there[-2]
    assert entries(9, 8, 7)[-1] != here[-1]
    assert len({entries(a, b, c)[-1] for a in range(12) for b in range(12) for c in range(12)}) > 0.98 * 12**3


def test_padding_and_neighbours_in_the_batch_change_nothing():
    ngrams = HashedNgrams(SIZE)
    torch.nn.init.normal_(ngrams.weight)
    tokens, lengths = torch.tensor([[7, 8, 9, 8], [9, 9, 0, 0], [5, 0, 0, 0]]), torch.tensor([4, 2, 1])
    together = ngrams(tokens, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = ngrams(tokens[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0])
        assert together[row, length:].eq(0).all()


def test_what_is_learnt_tells_ngrams_apart_that_share_their_words():
    good, bad = [4, 5, 6], [5, 4, 6]  # the same three words
    texts = [torch.tensor(entries(*tokens)) for tokens in (good, bad) * 20]
    texts = [text[text >= 0] for text in texts]
    positive = torch.tensor([True, False] * 20)
    gaps = []
    for penalty in (0.1, 10.0):
        table = fit_ngrams(texts, positive, SIZE, penalty)
        log_odds = [table[text].sum().item() for text in texts[:2]]
        assert log_odds[1] < 0 < log_odds[0]
        gaps.append(log_odds[0] - log_odds[1])
    assert gaps[1] < gaps[0]


@pytest.fixture
def classifier() -> SentimentClassifier:
    encoder = EncoderConfig(40, embed_dim=12, hidden_size=10)
    model = SentimentClassifier(SentimentConfig(encoder, class_names=FIVE, votes=SIZE)).eval()
    torch.nn.init.normal_(model.votes.weight)
    return model


TEXTS = torch.tensor([[7, 8, 9, 8], [9, 9, 0, 0]]), torch.tensor([4, 2])


@torch.no_grad()
def test_they_move_the_log_odds_by_what_they_say(classifier):
    alone = SentimentClassifier(replace(classifier.config, votes=0)).eval()
    alone.load_state_dict({k: v for k, v in classifier.state_dict().items() if not k.startswith("votes")})
    before, after = (positive_probability(m(*TEXTS).logits.softmax(1)).logit() for m in (alone, classifier))
    torch.testing.assert_close(after - before, classifier.votes(*TEXTS).sum(1), atol=1e-4, rtol=1e-4)
    assert classifier.polarity_direction().tolist() == [-0.5, -0.5, 0, 0.5, 0.5]


def test_the_contributions_still_add_up_to_the_logits(classifier):
    output, direction = classifier(*TEXTS), torch.randn(2, 5)
    expected = (direction * (output.logits - classifier.classes.bias)).sum(1)
    torch.testing.assert_close(classifier.contributions(output, direction).sum(1), expected, atol=1e-4, rtol=1e-4)
