"""Settings of the heap: made where glibc is, and nothing elsewhere."""

import sys
from types import SimpleNamespace

import pytest

from core.fast import heap


@pytest.mark.parametrize(("function", "count"), [(heap.keep_freed_memory, 2), (heap.share_heaps, 2)])
def test_glibc_is_told(function, count, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=lambda *pair: told.append(pair)))
    function()
    assert len(told) == count
    assert all(parameter < 0 < 2**32 and value >= 0 for parameter, value in told)


@pytest.mark.parametrize(("platform", "library"), [("linux", SimpleNamespace()), ("darwin", None), ("win32", None)])
def test_without_glibc_nothing_happens(platform, library, monkeypatch):
    def load(name):
        assert library is not None, "only Linux has it"
        return library

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(heap.ctypes, "CDLL", load)
    heap.keep_freed_memory()
    heap.share_heaps()
