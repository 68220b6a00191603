"""Which of Flickr8k's captions may be learnt from, and the files that the network makes of them."""

import pytest

from demos.translation.__main__ import main
from demos.translation.captions import written
from demos.translation.data import multi30k_pairs
from tests.demos.translation.conftest import LINES

HORSE = "A horse sings here at home ."


@pytest.fixture
def flickr8k(tmp_path):
    """Photo 1 is one of Multi30k's training photos, photo 2 one of its dev photos, photo 3 none of its photos."""
    captions = {
        "1.jpg": [LINES[40][0].upper(), HORSE, "a girl 's dog sleeps", HORSE],
        "2.jpg": [LINES[3][0], LINES[41][0], "A man at home ."],
        "3.jpg": ["A girl here ."],
    }
    lines = [f"{photo}#{n}\t{text}" for photo, texts in captions.items() for n, text in enumerate(texts)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        ("A dog 's ball .", "A dog's ball."),
        ("a man , who does n't run", "A man, who doesn't run."),
        ('A sign says " stop " !', 'A sign says "stop"!'),
    ],
)
def test_captions_are_written_as_people_write(caption, text):
    assert written(caption) == text


def test_only_captions_of_training_photos_are_translated_and_can_be_trained_on(toys, flickr8k, checkpoint, capsys):
    made = flickr8k / "made"
    command = ["captions", "--flickr8k", str(flickr8k), "--multi30k", str(toys), "--checkpoint", str(checkpoint)]
    # The toy Multi30k trains on its dev and test sentences too: nothing of photo 2 may be used all the same.
    assert main([*command, "--languages", "de", "--out", str(made)]) == 0
    assert (made / "captions.en").read_text().splitlines() == ["A horse sings here at home.", "A girl's dog sleeps."]
    pairs = multi30k_pairs(made, "captions")
    assert [(p.source, p.target) for p in pairs] == [("en", "de")] * 2 + [("de", "en")] * 2
    assert pairs[0].translation.startswith("Ein Pferd singt")
    train = ["train", "--multi30k", str(toys), "--captions", str(made), "--start", str(checkpoint), "--rounds", "1"]
    options = ["--round-pairs", "24", "0", "--round-captions", "4", "--dev-sentences", "2", "--precision", "no"]
    assert main([*train, *options, "--out", str(flickr8k / "run")]) == 0
    assert (flickr8k / "run" / "best" / "model.safetensors").exists()


def test_several_translations_of_each_and_of_the_training_sentences(toys, flickr8k, checkpoint, capsys):
    made = flickr8k / "made"
    command = ["captions", "--flickr8k", str(flickr8k), "--multi30k", str(toys), "--checkpoint", str(checkpoint),
               "--languages", "de", "--limit", "1", "--own", "--out", str(made)]  # fmt: skip
    assert main([*command, "--n-best", "3"]) == 0
    english, german = ((made / f"captions.{code}").read_text().splitlines() for code in ("en", "de"))
    assert english == ["A horse sings here at home."] * 3 + [LINES[0][0]] * 3
    assert len(set(german[:3])) == 3
    assert german[3] == LINES[0][1]
    assert main([*command, "--n-best", "5"]) == 2
    assert "between 1 and the beam size, 4; it is 5" in capsys.readouterr().err


def test_collections_that_share_no_photo_are_named(toys, tmp_path, capsys):
    (tmp_path / "Flickr8k.token.txt").write_text("3.jpg#0\tA girl here .\n")
    command = ["captions", "--flickr8k", str(tmp_path), "--multi30k", str(toys), "--out", str(tmp_path / "made")]
    assert main(command) == 2
    assert "No photo of" in capsys.readouterr().err
