"""The sentiment tab as a visitor sees it, in headless Chromium."""

import re
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import Page, expect

from tests.browser import open_page, open_tab
from tests.e2e.conftest import PATIENCE

expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture
def page(app_url: str) -> Iterator[Page]:
    """The page with the sentiment tab open."""
    with open_page(app_url) as page:
        open_tab(page, "Sentiment")
        yield page


def box(page: Page):
    return page.locator("#sentiment-text textarea")


def test_the_judgement_follows_what_is_typed(page):
    box(page).fill("A wonderful film")
    expect(page.locator("#judgement .verdict [lang=en]")).to_have_text("Positive")
    expect(page.locator("#judgement .weighed")).to_have_count(3)
    expect(page.locator("#judgement .running circle")).to_have_count(3)
    expect(page.locator("#judgement .bars tr")).to_have_count(5)
    box(page).fill("A wonderful film ruined by a terrible, boring and stupid ending")
    expect(page.locator("#judgement .verdict [lang=en]")).to_have_text("Negative")
    box(page).fill("최고의 영화")
    expect(page.locator("#judgement .time")).to_contain_text("Korean network")
    expect(page.locator("#judgement .bars tr")).to_have_count(2)


def test_an_example_is_a_click_away(page):
    page.locator("#sentiment-examples").get_by_text("The plot is not bad at all.").click()
    expect(page.locator("#judgement .weighed")).to_have_count(7)
    expect(box(page)).to_have_value("The plot is not bad at all.")


def test_what_cannot_be_judged_gets_a_sentence_and_the_next_text_is_served(page):
    box(page).fill("Это хороший фильм")
    expect(page.locator("#judgement .problem")).to_contain_text("not supported")
    box(page).fill("<img src=x onerror=alert(1)> great & <b>lovely</b>")
    expect(page.locator("#judgement .weighed")).to_have_count(3)
    assert page.locator("#judgement .weighed img").count() == 0
    box(page).fill("")
    expect(page.locator("#judgement .hello")).to_be_visible()


def test_a_photo_s_caption_becomes_the_text(page):
    page.get_by_role("button", name="Start from a photo").click()
    page.locator("#sentiment-photo input[type=file]").first.set_input_files(gr.media.get_image("cheetah1.jpg"))
    expect(box(page)).to_have_value(re.compile(r"^[a-z' -]{10,}$"))
    expect(page.locator("#judgement .verdict")).to_be_visible()


def test_a_file_of_texts_gives_a_table_and_a_distribution(page, tmp_path: Path):
    file = tmp_path / "texts.txt"
    file.write_text("A great film\n최악의 영화\n😀\n", encoding="utf-8")
    page.get_by_role("button", name="A file of texts").click()
    page.locator("#sentiment-file input[type=file]").first.set_input_files(file)
    expect(page.locator("#sentiment-lines .bars tr")).to_have_count(3)
    expect(page.locator("#sentiment-lines .table tbody tr")).to_have_count(3)
