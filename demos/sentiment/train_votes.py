"""The last stage of the recipe: phrases that vote beside a trained classifier (demos/sentiment/phrases.py)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from core.errors import InputError
from demos.sentiment.data import Corpus, batches_by_length, padded, polarity, token_ids
from demos.sentiment.evaluate import best_temperature, predict_logits
from demos.sentiment.model import SentimentClassifier
from demos.sentiment.phrases import fit_votes, phrase_entries


def with_votes(
    model: SentimentClassifier, tokenizer: PreTrainedTokenizerFast, corpora: Sequence[Corpus], size: int, penalty: float
) -> SentimentClassifier:
    """The same classifier with a table of `size` phrases, learnt from the training texts that are negative or positive
    as a whole. The dev sets say how much the votes count. `penalty`: see fit_votes.

    Raises InputError when no training text is negative, or none positive.
    """
    longest, count = model.config.max_tokens, len(model.config.class_names)
    examples = [(e.text, polarity(e.classes, count)) for corpus in corpora for e in corpus.train]
    texts, sides = zip(*(e for e in examples if e[1] is not None), strict=True)
    if len(set(sides)) < 2:
        raise InputError("Votes need training texts that are negative, and some that are positive.")
    entries = text_entries(token_ids(tokenizer, texts, longest), size)
    table = fit_votes(entries, torch.tensor(sides) == 1, size, penalty)
    voting = SentimentClassifier(replace(model.config, votes=size)).eval()
    voting.load_state_dict(model.state_dict() | {"votes.weight": table})
    share = best_share(model, voting, tokenizer, corpora)
    print(f"votes count {share:g} of what they learnt to")
    voting.votes.weight.data *= share
    return voting


def text_entries(ids: Sequence[list[int]], size: int) -> list[Tensor]:
    """The phrases of each text, as entries of a table of `size`."""
    entries: list[Tensor] = [torch.empty(0)] * len(ids)
    for rows in batches_by_length([len(row) for row in ids], 256, 65536):
        found = phrase_entries(**padded([ids[row] for row in rows]), size=size)
        for row, each in zip(rows, found, strict=True):
            entries[row] = each[each >= 0]
    return entries


def best_share(
    model: SentimentClassifier,
    voting: SentimentClassifier,
    tokenizer: PreTrainedTokenizerFast,
    corpora: Sequence[Corpus],
) -> float:
    """The factor on the votes, from 0 to 2, with the least loss on the dev sets at the temperature that suits it."""
    texts = [[e.text for e in corpus.dev] for corpus in corpora]
    alone = [predict_logits(model, tokenizer, each) for each in texts]
    votes = [predict_logits(voting, tokenizer, each) - base for each, base in zip(texts, alone, strict=True)]

    def loss(share: float) -> float:
        mixed = [base + share * vote for base, vote in zip(alone, votes, strict=True)]
        return best_temperature(mixed, corpora)[1]

    return min((step / 20 for step in range(41)), key=loss)
