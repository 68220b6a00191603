"""One folder for everything temporary that a server and its libraries write, gone when the server ends."""

import os
import tempfile

_folder: tempfile.TemporaryDirectory | None = None


def use_own_temporary_folder() -> str:
    """Make the folder, once, and let this process and those that it starts put temporary files there.

    In $GRADIO_TEMP_DIR where that is set, else where the system has them. Call this before gradio is imported: some of
    its modules look at GRADIO_TEMP_DIR only then, and what they write elsewhere would never be deleted.
    """
    global _folder
    if _folder is None:
        parent = os.environ.get("GRADIO_TEMP_DIR")
        _folder = tempfile.TemporaryDirectory(prefix="unrolled-", dir=parent, ignore_cleanup_errors=True)
        os.environ["GRADIO_TEMP_DIR"] = os.environ["TMPDIR"] = tempfile.tempdir = _folder.name
    return _folder.name


def remove_own_temporary_folder() -> None:
    """Delete the folder, whatever still lies in it. It also goes when the interpreter ends in the usual way."""
    if _folder is not None:
        _folder.cleanup()
