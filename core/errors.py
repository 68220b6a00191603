"""Errors that a visitor or a script may see: one clear sentence each, never a stack trace."""

from typing import Any


class UnrolledError(Exception):
    """Base of all errors whose message is meant to be read by a person."""


class InputError(UnrolledError, ValueError):
    """The input cannot be served; the message says what was wrong and what would work."""


class ModelError(UnrolledError, RuntimeError):
    """A network, checkpoint or set of weights cannot be had; the message names the remedy."""


def check_number(name: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    """Raises InputError when an option is not a number from `low` to `high`, or a whole one where it has to be."""
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # NaN is in no range
        kind = "a whole number" if whole else "a number"
        raise InputError(f"{name} must be {kind} from {low:,} to {high:,}, not {value!r}.")
