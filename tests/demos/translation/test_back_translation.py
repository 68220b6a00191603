"""Which of Flickr8k's captions may be learnt from, and the files that the network makes of them."""

import pytest

from core.errors import InputError
from demos.translation.back_translation import translate_captions, unused_captions, written
from demos.translation.data import multi30k_pairs


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


def test_only_captions_of_training_photos_are_used(toys, flickr8k):
    # The toy Multi30k trains on its dev and test sentences too: nothing of photo 2 may be used all the same.
    assert unused_captions(flickr8k, toys) == ["A horse sings here at home.", "A girl's dog sleeps."]


def test_several_translations_of_each_are_aligned_line_by_line(predictor, tmp_path):
    captions = ["A horse sings here at home.", "A dog sleeps here."]
    translate_captions(predictor, captions, ["de"], 3, tmp_path)
    english, german = ((tmp_path / f"captions.{code}").read_text().splitlines() for code in ("en", "de"))
    assert english == [caption for caption in captions for _ in range(3)]
    assert len(set(german[:3])) == 3
    assert german[3] == "Ein Hund schläft hier."
    pairs = multi30k_pairs(tmp_path, "captions")
    assert [(p.source, p.target) for p in pairs] == [("en", "de")] * 6 + [("de", "en")] * 6


def test_collections_that_share_no_photo_are_named(toys, tmp_path):
    (tmp_path / "Flickr8k.token.txt").write_text("3.jpg#0\tA girl here .\n")
    with pytest.raises(InputError, match="No photo of"):
        unused_captions(tmp_path, toys)
