import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.checkpoint import (
    REPOSITORY,
    Checkpoint,
    checkpoint_folder,
    find_folder,
    load_tokenizer,
    read_tensors,
    verify,
)
from core.errors import ModelError
from core.input.tokenizers import train_word_tokenizer
from demos import DEMOS
from tests.core.local_hub import local_hub


@dataclass(frozen=True)
class ReaderConfig:
    hidden_size: int
    num_layers: int = 1


@dataclass(frozen=True)
class ToyConfig:
    vocab_size: int
    sizes: tuple[int, ...] = (4, 6)
    reader: ReaderConfig = field(default_factory=lambda: ReaderConfig(8))


class Toy(nn.Module, Checkpoint):
    """All that a checkpoint must cope with: tied weights, buffers of integers, an encoder that is not saved."""

    Config = ToyConfig
    unsaved_prefixes: ClassVar[tuple[str, ...]] = ("encoder.",)

    def __init__(self, config: ToyConfig, encoder: nn.Module | None = None):
        super().__init__()
        self.config = config
        width = config.reader.hidden_size
        self.encoder = encoder or nn.Linear(3, width)
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.reader = nn.LSTM(width, width, config.reader.num_layers, batch_first=True)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(width, config.vocab_size)
        self.output.weight = self.embedding.weight
        self.convolution = nn.Conv2d(*config.sizes, 3).to(memory_format=torch.channels_last)

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, _ = self.reader(self.embedding(tokens))
        return self.output(self.dropout(self.norm(outputs[:, -1])))


class Other(Toy):
    """The same network under another name."""


CONFIG = ToyConfig(vocab_size=11)
TOKENS = torch.arange(10).view(2, 5)


@pytest.fixture
def toy() -> Toy:
    torch.manual_seed(0)
    model = Toy(CONFIG)
    model(TOKENS)  # in training mode: batch norm's statistics are no longer those of a new network
    return model.eval()


@pytest.fixture
def folder(toy: Toy, tmp_path: Path) -> Path:
    toy.save_pretrained(tmp_path / "toy")
    return tmp_path / "toy"


def edit_config(folder: Path, **changes: object) -> None:
    facts = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**facts, **changes}))


def test_full_precision_answers_bit_for_bit_as_before(toy: Toy, tmp_path: Path) -> None:
    toy.save_pretrained(tmp_path, half=False)
    loaded = Toy.from_pretrained(tmp_path)
    assert torch.equal(loaded(TOKENS), toy(TOKENS))
    assert loaded.config == CONFIG
    assert not loaded.training


def test_half_precision_is_stable_after_the_first_save(toy: Toy, folder: Path, tmp_path: Path) -> None:
    first = Toy.from_pretrained(folder)
    first.save_pretrained(tmp_path / "again")
    again = Toy.from_pretrained(tmp_path / "again")
    assert torch.equal(again(TOKENS), first(TOKENS))
    assert (tmp_path / "again/model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert not torch.equal(first(TOKENS), toy(TOKENS))
    torch.testing.assert_close(first(TOKENS), toy(TOKENS), atol=5e-3, rtol=0)
    assert {p.dtype for p in again.parameters()} == {torch.float32}


def test_tied_weights_are_saved_once_and_stay_tied(folder: Path) -> None:
    saved = load_file(folder / "model.safetensors")
    assert "embedding.weight" in saved
    assert "output.weight" not in saved
    loaded = Toy.from_pretrained(folder)
    assert loaded.output.weight is loaded.embedding.weight


def test_equal_but_separate_weights_are_both_saved(tmp_path: Path, toy: Toy) -> None:
    toy.output.weight = nn.Parameter(toy.embedding.weight.clone())
    assert {"embedding.weight", "output.weight"} <= toy.checkpoint_state_dict().keys()


def test_unsaved_prefixes_are_neither_saved_nor_expected(folder: Path) -> None:
    assert not [name for name in load_file(folder / "model.safetensors") if name.startswith("encoder.")]
    shared = nn.Linear(3, 8)
    assert Toy.from_pretrained(folder, encoder=shared).encoder is shared


def test_integers_and_tensors_too_large_for_half_keep_their_type(toy: Toy, tmp_path: Path) -> None:
    toy.norm.running_var.fill_(1e6)
    toy.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert saved["norm.num_batches_tracked"].dtype == torch.int64
    assert saved["norm.running_var"].dtype == torch.float32
    assert saved["norm.running_mean"].dtype == torch.float16
    loaded = Toy.from_pretrained(tmp_path)
    assert torch.equal(loaded.norm.running_var, toy.norm.running_var)
    assert loaded.norm.num_batches_tracked == 1


def test_memory_format_survives(folder: Path) -> None:
    weight = Toy.from_pretrained(folder).convolution.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_config_json_describes_the_network(folder: Path) -> None:
    facts = json.loads((folder / "config.json").read_text())
    assert facts["format_version"] == 1
    assert facts["model_class"] == "Toy"
    assert facts["config"] == {**asdict(CONFIG), "sizes": [4, 6]}
    assert verify(folder) == facts


def test_a_config_that_json_would_change_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="ToyConfig does not survive JSON"):
        Toy(replace(CONFIG, sizes=[4, 6])).save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_saving_keeps_the_other_files(toy: Toy, folder: Path) -> None:
    assert "license: apache-2.0" in (folder / "README.md").read_text()
    (folder / "README.md").write_text("written by hand")
    (folder / "metrics.json").write_text("{}")
    toy.save_pretrained(folder)
    assert (folder / "README.md").read_text() == "written by hand"
    names = {file.name for file in folder.iterdir()}
    assert names == {"README.md", "config.json", "metrics.json", "model.safetensors"}


