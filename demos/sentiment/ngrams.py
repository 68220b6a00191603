"""Hashed n-grams: what words and phrases say by themselves, a linear model beside the recurrent network.

It is the baseline that networks hardly beat on long reviews (Wang and Manning 2012): a table knows tens of thousands of
phrases by heart, but no order beyond them. It errs elsewhere than an LSTM, so both together do better than either
(Mesnil et al. 2015); docs/experiments/sentiment.md says by how much.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from core.errors import InputError
from core.training.batches import batches_by_length
from demos.sentiment.data import Corpus, padded, polarity, token_ids

LONGEST = 3  # tokens of an n-gram
_MIX = -7046029254386353131  # 2 ** 64 / golden ratio, as a signed number: spreads keys evenly (Knuth 1973)


class HashedNgrams(nn.Module):
    """One weight for each n-gram of up to three tokens. They share a table of `size` entries by a hash (Weinberger et
    al. 2009): two n-grams that fall on the same entry share its weight."""

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """(B, T) tokens, (B,) lengths -> (B, T): what the n-grams that end at each token add to the log-odds."""
        entries = ngram_entries(tokens, lengths, len(self.weight))
        weights = F.embedding(entries.clamp(min=0), self.weight.unsqueeze(1)).squeeze(2)  # (B, 3 * T)
        return weights.masked_fill(entries < 0, 0.0).view(*tokens.shape, LONGEST).sum(2)


def ngram_entries(tokens: Tensor, lengths: Tensor, size: int) -> Tensor:
    """(B, T) tokens, (B,) lengths -> (B, 3 * T) the table's entries for the n-grams that end at each token.

    -1: no such n-gram (the text begins later, or has ended), or one that the text held before: each counts once.
    """
    places = torch.arange(tokens.size(1), device=tokens.device)
    key, entries = torch.zeros_like(tokens), []
    for length in range(LONGEST):  # an n-gram's key: that of its beginning, one place earlier, and its last token
        key = F.pad(key, (1, 0))[:, :-1] * 1_000_003 + tokens + 1
        real = (places >= length) & (places < lengths.to(tokens.device).unsqueeze(1))
        entries.append(((key * _MIX) >> 32).remainder(size).masked_fill(~real, -1))
    flat = torch.stack(entries, 2).flatten(1)
    ordered, order = flat.sort(dim=1, stable=True)
    again = F.pad(ordered[:, 1:] == ordered[:, :-1], (1, 0))
    return flat.masked_fill(torch.zeros_like(again).scatter(1, order, again), -1)


def train_ngrams(tokenizer: PreTrainedTokenizerFast, corpora: Sequence[Corpus], max_tokens: int, size: int) -> Tensor:
    """The table (size,) of HashedNgrams, learnt from the training texts that are negative or positive as a whole.

    Texts are cut to `max_tokens`. Raises InputError when no training text is negative, or none positive.
    """
    examples = [(e.text, polarity(e.classes, len(corpus.class_names))) for corpus in corpora for e in corpus.train]
    texts, polarities = zip(*(e for e in examples if e[1] is not None), strict=True)
    if len(set(polarities)) < 2:
        raise InputError("N-grams need training texts that are negative, and some that are positive.")
    ids = token_ids(tokenizer, texts, max_tokens)
    entries: list[Tensor] = [torch.empty(0)] * len(ids)
    for rows in batches_by_length([len(row) for row in ids], 256, 65536):
        found = ngram_entries(**padded([ids[row] for row in rows]), size=size)
        for row, each in zip(rows, found, strict=True):
            entries[row] = each[each >= 0]
    return fit_ngrams(entries, torch.tensor(polarities) == 1, size)


def fit_ngrams(texts: Sequence[Tensor], positive: Tensor, size: int, penalty: float = 5.0) -> Tensor:
    """The table (size,) that tells positive texts from others: logistic regression on naive Bayes features.

    texts: the entries of each. positive: (N,) bool. An n-gram's feature is how much oftener it is in positive texts
    than in negative ones, as a logarithm, so that what is learnt starts from what was counted (Wang and Manning 2012).
    penalty: times half the sum of the squared weights is added to the texts' summed loss.
    """
    entries = torch.cat(list(texts))
    lengths = torch.tensor([len(text) for text in texts])
    starts = lengths.cumsum(0) - lengths
    is_positive = positive.repeat_interleave(lengths)
    counts = [torch.bincount(entries[side], minlength=size) + 1.0 for side in (is_positive, ~is_positive)]
    ratio = (counts[0] / counts[0].sum()).log() - (counts[1] / counts[1].sum()).log()
    features, wanted = ratio[entries], positive.float()
    weight = torch.zeros(size, 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        log_odds = F.embedding_bag(entries, weight, starts, mode="sum", per_sample_weights=features).squeeze(1)
        value = F.binary_cross_entropy_with_logits(log_odds, wanted, reduction="sum")
        value = (value + penalty / 2 * weight.square().sum()) / len(wanted)
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach().squeeze(1) * ratio
