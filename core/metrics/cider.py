"""CIDEr-D as a reward: our own implementation, fast enough to score every sampled caption of a training.

CIDEr (Vedantam et al. 2015) compares a caption with people's captions of the photo as vectors of n-grams, n = 1 to 4,
each weighted by tf-idf: how often it occurs in the caption, times how rare it is over the photos. The variant D clips
the counts and punishes differences of length, so that a network trained on the score (self-critical sequence training,
Rennie et al. 2017) cannot raise it by repetition.

Everything is an array here. An n-gram is packed into one 64-bit integer, 16 bits a token; a set of captions is a table
of (caption, n-gram, count), sorted, in which n-grams are found by bisection.
"""

from collections.abc import Sequence

import numpy as np

from core.errors import InputError

_MAX_N = 4
_BITS = 16  # a token; 4 tokens fill 64 bits


class CiderD:
    """Scores captions, as sequences of token ids, against the reference captions of photos.

    `references[p]` lists the references of photo p, one or more; all together they are the corpus in which an n-gram's
    document frequency (the number of photos that it is used for) is counted. Token ids are 0 to 65,534. Special tokens
    count like others: leave them out, or end references and hypotheses alike with the end token, which teaches a
    network to end its captions. `sigma` is the width of the length penalty, in tokens.
    """

    def __init__(self, references: Sequence[Sequence[Sequence[int]]], sigma: float = 6.0):
        self._sigma = sigma
        self._references = np.array([len(entry) for entry in references])  # of each photo
        if not len(references) or not self._references.all():
            raise InputError("CIDEr-D needs at least one photo, and at least one reference for each.")
        self._first = np.cumsum(self._references) - self._references  # row of each photo's first reference
        captions = [caption for entry in references for caption in entry]
        photo = np.repeat(np.arange(len(references)), self._references)

        row, ngram, count = _count_ngrams(captions)
        _, used_ngram, _ = _group(photo[row], ngram)  # each n-gram once for each photo
        self._ngrams, document_frequency = np.unique(used_ngram, return_counts=True)
        self._log_photos = np.log(len(references))
        self._idf = self._log_photos - np.log(document_frequency)

        position, _ = self._find(ngram)
        self._weights = count * self._idf[position]  # of each (row, n-gram)
        self._keys = row * len(self._ngrams) + position  # sorted, as (row, n-gram) is
        self._norms = _norms(row, ngram, self._weights, len(captions))
        self._lengths = _bigrams(captions)

    def score(self, hypotheses: Sequence[Sequence[int]], photo_ids: Sequence[int]) -> np.ndarray:
        """(H,) float64: CIDEr-D of each hypothesis against the references of its photo (a number in the corpus).

        On the scale of the formula, 0 to 10; times 100 it is the percentage that papers quote.
        """
        photos = np.asarray(photo_ids, dtype=np.int64)
        if len(hypotheses) != len(photos):
            raise InputError(f"There are {len(hypotheses)} hypotheses for {len(photos)} photos: each needs its photo.")
        row, ngram, count = _count_ngrams(hypotheses)
        position, known = self._find(ngram)
        weight = count * np.where(known, self._idf[position], self._log_photos)  # unknown: as if used for one photo
        norms = _norms(row, ngram, weight, len(hypotheses))

        # Every hypothesis beside every reference of its photo, as a grid (H, R); `real` where that reference exists.
        column = np.arange(self._references[photos].max(initial=0))
        real = column < self._references[photos, None]
        reference = np.where(real, self._first[photos, None] + column, 0)

        # Clipped dot products, (H, R, N). Only n-grams of the corpus can be shared.
        row, position, weight, order = row[known], position[known], weight[known], _order(ngram[known])
        key = reference[row] * len(self._ngrams) + position[:, None]  # (n-grams, R)
        found = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        other = np.where(self._keys[found] == key, self._weights[found], 0.0)
        cell = (row[:, None] * len(column) + column) * _MAX_N + order[:, None]
        dot = np.bincount(
            cell.ravel(),
            (np.minimum(weight[:, None], other) * other).ravel(),
            minlength=real.size * _MAX_N,
        ).reshape(*real.shape, _MAX_N)

        norm = norms[:, None] * self._norms[reference]
        cosine = np.divide(dot, norm, out=np.zeros(dot.shape), where=norm > 0).mean(2)
        gap = _bigrams(hypotheses)[:, None] - self._lengths[reference]
        similarity = cosine * np.exp(-(gap**2) / (2 * self._sigma**2)) * real
        return 10 * similarity.sum(1) / self._references[photos]

    def _find(self, ngram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position of each n-gram in the corpus's list, and whether it is there at all."""
        position = np.minimum(np.searchsorted(self._ngrams, ngram), len(self._ngrams) - 1)
        return position, self._ngrams[position] == ngram


def _count_ngrams(captions: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, n-gram, count) of every n-gram in each caption, sorted by row, then n-gram."""
    lengths = np.array([len(caption) for caption in captions], dtype=np.int64)
    column = np.arange(lengths.max(initial=0))
    flat = np.array([token for caption in captions for token in caption], dtype=np.int64)
    if flat.size and not 0 <= flat.min() <= flat.max() < 2**_BITS - 1:
        raise InputError(f"CIDEr-D takes token ids from 0 to {2**_BITS - 2:,}, not {flat.min():,} to {flat.max():,}.")
    tokens = np.zeros((len(captions), len(column)), dtype=np.uint64)
    tokens[column < lengths[:, None]] = flat + 1  # never 0, so an n-gram's size shows in its bits
    ngrams = np.zeros_like(tokens)
    rows, found = [], []
    for n in range(1, _MAX_N + 1):
        starts = max(len(column) - n + 1, 0)
        ngrams = (ngrams[:, :starts] << np.uint64(_BITS)) | tokens[:, n - 1 :]
        inside = column[:starts] + n <= lengths[:, None]
        rows.append(inside.nonzero()[0])
        found.append(ngrams[inside])
    return _group(np.concatenate(rows), np.concatenate(found))


def _group(row: np.ndarray, ngram: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct (row, n-gram) pairs, sorted, and how often each occurs."""
    order = np.lexsort((ngram, row))
    row, ngram = row[order], ngram[order]
    new = np.ones(len(row), dtype=bool)
    new[1:] = (row[1:] != row[:-1]) | (ngram[1:] != ngram[:-1])
    starts = new.nonzero()[0]
    return row[starts], ngram[starts], np.diff(starts, append=len(row))


def _order(ngram: np.ndarray) -> np.ndarray:
    """0 for a single token ... 3 for a 4-gram."""
    limits = np.uint64(1) << np.arange(_BITS, _BITS * _MAX_N, _BITS, dtype=np.uint64)
    return np.searchsorted(limits, ngram, side="right")


def _norms(row: np.ndarray, ngram: np.ndarray, weight: np.ndarray, rows: int) -> np.ndarray:
    """(rows, N) Euclidean lengths of the tf-idf vectors, one for each n."""
    return np.sqrt(np.bincount(row * _MAX_N + _order(ngram), weight**2, rows * _MAX_N)).reshape(rows, _MAX_N)


def _bigrams(captions: Sequence[Sequence[int]]) -> np.ndarray:
    """The length of each caption as the official code takes it: the number of its bigrams."""
    return np.array([max(len(caption) - 1, 0) for caption in captions], dtype=float)
