"""The same photo for a Transformer: BLIP (Li et al. 2022), from the Hugging Face Hub through `transformers`.

Used only when somebody asks, and only where the weights are on this machine or a network brings them.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import ModelError
from core.input.image import load_image
from core.serving.shared import load_once

if TYPE_CHECKING:
    from transformers import BlipForConditionalGeneration, BlipProcessor

BLIP = "Salesforce/blip-image-captioning-base"
_WEIGHTS = "model.safetensors"
_FILES = ["*.json", "*.txt", _WEIGHTS]  # about 1 GB; never a pickle
_TIMEOUT = 5.0  # seconds to find out whether the Hub can be reached
_LOCK = threading.Lock()
_downloads: dict[str | Path, threading.Thread] = {}


@dataclass(frozen=True)
class BlipCaption:
    """What BLIP says of a photo."""

    text: str
    seconds: float


def caption_with_blip(image: Any, source: str | Path = BLIP, max_length: int = 20) -> BlipCaption:
    """BLIP's caption of one photo (greedy search) and the time it took, loading not counted.

    `source` is a folder or a Hub id. What is not on this machine yet is fetched in the background, so that nobody
    waits: until it has come, and where there is no network, this raises ModelError. Raises InputError when `image` is
    no usable picture.
    """
    import torch

    photo = load_image(image)
    model, processor = _load(_local_folder(source))
    start = time.perf_counter()
    with torch.inference_mode():
        tokens = model.generate(**processor(images=photo, return_tensors="pt"), max_new_tokens=max_length)
    text = processor.decode(tokens[0], skip_special_tokens=True).strip()
    return BlipCaption(text, round(time.perf_counter() - start, 4))


@load_once
def _load(folder: Path) -> tuple["BlipForConditionalGeneration", "BlipProcessor"]:
    from core.fast.torchvision_import import import_torchvision

    import_torchvision()  # which transformers prepares pictures with
    from transformers import BlipForConditionalGeneration, BlipProcessor

    try:
        processor = BlipProcessor.from_pretrained(folder)
        model = BlipForConditionalGeneration.from_pretrained(folder, use_safetensors=True)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"BLIP cannot be loaded from {folder}: delete this folder and ask again.") from error
    return model.eval(), processor


def _local_folder(source: str | Path) -> Path:
    """Where the files lie. Raises ModelError while they are on their way or cannot be had."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with _LOCK:
        if source in _downloads and _downloads[source].is_alive():
            raise ModelError(f"{source} is being downloaded (about 1 GB): ask again in a few minutes.")
        try:
            folder = Path(snapshot_download(str(source), allow_patterns=_FILES, local_files_only=True))
            if (folder / _WEIGHTS).exists():
                return folder
        except LocalEntryNotFoundError:
            pass
        _check_reachable(source)
        keywords = {"repo_id": str(source), "allow_patterns": _FILES}
        _downloads[source] = threading.Thread(target=snapshot_download, kwargs=keywords, daemon=True)
        _downloads[source].start()
    raise ModelError(f"The download of {source} (about 1 GB) has begun: ask again in a few minutes.")


def _check_reachable(source: str | Path) -> None:
    """Asked without the Hub's own client, which tries again and again for 20 seconds where there is no network."""
    import httpx
    from huggingface_hub.constants import ENDPOINT

    try:
        httpx.head(f"{ENDPOINT}/api/models/{source}", timeout=_TIMEOUT, follow_redirects=True).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ModelError(
            f"The comparison needs {source} from the Hugging Face Hub, which cannot be reached from here. Everything "
            "else works without it."
        ) from error
