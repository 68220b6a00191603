"""Batches of neighbours in length."""

import random

import pytest

from core.training.batches import batches_by_length


@pytest.mark.parametrize(("most_items", "most_tokens"), [(4, 1000), (None, 40), (3, 30)])
def test_every_sequence_comes_once_and_no_batch_is_too_large(most_items, most_tokens):
    lengths = [random.Random(n).randint(1, 20) for n in range(57)]
    batches = list(batches_by_length(lengths, most_items, most_tokens))
    assert sorted(n for batch in batches for n in batch) == list(range(57))
    for batch in batches:
        assert most_items is None or len(batch) <= most_items
        assert len(batch) * max(lengths[n] for n in batch) <= most_tokens
    in_order = [lengths[n] for batch in batches for n in batch]
    assert in_order == sorted(lengths)


def test_batches_are_as_full_as_the_limits_let_them_be():
    assert list(batches_by_length([5] * 7, 3, 1000)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches_by_length([5] * 7, None, 10)) == [[0, 1], [2, 3], [4, 5], [6]]


def test_a_sequence_that_is_too_long_is_a_batch_of_its_own():
    assert list(batches_by_length([3, 100, 2, 90], 8, 20)) == [[2, 0], [3], [1]]


def test_of_several_parts_the_longest_counts_and_the_first_orders():
    lengths = [(2, 9), (1, 2), (2, 3), (1, 8)]  # source, target
    assert list(batches_by_length(lengths, 8, 1000)) == [[1, 3, 2, 0]]
    assert list(batches_by_length(lengths, 8, 16)) == [[1, 3], [2], [0]]


def test_nothing_gives_no_batch():
    assert list(batches_by_length([], 8, 100)) == []
