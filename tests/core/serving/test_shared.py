"""Loading once, whoever asks and however many."""

import threading
import time

import pytest

from core.errors import ModelError
from core.serving.shared import load_once


def test_threads_that_come_together_load_once_and_share():
    calls = []

    @load_once
    def load(name: str) -> list[str]:
        calls.append(name)
        time.sleep(0.05)
        return [name]

    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(load("words"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["words"]
    assert len(found) == 8
    assert all(each is found[0] for each in found)
    assert load("grid") == ["grid"]  # other arguments, another network
    assert calls == ["words", "grid"]


def test_an_error_is_not_kept():
    calls = []

    @load_once
    def load() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ModelError("The weights are missing.")
        return "network"

    with pytest.raises(ModelError):
        load()
    assert load() == load() == "network"
    assert len(calls) == 2


def test_one_network_does_not_wait_for_another():
    """A demo's first request must not stand behind the loading of another's network."""
    started, go = threading.Event(), threading.Event()

    @load_once
    def slow() -> str:
        started.set()
        assert go.wait(10)
        return "slow"

    @load_once
    def fast() -> str:
        return "fast"

    thread = threading.Thread(target=slow)
    thread.start()
    assert started.wait(10)
    assert fast() == "fast"
    go.set()
    thread.join()


def test_everything_can_be_forgotten_and_the_function_keeps_its_name():
    @load_once
    def load() -> object:
        """Loads."""
        return object()

    first = load()
    assert load() is first
    load.cache_clear()
    assert load() is not first
    assert (load.__name__, load.__doc__) == ("load", "Loads.")
