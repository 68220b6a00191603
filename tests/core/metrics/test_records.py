"""metrics.json: records are added, and replaced only by others about the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.checkpoint import REPOSITORY
from core.errors import ModelError
from core.metrics.records import report, save_record
from tests.core.local_hub import local_hub


def read(folder: Path) -> list[dict]:
    return json.loads((folder / "metrics.json").read_text())["evaluations"]


def test_a_record_is_printed_and_kept_beside_the_others(tmp_path, capsys):
    report({"split": "dev", "beam": 5}, {"bleu": 21.5}, tmp_path)
    report({"split": "test", "beam": 5}, {"bleu": 20.0}, tmp_path)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == read(tmp_path)
    assert [record["split"] for record in read(tmp_path)] == ["dev", "test"]


def test_a_record_about_the_same_is_replaced_all_others_stay(tmp_path):
    for beam, split, bleu in ((5, "dev", 1.0), (1, "dev", 2.0), (5, "test", 3.0), (5, "dev", 4.0)):
        save_record(tmp_path, {"beam": beam, "split": split, "names": ("a", "b")}, {"bleu": bleu})
    found = {(record["beam"], record["split"]): record["bleu"] for record in read(tmp_path)}
    assert found == {(1, "dev"): 2.0, (5, "test"): 3.0, (5, "dev"): 4.0}
    assert len(read(tmp_path)) == 3  # tuples, which JSON gives back as lists, are the same


def test_what_else_stands_in_the_file_stays(tmp_path):
    (tmp_path / "metrics.json").write_text('{"note": "by hand", "evaluations": []}')
    save_record(tmp_path, {"split": "dev"}, {"wer": 0.1})
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content == {"note": "by hand", "evaluations": [{"split": "dev", "wer": 0.1}]}
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]


def test_nothing_is_kept_unless_a_checkpoint_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report({"split": "dev"}, {"wer": 0.1})
    assert capsys.readouterr().out == '{"split": "dev", "wer": 0.1}\n'
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ModelError, match="is not a folder that exists"):
        save_record(tmp_path / "nothing", {"split": "dev"}, {"wer": 0.1})


def test_a_file_in_the_cache_of_the_hub_keeps_what_other_revisions_share(tmp_path):
    """A snapshot's files are links to blobs, which other snapshots may link to as well: the blob stays as it is."""
    blob, snapshot = tmp_path / "blobs" / "0a", tmp_path / "snapshots" / "1" / "metrics.json"
    for file in (blob, snapshot):
        file.parent.mkdir(parents=True)
    blob.write_text('{"evaluations": [{"split": "test", "wer": 0.3}]}')
    snapshot.symlink_to(blob)
    save_record(snapshot.parent, {"split": "dev"}, {"wer": 0.1})
    assert json.loads(blob.read_text()) == {"evaluations": [{"split": "test", "wer": 0.3}]}
    assert [record["split"] for record in read(snapshot.parent)] == ["test", "dev"]


SAVE_TO_HUB = """
from core.checkpoint import find_folder
from core.metrics.records import report
report({"split": "dev"}, {"wer": 0.1}, "owner/name")
print(find_folder("owner/name"))
"""


def test_a_hub_id_keeps_its_records_in_the_copy_on_this_machine(tmp_path):
    with local_hub() as (endpoint, files):
        files["metrics.json"] = b'{"evaluations": [{"split": "test", "wer": 0.3}]}'
        outcome = subprocess.run(
            [sys.executable, "-c", SAVE_TO_HUB],
            env={**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)},
            cwd=REPOSITORY, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    folder = Path(outcome.stdout.splitlines()[-1])
    assert folder.is_relative_to(tmp_path)
    assert [record["split"] for record in read(folder)] == ["test", "dev"]
    assert b"dev" not in files["metrics.json"]  # nothing is uploaded
