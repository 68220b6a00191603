"""The examples do what they say: the scripts, and the notebooks cell by cell."""

import json
from pathlib import Path

import gradio
import pytest

from examples import caption_a_photo, train_a_captioner

FOLDER = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_a_photo_gets_its_captions(capsys):
    caption_a_photo.main(gradio.media.get_image("cheetah1.jpg"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[5] == ""
    assert lines[-1].endswith("<eos>")


def test_a_captioner_learns_shapes_colours_and_places(capsys):
    assert train_a_captioner.main(pictures=160, epochs=20) > 0.4  # of 16 kinds; guessing is right once in 16
    assert "drawn:" in capsys.readouterr().out


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_from_top_to_bottom(notebook, capsys):
    """The notebooks check themselves by assertions."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") for cell in content["cells"]), "commit notebooks without their outputs"
    names: dict = {}
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert capsys.readouterr().out


def test_there_are_notebooks():
    assert [file.stem for file in NOTEBOOKS] == ["beam_search_by_hand", "inside_an_lstm"]
