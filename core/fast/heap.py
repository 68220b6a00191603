"""Two settings of glibc's heap, for how PyTorch uses it. Elsewhere (macOS, Windows, musl) they change nothing."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8  # parameters of mallopt(3)


def keep_freed_memory() -> None:
    """For trainings: keep what is freed. By default large blocks go back to the system and come anew at every step, and
    the system clears each page again: on a CPU a third of the time of a convolutional training."""
    _set(_TRIM_THRESHOLD, 2**31 - 1)
    _set(_MMAP_MAX, 0)


def share_heaps() -> None:
    """For servers: two heaps for all threads. Each thread's own would keep what that thread once needed, and requests
    come on many. And large blocks go back to the system at once: by default glibc soon takes them, too, from the heaps,
    which then grow whenever requests come in a new order."""
    _set(_ARENA_MAX, 2)
    _set(_MMAP_THRESHOLD, 2**20)


def _set(parameter: int, value: int) -> None:
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(parameter, value)
