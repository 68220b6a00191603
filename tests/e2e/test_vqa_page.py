"""The VQA tab as a visitor sees it, in headless Chromium."""

from collections.abc import Iterator

import gradio as gr
import pytest
from playwright.sync_api import Page, expect

from tests.browser import open_page, open_tab
from tests.e2e.conftest import PATIENCE

expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture
def page(app_url: str) -> Iterator[Page]:
    """The page with the VQA tab open."""
    with open_page(app_url) as page:
        open_tab(page, "Questions")
        yield page


def ask(page: Page, question: str) -> None:
    box = page.locator("#vqa-question textarea, #vqa-question input")
    box.fill(question)
    box.press("Enter")


def test_a_question_about_a_photo_gets_answers_and_where_it_looked(page):
    page.locator("#vqa-photo input[type=file]").first.set_input_files(gr.media.get_image("bus.png"))
    ask(page, "What color is the bus?")
    expect(page.locator("#vqa-answers .answer")).to_have_text("red")
    expect(page.locator("#vqa-answers ol.answers > li")).to_have_count(5)
    expect(page.locator("#vqa-answers .looked")).to_contain_text("Without the photo it would say")
    expect(page.locator("#vqa-looks img")).to_be_visible()


def test_choices_are_ranked(page):
    page.locator("#vqa-photo input[type=file]").first.set_input_files(gr.media.get_image("bus.png"))
    page.get_by_role("button", name="Multiple choice").click()
    page.locator("#vqa-choices textarea").fill("blue, red\ngreen")
    ask(page, "What color is the bus?")
    expect(page.locator("#vqa-answers ol.answers > li")).to_have_count(3)


def test_an_example_is_a_click_away(page):
    page.locator("#vqa-examples").get_by_text("Is there a dog in the picture?").click()
    expect(page.locator("#vqa-answers ol.answers > li")).to_have_count(5)
    expect(page.locator("#vqa-answers .looked")).to_contain_text("What the photo says of its words")


def test_what_is_missing_is_said(page):
    ask(page, "What color is the bus?")
    expect(page.locator("#vqa-answers .problem")).to_contain_text("photo")
