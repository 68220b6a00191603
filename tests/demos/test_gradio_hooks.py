"""What the page refuses before a demo sees it."""

import gradio as gr
import pytest

from demos.gradio_hooks import MARK, Page, plain


@pytest.fixture(scope="module")
def page() -> Page:
    """A page with one event that takes something of each kind."""
    with Page() as page:
        inputs = [
            gr.Textbox(label="Text"), gr.Slider(label="Beams"), gr.Checkbox(label="Explain"),
            gr.Image(label="Photo"), gr.File(label="File"), gr.State(),
        ]  # fmt: skip
        gr.on([], lambda *values: None, inputs, None, api_name="everything")
    return page


FITTING = ["a", 5, True, {"path": "a"}, {"path": "b"}, None]


def test_what_fits_is_let_through_and_so_is_what_is_missing(page):
    (event,) = page.fns.values()
    page.validate_inputs(event, FITTING)
    page.validate_inputs(event, [None, 5, None, None, None, None])
    page.validate_inputs(event, ["a", 0.5, False, None, [{"path": "b"}], object()])


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [(0, 5, "Text must be text"), (0, ["a"], "Text"), (1, "5", "Beams must be a number"), (1, True, "Beams"),
     (1, None, "Beams"),
     (2, "yes", "Explain must be true or false"), (2, 1, "Explain"), (3, "a.jpg", "Photo must be an uploaded file"),
     (4, "a.txt", "File must be an uploaded file")],
)  # fmt: skip
def test_another_type_is_refused_by_its_name(page, place, value, told):
    (event,) = page.fns.values()
    with pytest.raises(gr.Error, match=told):
        page.validate_inputs(event, [*FITTING[:place], value, *FITTING[place + 1 :]])


@pytest.mark.parametrize("count", [0, 5, 7])
def test_another_number_of_values_is_refused(page, count):
    (event,) = page.fns.values()
    with pytest.raises(gr.Error, match=f"everything takes 6 values, not {count}"):
        page.validate_inputs(event, ["a"] * count)


def test_a_marked_label_is_read_as_its_text():
    assert plain(str(gr.I18n()("Beam size"))) == "Beam size"
    assert str(gr.I18n()("x")).startswith(MARK)
    assert plain("Beam size") == "Beam size"
    assert plain(None) == ""


@pytest.mark.parametrize(
    "path", ["http://example.org/a.png", " https://example.org", "ftp://example.org", "file:///etc"]
)
def test_a_file_is_never_given_by_an_address(page, path):
    (event,) = page.fns.values()
    for place, value in ((3, {"path": path}), (4, [{"path": "b"}, {"path": path}])):
        with pytest.raises(gr.Error, match="upload it first"):
            page.validate_inputs(event, [*FITTING[:place], value, *FITTING[place + 1 :]])
