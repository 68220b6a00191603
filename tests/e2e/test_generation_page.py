"""The writing tab as a visitor sees it, in headless Chromium."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import open_page
from tests.e2e.conftest import PATIENCE

expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture
def page(app_url: str) -> Iterator[Page]:
    """The page as a link to the writing tab opens it."""
    with open_page(f"{app_url}?tab=generation") as page:
        expect(page.get_by_role("tab", name="Writing")).to_have_attribute("aria-selected", "true")
        yield page


def write(page: Page) -> None:
    """Press Write and wait for the first words."""
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator("#written .written span[title]").first).to_be_visible()


def set_length(page: Page, length: int) -> None:
    """Set the slider's number."""
    page.get_by_role("button", name="How to sample").click()
    field = page.get_by_label("number input for Length")
    field.fill(str(length))
    field.press("Tab")


def test_a_text_appears_and_every_character_tells_its_surprise(page):
    write(page)
    spans = page.locator("#written .written span[title]")
    expect(spans).to_have_count(600)
    assert re.search(r"nats, probability", spans.first.get_attribute("title"))
    expect(page.locator("#written .prompt")).to_contain_text("ROMEO:")
    page.get_by_role("button", name="What single units know").click()
    page.get_by_role("button", name="Search the units").click()
    expect(page.locator("#units h4").first).to_contain_text("correlation")


def test_what_follows_is_shown_while_one_types(page):
    page.locator("#generation-prompt textarea").fill("ROMEO:\nWhat sa")
    row = page.locator("#following tr", has=page.locator("code", has_text=re.compile("^[iy]$"))).first
    expect(row.locator(".number")).to_contain_text("%")


def test_another_corpus_proposes_a_beginning_but_leaves_what_the_visitor_typed(page):
    beginning = page.locator("#generation-prompt textarea")
    page.get_by_label("Linux kernel, C").check()
    expect(beginning).not_to_have_value("ROMEO:\n")
    beginning.fill("My own words")
    page.get_by_label("Folk tunes, ABC").check()
    expect(page.locator("#score")).to_be_visible()  # so the choice has been answered
    expect(beginning).to_have_value("My own words")
    beginning.fill("")
    page.get_by_label("Obama's speeches").check()
    expect(beginning).to_have_value(re.compile(r"\w"))


def test_writing_can_be_stopped(page):
    set_length(page, 4000)
    write(page)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_timeout(1500)
    count = page.locator("#written .written span[title]").count()
    assert count < 4000
    page.wait_for_timeout(1500)
    assert page.locator("#written .written span[title]").count() == count


def test_a_tune_becomes_a_score_that_plays(page):
    page.get_by_role("radio", name="Folk tunes, ABC").check()
    expect(page.locator("#generation-prompt textarea")).to_have_value(re.compile("M:"))
    write(page)
    expect(page.locator("#score svg").first).to_be_visible()
    play = page.locator("#score button.play")
    play.click()
    expect(play).to_have_text("Stop")
    play.click()
    expect(play).to_have_text("Play")


def test_a_review_is_written_and_foreseen_word_by_word(page):
    page.get_by_role("radio", name="Film reviews, by the word").check()
    expect(page.locator("#generation-prompt textarea")).to_have_value(re.compile("film because"))
    page.locator("#generation-prompt textarea").fill("One of the best")
    expect(page.locator("#following code", has_text=re.compile("^␣(movie|film)s?$")).first).to_be_visible()
    write(page)
    assert " " in page.locator("#written .written").inner_text()
    page.get_by_role("button", name="What single units know").click()
    page.get_by_role("button", name="Search the units").click()
    expect(page.locator("#units .problem")).to_contain_text("over characters")


def test_the_samples_of_the_training_are_there(page):
    page.get_by_role("button", name="As it trained").click()
    expect(page.locator("#moments h4")).to_have_count(4)
    expect(page.locator("#moments h4").last).to_contain_text("nats on the dev text")


def test_a_telephone_needs_no_sideways_scrolling_and_shows_every_tab(app_url):
    with open_page(f"{app_url}?tab=generation", width=390, height=844) as page:
        write(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert all(page.get_by_role("tab", name=name).is_visible() for name in ("Captions", "Sentiment", "Writing"))


def test_a_link_to_no_tab_opens_the_first(app_url):
    with open_page(f"{app_url}?tab=%3Cscript%3E") as page:
        expect(page.get_by_role("tab", name="Start")).to_have_attribute("aria-selected", "true")
