"""Untrusted files, by path, as bytes or as a stream -> a stream that can seek, within a limit of bytes."""

import io
import os
from pathlib import Path
from typing import BinaryIO

from core.errors import InputError


def open_untrusted(source: object, most_bytes: int, what: str) -> BinaryIO:
    """A path, bytes or an open binary file -> a stream that can seek, at its beginning; the caller closes it.

    `what` ("picture", "clip") names it in the messages. Raises InputError where there is nothing, or too much, to read.
    """
    if source is None or source == "":
        photo = "photo was given: choose a picture" if what == "picture" else f"{what} was given: choose one"
        raise InputError(f"No {photo} first.")
    if isinstance(source, str | Path):
        stream = _open_file(source, what)
    elif isinstance(source, bytes | bytearray | memoryview):
        stream = io.BytesIO(source)
    elif hasattr(source, "read"):
        stream = _read_stream(source, most_bytes, what)
    else:
        accepted = "a path, bytes, an open file or an image" if what == "picture" else "a path, bytes or an open file"
        raise InputError(f"A {type(source).__name__} is not a {what}: give {accepted}.")
    size = file_bytes(stream)
    if 0 < size <= most_bytes:
        return stream
    stream.close()
    if size == 0:
        raise InputError(f"The {what} file is empty (0 bytes): choose another one.")
    raise InputError(f"The {what} file is larger than the {most_bytes / 1e6:,.0f} MB that work: make it smaller.")


def file_bytes(stream: BinaryIO) -> int:
    """The size of a stream, which is then at its beginning."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return size


def _open_file(path: str | Path, what: str) -> BinaryIO:
    file = Path(path)
    try:
        if file.is_dir():
            raise InputError(f"{path} is a folder, not a {what}: name one file in it.")
        if file.exists() and not file.is_file():  # a pipe or device could be read for ever
            raise InputError(f"{path} is not a regular file: name a {what} file.")
        return file.open("rb")
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}: check the name of the {what}.") from error
    except (OSError, ValueError) as error:  # no permission, name too long, NUL in the name, ...
        raise InputError(f"The file {str(path)[:200]!r} cannot be opened: check its name and permissions.") from error


def _read_stream(source: BinaryIO, most_bytes: int, what: str) -> BinaryIO:
    """In memory, because the stream may not be able to go back."""
    try:
        return io.BytesIO(source.read(most_bytes + 1))
    except Exception as error:  # a text stream, a closed file, ...
        raise InputError(f"The {what} could not be read: open the file in binary mode.") from error
