"""THE module that reaches into gradio: whatever is not in its documentation, and may change with its next version.

A public page and API need more than gradio gives: a request that does not fit gets a sentence, only uploaded files can
be named, and the description of the API is in plain English. Each hook has a test; docs/fast.md lists them.
"""

import json
import re
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, ImageData, ListFiles
from gradio.utils import get_upload_folder
from pydantic import ValidationError

MARK = "__i18n__"  # gradio's own, before a text that the browser is to translate
_ADDRESS = re.compile(r"\s*[a-zA-Z][\w+.-]+:")  # of two letters or more: C: is a disk
_TAKES = (
    (gr.Textbox, str, "text"),
    (gr.Slider | gr.Number, int | float, "a number"),
    (gr.Checkbox, bool, "true or false"),
    (gr.Image | gr.Video, dict, "an uploaded file"),
    (gr.File, dict | list, "an uploaded file"),
)  # choices are checked by gradio, and what is missing by the demos


class Page(gr.Blocks):
    """Blocks that refuse values of the wrong number and type, and document the API in plain English."""

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        """Raises gr.Error. Gradio itself would drop values that are too many, and take any value for a text."""
        wanted = block_fn.inputs
        if len(inputs) != len(wanted):
            name, count = block_fn.api_name or "This event", len(wanted)
            values = "1 value" if count == 1 else f"{count} values"
            raise gr.Error(f"{name} takes {values}, not {len(inputs)}.", print_exception=False)
        for block, value in zip(wanted, inputs, strict=True):
            for component, kind, told in _TAKES:
                missing = value is None and not isinstance(block, gr.Slider)  # which has no empty state
                fits = missing or (isinstance(value, kind) and isinstance(value, bool) == (kind is bool))
                if isinstance(block, component) and not fits:
                    raise gr.Error(f"{plain(block.label)} must be {told}.", print_exception=False)
            if names_address(value):  # gradio would fetch it, whoever it belongs to
                raise gr.Error("Only an uploaded file can be read: upload it first.", print_exception=False)

    async def preprocess_data(self, *arguments: Any, **keywords: Any) -> Any:
        """As gradio does it; what it says about the fields of a file is meant for programmers of gradio."""
        try:
            return await super().preprocess_data(*arguments, **keywords)
        except ValidationError as error:
            told = "A file must be given as the API names it after its upload, with path and meta: upload it first."
            raise gr.Error(told, print_exception=False) from error

    def get_api_info(self, *arguments: Any, **keywords: Any) -> Any:
        """The documentation, with the English texts of the components in place of their marks."""
        info = super().get_api_info(*arguments, **keywords)
        for endpoint in info["named_endpoints"].values() if info else ():
            for value in (*endpoint["parameters"], *endpoint["returns"]):
                value["label"] = plain(value["label"])
        return info


def names_address(value: Any) -> bool:
    """Whether a file, or one of a list of files, is given by an address (http://..., ftp://...) instead of a path."""
    files = value if isinstance(value, list) else [value]
    paths = (file["path"] for file in files if isinstance(file, dict) and isinstance(file.get("path"), str))
    return any(_ADDRESS.match(path) for path in paths)


def plain(label: str | None) -> str:
    """The text of a label that may be marked for translation."""
    text = label or ""
    return json.loads(text.removeprefix(MARK))["key"] if text.startswith(MARK) else text


def uploaded_path(payload: ImageData | FileData | ListFiles | None) -> str | None:
    """The path of the file that a request names, to stand in for a component's `preprocess`; of several, the first.

    Raises gr.Error unless it was uploaded: gradio's own check passes over a file that lacks the "meta" field, and would
    then read any file of this machine.
    """
    if isinstance(payload, ListFiles):
        payload = payload[0] if len(payload.root) else None
    if payload is None or not payload.path:
        return None
    if not Path(payload.path).resolve().is_relative_to(Path(get_upload_folder()).resolve()):
        raise gr.Error("Only an uploaded file can be read: upload it first.", print_exception=False)
    return payload.path
