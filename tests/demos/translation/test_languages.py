"""The words of each language: what they are learnt from, and the file that keeps them."""

import json

import pytest

from core.errors import ModelError
from core.input.tokenizers import encode
from demos.translation.data import COPY, SentencePair
from demos.translation.languages import LanguageWords, learn_languages, load_languages, save_languages
from demos.translation.predict import TranslationPredictor


def test_words_to_translate_are_those_that_training_translates(predictor, tokenizer):
    rows = [("A Qwertz sleeps.", "Ein Asdfgh schläft.")] * 2 + [("A Xyzzyx sings.", "Ein Xyzzyx singt.")] * 3
    rows += [("A Plughq waits.", "Ein Yxcvbn wartet.")]
    pairs = [SentencePair("en", "de", *row) for row in rows]
    assert learn_languages(tokenizer, pairs)["en"].translated == {"qwertz"}  # others: a name, and seen once
    learnt = learn_languages(tokenizer, pairs, least_word=1)["en"]
    assert learnt == LanguageWords((), frozenset({"qwertz", "plughq"}))  # nothing is translated into English here

    def copies(languages) -> bool:
        other = TranslationPredictor(predictor.model, tokenizer, languages)
        return "Plughq" in other("A Plughq waits here.", "en", "de").text

    assert (copies({}), copies({"en": learnt})) == (True, False)


def test_a_language_is_written_with_the_tokens_that_it_often_has(tokenizer):
    texts = ["Ein Hund schläft.", "Ein Mann schläft.", "Ein Pferd schläft."]
    words = learn_languages(tokenizer, [SentencePair("en", "de", "A dog.", text) for text in texts])["de"]
    often = set.intersection(*(set(ids) for ids in encode(tokenizer, texts)))
    assert often | {0, 1, 2, 3, tokenizer.convert_tokens_to_ids(COPY)} <= set(words.tokens)
    assert not set(encode(tokenizer, ["Pferd"])[0]) <= set(words.tokens)


def test_the_file_is_read_as_it_was_written(tmp_path):
    languages = {"de": LanguageWords((0, 1, 2, 3, 9), frozenset({"straße", '"'})), "en": LanguageWords()}
    save_languages(languages, tmp_path)
    assert load_languages(tmp_path, 10) == languages
    assert "straße" in (tmp_path / "languages.json").read_text()


@pytest.mark.parametrize(
    "content",
    ["", "[1]", '{"de": 5}', '{"de": {"tokens": [0, 1, 2, 3, 99], "translated": []}}', '{"de": {"tokens": [0, 1]}}',
     '{"de": {"tokens": ["a"], "translated": []}}', '{"de": {"tokens": [], "translated": [1]}}', b"\xff"],
    ids=str,
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "languages.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelError, match=r"languages\.json is not the word lists"):
        load_languages(tmp_path, 10)


def test_a_missing_file_is_named(checkpoint, tmp_path):
    for file in checkpoint.iterdir():
        if file.name != "languages.json":
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(ModelError, match=r"languages\.json is missing"):
        TranslationPredictor.from_pretrained(tmp_path)


def test_the_shipped_file_fits_its_network():
    from core.checkpoint import checkpoint_folder

    folder = checkpoint_folder("translation")
    size = json.loads((folder / "config.json").read_text())["config"]["vocab_size"]
    languages = load_languages(folder, size)
    assert sorted(languages) == ["cs", "de", "en", "fr"]
    assert all(2000 < len(words.tokens) < size and len(words.translated) > 500 for words in languages.values())
