"""Batches of neighbours in length, so that little is padded; for training and for answering alike."""

from collections.abc import Iterator, Sequence

Length = float | tuple[float, ...]


def batches_by_length(lengths: Sequence[Length], most_items: int | None, most_tokens: int) -> Iterator[list[int]]:
    """Indices of sequences in batches, shortest first: at most `most_items` each, at most `most_tokens` with padding.

    lengths: of each sequence, or of each part of it where it has several (source and target): they are ordered by the
    first part, then by the next, and the longest of all counts. A sequence that is too long is a batch of its own.
    """
    batch: list[int] = []
    longest = 0.0
    for n in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = _longest(lengths[n])
        longest = max(longest, length)
        if batch and (len(batch) == most_items or longest * (len(batch) + 1) > most_tokens):
            yield batch
            batch, longest = [], length
        batch.append(n)
    if batch:
        yield batch


def _longest(length: Length) -> float:
    return max(length) if isinstance(length, tuple) else length
