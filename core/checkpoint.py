"""A checkpoint is a folder that `from_pretrained(folder_or_hub_id)` loads and `save_pretrained` writes.

    config.json        how to build the network, and the sha256 of its weights
    model.safetensors  the weights, by default in half precision
    tokenizer.json     (+ tokenizer_config.json) what PreTrainedTokenizerFast.save_pretrained writes
    languages.json     of the translator: the words of each language
    metrics.json       what `evaluate` printed
    README.md          the model card

huggingface_hub's PyTorchModelHubMixin, tightened: safetensors only and never a pickle, names and shapes must match
exactly, the sha256 is verified on the very bytes that are loaded. Loading is reproducible bit for bit.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_type_hints

import safetensors.torch
import torch
from huggingface_hub import HfApi, PyTorchModelHubMixin, snapshot_download
from safetensors import SafetensorError
from torch import Tensor

from core.errors import ModelError
from core.fast.quantisation import dequantise, quantise

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FORMAT_VERSION = 1
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
FILES = (CONFIG, WEIGHTS, TOKENIZER, "tokenizer_config.json", "languages.json", "metrics.json", "README.md")
REPOSITORY = Path(__file__).resolve().parents[1]

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_CARD = """---
{{ card_data }}
---

# {{ model_class }}

{{ parameters }} parameters, saved in this folder as safetensors. Load it with
`{{ model_class }}.from_pretrained(folder_or_hub_id)`.
"""


def checkpoint_folder(task: str) -> Path:
    """Where the checkpoint of a task lies: checkpoints/<task> of this repository, or of $UNROLLED_CHECKPOINTS."""
    return Path(os.environ.get("UNROLLED_CHECKPOINTS") or REPOSITORY / "checkpoints") / task


class Checkpoint(PyTorchModelHubMixin, model_card_template=_CARD, license="apache-2.0", library_name="unrolled"):
    """Mixin: `class Captioner(nn.Module, Checkpoint)`.

    The class names its frozen dataclass `Config` (numbers, strings, tuples, other such dataclasses), takes one as the
    first argument of its constructor and keeps it as `self.config`.
    """

    Config: ClassVar[type]
    unsaved_prefixes: ClassVar[tuple[str, ...]] = ()  # state-dict names beginning so come from elsewhere (pip)
    config: Any
    folder: Path | None = None  # where the network was loaded from or saved to last
    inference_only: bool = False  # made fast in place (batch norms folded, ...): no longer what a checkpoint holds

    def checkpoint_state_dict(self) -> dict[str, Tensor]:
        """The state dict as the file holds it: without `unsaved_prefixes`, tied weights under their first name only.

        The tensors share memory with the network.
        """
        tensors, seen = {}, set()
        for name, tensor in self.state_dict().items():
            memory = (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else name
            if not name.startswith(self.unsaved_prefixes) and memory not in seen:
                seen.add(memory)
                tensors[name] = tensor
        return tensors

    def save_pretrained(self, folder: str | Path, *, half: bool = True, eight_bits: bool = False) -> None:
        """Write weights and config.json, and a model card where there is none; other files of the folder stay.

        `half` keeps float32 tensors as float16, 11 bits of precision; a tensor too large for it stays float32.
        `eight_bits` keeps matrices and filters in half of that (see core.fast.quantisation). Raises ModelError for a
        network that was made fast for inference.
        """
        if self.inference_only:
            raise ModelError(
                "This network was made fast for inference and can no longer be saved: load the checkpoint anew with "
                "from_pretrained, and save that."
            )
        folder = Path(folder)
        config = asdict(self.config)
        if _build_config(type(self.config), json.loads(json.dumps(config))) != self.config:
            raise TypeError(f"{type(self.config).__name__} does not survive JSON: use numbers, strings and tuples.")
        tensors = {
            name: (_halve(tensor) if half else tensor).cpu().contiguous()
            for name, tensor in self.checkpoint_state_dict().items()
        }
        weights = safetensors.torch.save(quantise(tensors) if eight_bits else tensors, metadata={"format": "pt"})
        facts = {
            "format_version": FORMAT_VERSION,
            "model_class": type(self).__name__,
            "sha256": hashlib.sha256(weights).hexdigest(),
            "config": config,
        }
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / WEIGHTS, weights)
        replace_file(folder / CONFIG, (json.dumps(facts, indent=2) + "\n").encode())
        if not (folder / "README.md").exists():
            parameters = f"{sum(tensor.numel() for tensor in tensors.values()):,}"
            self.generate_model_card(model_class=type(self).__name__, parameters=parameters).save(folder / "README.md")
        self.folder = folder

    @classmethod
    def from_pretrained(
        cls,
        folder_or_hub_id: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        **model_kwargs: Any,
    ) -> Self:
        """Build the network and load its weights, in float32 and eval mode.

        The keywords before `model_kwargs` matter for a Hub id only; `model_kwargs` go to the constructor beside the
        config, as an encoder that several networks share. Raises ModelError, which names the file and the remedy, for
        anything that is missing, damaged or made for another network.
        """
        folder = find_folder(
            folder_or_hub_id,
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
        )
        facts, weights = _read_verified(folder)
        if facts["model_class"] != cls.__name__:
            raise _error(folder / CONFIG, f"describes a {facts['model_class']}, not a {cls.__name__}")
        try:
            model = cls(_build_config(cls.Config, facts["config"]), **model_kwargs)
        except ModelError:
            raise  # an encoder that is not installed says so itself
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise _error(folder / CONFIG, f"does not describe a {cls.__name__} that can be built ({error})") from error
        _fill(model.checkpoint_state_dict(), _tensors(weights, folder / WEIGHTS), folder / WEIGHTS)
        model.folder = folder
        return model.eval()

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload checkpoint",
    ) -> str:
        """Upload the folder that this network was loaded from or saved to last, as it lies there; returns the commit.

        Weights, tokenizer, metrics and model card go together, so that the metrics are those of the weights.
        Raises ModelError when there is no such folder or it is damaged.
        """
        if self.folder is None:
            raise ModelError("This network lies in no folder yet: call save_pretrained(folder) before push_to_hub.")
        verify(self.folder)
        api = HfApi(token=token)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        return api.upload_folder(
            repo_id=repo_id, folder_path=self.folder, allow_patterns=list(FILES), commit_message=commit_message
        )


def verify(folder: str | Path) -> dict[str, Any]:
    """The content of config.json, once the weights have been found whole. Raises ModelError where they are not."""
    return _read_verified(Path(folder))[0]


def read_tensors(folder_or_hub_id: str | Path, prefix: str = "", **hub_options: Any) -> dict[str, Tensor]:
    """{name without the prefix: tensor} of a checkpoint's tensors whose names begin with `prefix`.

    For a network that starts from parts of another one. Raises ModelError when the checkpoint is missing or damaged.
    """
    folder = find_folder(folder_or_hub_id, **hub_options)
    tensors = _tensors(_read_verified(folder)[1], folder / WEIGHTS)
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def load_tokenizer(folder_or_hub_id: str | Path, **hub_options: Any) -> "PreTrainedTokenizerFast":
    """The tokenizer saved beside the weights. Raises ModelError when it is missing or damaged."""
    from transformers import PreTrainedTokenizerFast

    folder = find_folder(folder_or_hub_id, **hub_options)
    _read(folder / TOKENIZER)
    try:
        return PreTrainedTokenizerFast.from_pretrained(folder)
    except Exception as error:  # the parsers behind it raise errors of their own, some a bare Exception
        raise _error(folder / TOKENIZER, "is not a tokenizer, or was cut short") from error


def find_folder(folder_or_hub_id: str | Path, **hub_options: Any) -> Path:
    """A local folder as it is; "owner/name" that is no local folder is downloaded from the Hugging Face Hub.

    `hub_options` go to `huggingface_hub.snapshot_download`. Raises ModelError when neither exists.
    """
    folder = Path(folder_or_hub_id)
    if folder.is_dir():
        return folder
    if isinstance(folder_or_hub_id, Path) or not _HUB_ID.fullmatch(folder_or_hub_id):
        raise _error(folder, "is not a folder that exists")
    try:
        return Path(snapshot_download(folder_or_hub_id, allow_patterns=list(FILES), **hub_options))
    except Exception as error:  # the client lets errors of several libraries through
        reason = str(error).partition("\n")[0]
        raise _error(folder, f"is neither a folder here nor to be had from the Hugging Face Hub ({reason})") from error


# --- reading and checking ----------------------------------------------------------------------------------------


def _read_verified(folder: Path) -> tuple[dict[str, Any], bytes]:
    """What config.json says, and the bytes of the weights that it vouches for."""
    config = folder / CONFIG
    try:
        facts = json.loads(_read(config))
        version, _, _, _ = (facts[key] for key in ("format_version", "model_class", "sha256", "config"))
    except (ValueError, TypeError, KeyError) as error:
        raise _error(config, "is not the config of a checkpoint, or was cut short") from error
    if version != FORMAT_VERSION:
        raise _error(config, f"has format version {version!r}, and this code reads version {FORMAT_VERSION} only")
    weights = _read(folder / WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != facts["sha256"]:
        raise _error(folder / WEIGHTS, "does not have the sha256 that config.json states: it was changed or cut short")
    return facts, weights


def _read(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _error(file, "is missing" if not file.exists() else f"cannot be read ({error.strerror})") from error
    if content.startswith(b"version https://git-lfs"):
        raise ModelError(f"{file} is a Git LFS pointer, not the file itself: run `git lfs pull`.")
    return content


def _build_config(config_class: type, values: Mapping[str, Any]) -> Any:
    """The dataclass that `asdict` and JSON turned into `values`. Raises ValueError for unknown or missing fields."""
    known = {field.name for field in fields(config_class)}
    required = {f.name for f in fields(config_class) if f.default is MISSING and f.default_factory is MISSING}
    if unknown := sorted(values.keys() - known):
        raise ValueError(f"{config_class.__name__} has no field {', '.join(unknown)}")
    if missing := sorted(required - values.keys()):
        raise ValueError(f"{config_class.__name__} needs {', '.join(missing)}")
    types = get_type_hints(config_class)
    return config_class(
        **{
            name: _build_config(types[name], value) if is_dataclass(types[name]) else _tuples(value)
            for name, value in values.items()
        }
    )


def _tuples(value: Any) -> Any:
    """JSON knows lists only; a frozen config holds tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _tensors(weights: bytes, file: Path) -> dict[str, Tensor]:
    try:
        return dequantise(safetensors.torch.load(weights))
    except SafetensorError as error:
        raise _error(file, "is not a safetensors file") from error


