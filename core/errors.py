"""Errors that a visitor or a script may see: one clear sentence each, never a stack trace."""


class UnrolledError(Exception):
    """Base of all errors whose message is meant to be read by a person."""


class InputError(UnrolledError, ValueError):
    """The input cannot be served; the message says what was wrong and what would work."""


class ModelError(UnrolledError, RuntimeError):
    """A network, checkpoint or set of weights cannot be had; the message names the remedy."""