def test_a_network_made_fast_for_inference_is_not_saved(toy: Toy, tmp_path: Path) -> None:
    toy.inference_only = True  # as make_cnn_fast says of a network whose batch norms it folded
    with pytest.raises(ModelError, match=r"made fast for inference .* from_pretrained"):
        toy.save_pretrained(tmp_path / "fast")
    assert not (tmp_path / "fast").exists()


# --- what can be wrong with a folder -----------------------------------------------------------------------------


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def lfs_pointer(file: Path) -> None:
    file.write_text("version https://git-lfs.example/spec/v1\noid sha256:00\nsize 9\n")


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES = [
    ("model.safetensors", Path.unlink, "is missing"),
    ("model.safetensors", make_folder, "cannot be read"),
    ("model.safetensors", cut, "sha256"),
    ("model.safetensors", flip_a_bit, "sha256"),
    ("model.safetensors", lfs_pointer, "git lfs pull"),
    ("config.json", Path.unlink, "is missing"),
    ("config.json", lambda file: file.write_text(file.read_text()[:-9]), "cut short"),
    ("config.json", lambda file: file.write_text("[]"), "is not the config of a checkpoint"),
    ("config.json", lambda file: file.write_bytes(b"\xff\xfe"), "is not the config of a checkpoint"),
    ("config.json", lambda file: edit_config(file.parent, format_version=2), "format version 2"),
    ("config.json", lambda file: edit_config(file.parent, model_class="Speaker"), "describes a Speaker, not a Toy"),
    ("config.json", lambda file: edit_config(file.parent, config={}), "needs vocab_size"),
    ("config.json", lambda file: edit_config(file.parent, config=7), "does not describe a Toy"),
    ("config.json", lambda file: edit_config(file.parent, config={"vocab_size": 11, "depth": 2}), "no field depth"),
    ("config.json", lambda file: edit_config(file.parent, config={"vocab_size": "eleven"}), "does not describe a Toy"),
    ("config.json", lambda file: edit_config(file.parent, config={"vocab_size": 11, "reader": 3}), "does not describe"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGES)
def test_damage_is_named_with_the_remedy(folder: Path, name: str, damage, message: str, monkeypatch) -> None:
    monkeypatch.setenv("UNROLLED_CHECKPOINTS", str(folder.parent))
    damage(folder / name)
    with pytest.raises(ModelError, match=message) as caught:
        Toy.from_pretrained(folder)
    assert str(folder / name) in str(caught.value)
    remedy = "git lfs pull" if damage is lfs_pointer else "name the folder of a checkpoint, or copy this one anew"
    assert remedy in str(caught.value)


def rewrite(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Other weights under a sha256 that vouches for them."""
    save_file(tensors, folder / "model.safetensors")
    edit_config(folder, sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output.bias": None}, "output.bias is missing"),
        ({"extra": torch.zeros(1)}, "extra is unknown"),
        ({"output.weight": torch.zeros(11, 8)}, "output.weight is unknown"),  # the tied name
        ({"encoder.bias": torch.zeros(8)}, "encoder.bias is unknown"),
        ({"output.bias": torch.zeros(12)}, r"output.bias is \(12,\) instead of \(11,\)"),
        ({"output.bias": torch.zeros(11, dtype=torch.int64)}, "output.bias is torch.int64 instead of torch.float32"),
        ({f"extra{n}": torch.zeros(1) for n in range(5)}, "extra2 is unknown and 2 more"),
    ],
)
def test_tensors_must_match_exactly(folder: Path, change: dict[str, Tensor | None], message: str) -> None:
    tensors = {**load_file(folder / "model.safetensors"), **change}
    rewrite(folder, {name: tensor for name, tensor in tensors.items() if tensor is not None})
    with pytest.raises(ModelError, match=message):
        Toy.from_pretrained(folder)


def test_a_network_of_another_size_does_not_fit(folder: Path) -> None:
    edit_config(folder, config=asdict(replace(CONFIG, vocab_size=12)))
    with pytest.raises(ModelError, match=r"embedding.weight is \(11, 8\) instead of \(12, 8\)"):
        Toy.from_pretrained(folder)


def test_weights_that_are_no_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weights")
    edit_config(folder, sha256=hashlib.sha256(b"weights").hexdigest())
    for read in (Toy.from_pretrained, read_tensors):
        with pytest.raises(ModelError, match="is not a safetensors file"):
            read(folder)


def test_a_pickle_is_never_loaded(toy: Toy, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(toy.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        Toy.from_pretrained(folder)


def test_another_class_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="describes a Toy, not a Other"):
        Other.from_pretrained(folder)


def test_a_missing_folder_of_the_repository_names_git_and_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNROLLED_CHECKPOINTS", raising=False)
    with pytest.raises(ModelError) as caught:
        Toy.from_pretrained(checkpoint_folder("nothing"))
    assert "`git checkout -- checkpoints/nothing`" in str(caught.value)
    assert "its recipe in recipes/" in str(caught.value)


def test_a_missing_folder_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder that exists: name the folder of a checkpoint"):
        Toy.from_pretrained(str(tmp_path / "nothing"))


def test_checkpoint_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UNROLLED_CHECKPOINTS", raising=False)
    assert checkpoint_folder("vqa") == Path(__file__).parents[2] / "checkpoints" / "vqa"
    monkeypatch.setenv("UNROLLED_CHECKPOINTS", str(tmp_path))
    assert checkpoint_folder("vqa") == tmp_path / "vqa"


def test_the_repository_s_own_checkpoints_are_whole_and_small() -> None:
    root = REPOSITORY / "checkpoints"
    folders = [file.parent for file in root.glob("**/config.json")]  # a demo may have several networks
    assert {folder.relative_to(root).parts[0] for folder in folders} == set(DEMOS)
    sizes = {
        str(folder.relative_to(root)): sum(file.stat().st_size for file in folder.iterdir()) / 1e6 for folder in folders
    }
    for folder in folders:
        assert verify(folder)["config"]
        assert {file.name for file in folder.iterdir()} >= {"README.md", "metrics.json"}
    assert all(size <= 40 for size in sizes.values()), sizes
    assert sum(sizes.values()) <= 200


# --- tokenizer ---------------------------------------------------------------------------------------------------


def test_the_tokenizer_lies_beside_the_weights(folder: Path) -> None:
    tokenizer = train_word_tokenizer(["a dog runs", "a cat"])
    tokenizer.save_pretrained(folder)
    loaded = load_tokenizer(folder)
    assert loaded("a cat runs")["input_ids"] == tokenizer("a cat runs")["input_ids"]
    assert loaded.pad_token_id == tokenizer.pad_token_id
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text()[:-50])
    with pytest.raises(ModelError, match=r"tokenizer\.json is not a tokenizer, or was cut short"):
        load_tokenizer(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        load_tokenizer(folder)


# --- the Hub -----------------------------------------------------------------------------------------------------


PUSH_AND_LOAD = """
import json, sys
from core.checkpoint import load_tokenizer
from tests.core.test_checkpoint import TOKENS, Toy

commit = Toy.from_pretrained(sys.argv[1]).push_to_hub("owner/name", token="hf_test")
loaded = Toy.from_pretrained("owner/name", cache_dir=sys.argv[2])
words = load_tokenizer("owner/name", cache_dir=sys.argv[2])("dog")["input_ids"]
print(json.dumps([commit.commit_url, str(loaded.folder), loaded(TOKENS).tolist(), words]))
"""


def test_push_to_hub_and_back_in_another_process(folder: Path, tmp_path: Path) -> None:
    tokenizer = train_word_tokenizer(["a dog"])
    tokenizer.save_pretrained(folder)
    (folder / "secret.txt").write_text("not part of a checkpoint")
    with local_hub() as (endpoint, files):
        files["pytorch_model.bin"] = b"a pickle, which is not to be downloaded"
        outcome = subprocess.run(
            [sys.executable, "-c", PUSH_AND_LOAD, folder, tmp_path],
            env={**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0"},
            cwd=REPOSITORY, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    commit, cached, answer, words = json.loads(outcome.stdout)
    assert commit == f"{endpoint}/owner/name/commit/1"
    assert "secret.txt" not in files
    assert not list(tmp_path.rglob("*.bin"))
    assert torch.equal(torch.tensor(answer), Toy.from_pretrained(folder)(TOKENS))
    assert words == tokenizer("dog")["input_ids"]

    weights = Path(cached, "model.safetensors").resolve()  # the Hub's cache holds links
    flip_a_bit(weights)
    with pytest.raises(ModelError, match="force_download=True"):
        Toy.from_pretrained(cached)


def test_a_network_without_a_folder_cannot_be_pushed(toy: Toy) -> None:
    with pytest.raises(ModelError, match="call save_pretrained"):
        Toy(CONFIG).push_to_hub("owner/name")


def test_a_hub_id_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(ModelError, match="owner/name is neither a folder here nor to be had from the Hugging Face Hub"):
        find_folder("owner/name", cache_dir=tmp_path)
