"""The translation tab as a visitor sees it, in headless Chromium."""

import re
from collections.abc import Iterator

import gradio as gr
import pytest
from playwright.sync_api import Page, expect

from tests.browser import open_page, open_tab
from tests.e2e.conftest import PATIENCE

expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture
def page(app_url: str) -> Iterator[Page]:
    """The page with the translation tab open."""
    with open_page(app_url) as page:
        open_tab(page, "Translation")
        yield page


def box(page: Page):
    return page.locator("#source-text textarea")


def test_a_sentence_gets_five_translations_and_a_word_its_alignment(page):
    box(page).fill("A dog runs on the beach.")
    expect(page.locator("#translations ol.translations > li")).to_have_count(5)
    word = page.locator("#translations button", has_text="Hund").first
    expect(word).to_be_visible()
    expect(page.locator("#alignment img")).to_be_visible()
    before = page.locator("#alignment img").get_attribute("src")
    page.locator("#translations ol.translations > li").nth(1).locator("button").first.click()
    expect(page.locator("#alignment img")).not_to_have_attribute("src", before)


def test_swapping_translates_back(page):
    box(page).fill("A dog sleeps.")
    expect(page.locator("#translations button", has_text="Hund").first).to_be_visible()
    page.locator("#swap").click()
    expect(box(page)).to_have_value(re.compile("Hund"))
    expect(page.locator("#translations button", has_text="dog").first).to_be_visible()


def test_the_beam_and_the_score_of_an_own_translation(page):
    box(page).fill("A dog sleeps.")
    expect(page.locator("#translations ol.translations > li").first).to_be_visible()
    page.get_by_role("button", name="The beam as it grows").click()
    page.get_by_role("button", name="Show the beam").click()
    expect(page.locator("#beam .beam.won").first).to_be_visible()
    page.get_by_role("button", name="Score against your own").click()
    page.get_by_label("Your translations").fill("Ein Hund schläft.")
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.locator("#translation-scores tbody tr")).to_have_count(2)


def test_a_photo_s_caption_becomes_the_text(page):
    page.get_by_role("button", name="Start from a photo").click()
    page.locator("#translation-photo input[type=file]").first.set_input_files(gr.media.get_image("cheetah1.jpg"))
    page.get_by_role("button", name="Caption it and translate").click()
    expect(box(page)).to_have_value(re.compile(r"^[A-Z][a-z' -]{8,}\.$"))
    expect(page.locator("#translations ol.translations > li").first).to_be_visible()


def test_what_cannot_be_translated_gets_a_sentence_and_html_stays_text(page):
    box(page).fill("<img src=x onerror=alert(1)> A dog sleeps.")
    expect(page.locator("#translations ol.translations > li").first).to_be_visible()
    assert page.locator("#translations img").count() == 0
    box(page).fill("")
    expect(page.locator("#translations .hello").first).to_be_visible()
