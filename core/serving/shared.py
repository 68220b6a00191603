"""Loading once: what is heavy is loaded when it is first needed, by one thread, and shared by all."""

from collections.abc import Callable
from functools import cache, wraps
from threading import Lock
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def load_once(load: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """The function, called once for each set of arguments; threads that come meanwhile wait for its value.

    An error is not kept: the next call tries again. `cache_clear()` of the result forgets everything (for tests).
    """
    lock, cached = Lock(), cache(load)

    @wraps(load)
    def shared(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Value:
        with lock:
            return cached(*arguments, **keywords)

    shared.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
    return shared
