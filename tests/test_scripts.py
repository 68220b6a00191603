"""What would go to a Space, and that it is enough to build the page."""

import shutil
import subprocess
import sys

import pytest

from scripts.deploy import ROOT, files_to_upload, main

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="asks git which files belong to the app")


def test_a_dry_run_lists_what_a_space_needs_and_no_more(capsys):
    assert main(["somebody/unrolled", "--dry-run"]) == 0
    *files, total = capsys.readouterr().out.splitlines()
    assert {"README.md", "app.py", "requirements.txt", "checkpoints/captioning/model.safetensors"} <= set(files)
    assert not any(file.startswith(("tests/", "benchmarks/", ".ci/")) for file in files)
    assert f"{len(files)} files" in total
    assert "somebody/unrolled" in total


def test_the_page_can_be_built_from_those_files_alone(tmp_path):
    for file in files_to_upload():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    subprocess.run([sys.executable, "-c", "import app; app.build()"], cwd=tmp_path, check=True)


@pytest.mark.parametrize("name", ["unrolled", "a/b/c", "", "../x/y"])
def test_a_name_that_is_none_gets_a_sentence(name, capsys):
    assert main([name]) == 2
    assert "user/name" in capsys.readouterr().err
