"""Untrusted text -> clean text, or InputError with one clear sentence."""

import unicodedata

from core.errors import InputError


def clean_text(text: object, max_chars: int, what: str = "text") -> str:
    """Text as NFC without control characters (line breaks and tabs stay) and without space around it.

    `what` names the field in the message. Raises InputError for anything but a string, for an empty one and for more
    than `max_chars` characters.
    """
    if not isinstance(text, str):
        raise InputError(f"The {what} is missing: type one." if text is None else f"The {what} must be a string.")
    if any("\udc80" <= c <= "\udcff" for c in text):  # what was read with errors="surrogateescape"
        raise InputError(f"The {what} is not valid UTF-8: save or send it as UTF-8.")
    text = text.replace("\r\n", "\n").strip().strip("\ufeff")
    if len(text) <= max_chars:  # checked before the work too, which may be quadratic
        kept = (c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))
        text = unicodedata.normalize("NFC", "".join(kept)).strip()
    if not text:
        raise InputError(f"The {what} is empty: type one.")
    if len(text) > max_chars:
        raise InputError(f"The {what} has {len(text):,} characters, more than the {max_chars:,} that work: shorten it.")
    return text