@torch.no_grad()
def _fill(targets: Mapping[str, Tensor], tensors: Mapping[str, Tensor], file: Path) -> None:
    """Copy the file's tensors into the network's, which must have the same names, shapes and types."""
    problems = [f"{name} is missing" for name in targets if name not in tensors]
    problems += [f"{name} is unknown" for name in tensors if name not in targets]
    for name in targets.keys() & tensors.keys():
        target, tensor = targets[name], tensors[name]
        if target.shape != tensor.shape:
            problems.append(f"{name} is {tuple(tensor.shape)} instead of {tuple(target.shape)}")
        elif tensor.dtype != target.dtype and (tensor.dtype, target.dtype) != (torch.float16, torch.float32):
            problems.append(f"{name} is {tensor.dtype} instead of {target.dtype}")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise _error(file, f"does not fit the network: {'; '.join(sorted(problems)[:3])}{more}")
    for name, target in targets.items():
        target.copy_(tensors[name])


# --- writing -----------------------------------------------------------------------------------------------------


def _halve(tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.float32:
        return tensor
    halved = tensor.half()
    return halved if torch.equal(halved.isfinite(), tensor.isfinite()) else tensor


def replace_file(file: Path, content: bytes) -> None:
    """Write a file; a half-written one never carries the final name."""
    part = file.with_name(file.name + ".part")
    part.write_bytes(content)
    part.replace(file)


# --- what to do about it -----------------------------------------------------------------------------------------


def _error(file: Path, problem: str) -> ModelError:
    return ModelError(f"{file} {problem}: {_remedy(file)}.")


def _remedy(file: Path) -> str:
    """The commands that bring back a checkpoint's folder or one of its files."""
    folder = (file.parent if file.name in FILES else file).resolve()
    if folder.parent.name == "snapshots":  # the Hub's cache
        return "download it anew with from_pretrained(..., force_download=True)"
    steps = []
    if folder.is_relative_to(REPOSITORY / "checkpoints"):
        steps.append(f"restore it with `git checkout -- {folder.relative_to(REPOSITORY).as_posix()}`")
        steps.append("train it anew by its recipe in recipes/")
    return ", or ".join(steps) or "name the folder of a checkpoint, or copy this one anew from where it came"
