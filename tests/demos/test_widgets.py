import math

import gradio as gr
import pytest
from gradio.data_classes import FileData, ListFiles

from core.errors import InputError, ModelError
from demos.widgets import explained, file_input, photo_input, problem, served, table, word_buttons, word_spans


def fail(error: Exception):
    raise error


@pytest.mark.parametrize("error", [InputError("Too <b>big</b>."), ModelError("Too <b>big</b>.")])
def test_errors_for_people_arrive_as_their_sentence_with_what_was_typed_made_harmless(error):
    with pytest.raises(gr.Error) as caught:
        served(fail)(error)
    assert caught.value.message == "Too &lt;b&gt;big&lt;/b&gt;."
    assert not caught.value.print_exception
    assert explained(fail)(error) == problem(error)
    assert "&lt;b&gt;" in problem(error)
    assert 'role="alert"' in problem(error)


def test_other_errors_and_results_pass_through():
    with pytest.raises(ZeroDivisionError):
        served(fail)(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        explained(fail)(ZeroDivisionError())
    assert served(len)("abc") == 3
    assert explained(str.upper)("abc") == "ABC"


def test_words_carry_their_probability_and_are_escaped():
    spans = word_spans(["a", "<i>"], [math.log(0.5), -20.0])
    assert "--p: 0.500" in spans
    assert "probability 0.5," in spans
    assert "--p: 0.000" in spans
    assert "<i>" not in spans
    buttons = word_buttons(["a", "dog"], [-0.1, 1e-6], sequence=3, pressed=1)
    assert buttons.count("<button") == 2
    assert 'data-sequence="3" data-word="1" aria-pressed="true"' in buttons
    assert buttons.count('aria-pressed="false"') == 1
    assert "--p: 1.000" in buttons  # a log-probability that rounding put above 0


def test_a_table_sets_numbers_apart():
    html = table(("name", "value"), [("<em>x</em>", "-1.50"), ("1.2.3", "7")], "Two rows")
    assert html.count("<tr>") == 3
    assert html.count('class="number"') == 2
    assert "<em>x</em>" in html
    assert ">Two rows</caption>" in html


def test_a_photo_is_handed_on_as_uploaded_and_only_from_the_folder_of_uploads(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    photo = photo_input(label="Photo")
    data = photo.data_model
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "notes.heic").write_bytes(b"no picture at all")
    inside = str(tmp_path / "uploads" / "notes.heic")
    assert photo.preprocess(data(path=inside)) == inside
    assert photo.preprocess(None) is None
    assert photo.preprocess(data(url="data:image/png;base64,aaaa")) is None
    for outside in (str(tmp_path / "secret.jpg"), f"{tmp_path}/uploads/../secret.jpg", "http://127.0.0.1/a.jpg"):
        with pytest.raises(gr.Error, match="uploaded"):
            photo.preprocess(data(path=outside))
    (tmp_path / "uploads" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(gr.Error, match="uploaded"):
        photo.preprocess(data(path=str(tmp_path / "uploads" / "link.jpg")))


def test_a_file_is_read_from_the_folder_of_uploads_only(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    file = file_input(label="File")
    one, several = FileData, ListFiles
    inside = str(tmp_path / "uploads" / "texts.txt")
    assert file.preprocess(one(path=inside)) == inside
    assert file.preprocess(several(root=[one(path=inside)])) == inside
    assert file.preprocess(several(root=[])) is None
    assert file.preprocess(None) is None
    for outside in (str(tmp_path / "secret.txt"), f"{tmp_path}/uploads/../secret.txt"):
        for payload in (one(path=outside), several(root=[one(path=outside)])):
            with pytest.raises(gr.Error, match="uploaded"):
                file.preprocess(payload)
