"""metrics.json: what `evaluate` printed, beside the weights that it measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.checkpoint import find_folder, replace_file

METRICS = "metrics.json"


def report(about: Mapping[str, Any], figures: Mapping[str, Any], save_to: str | Path | None = None) -> None:
    """Print a record as one JSON line, and keep it in the metrics.json of a checkpoint.

    about: what was measured (data, split, settings, number of items): a later record about the same replaces it, all
    others stay. figures: what came out. save_to: folder of the checkpoint or its Hub id, whose copy on this machine
    gets the record; None: the record is only printed.
    """
    record = {**about, **figures}
    print(json.dumps(record), flush=True)
    if save_to is not None:
        save_record(save_to, about, figures)


def save_record(folder_or_hub_id: str | Path, about: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """The same without printing. Raises ModelError when there is no such checkpoint."""
    file = find_folder(folder_or_hub_id) / METRICS
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"evaluations": []}
    known = json.loads(json.dumps(about))  # as JSON gives it back: lists for tuples
    kept = [entry for entry in content["evaluations"] if any(entry.get(key) != known[key] for key in known)]
    content["evaluations"] = [*kept, {**about, **figures}]
    replace_file(file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
