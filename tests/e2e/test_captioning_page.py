"""The captioning tab as a visitor sees it, in headless Chromium."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.bad_input import BAD_IMAGES
from tests.browser import open_page, open_tab
from tests.e2e.conftest import PATIENCE

CHEETAH, LION = gr.media.get_image("cheetah1.jpg"), gr.media.get_image("lion.jpg")
PANELS = ("How to search", "Which caption fits?", "Score against your own caption", "Compare with a Transformer")

expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture
def page(app_url: str) -> Iterator[Page]:
    """The page at a desktop's width."""
    with open_page(app_url) as page:
        open_tab(page, "Captions")
        yield page


def choose(page: Page, photo: str | Path) -> None:
    """Upload a photo as the visitor's choice in the file dialogue."""
    page.locator("#photo input[type=file]").first.set_input_files(photo)


def remove(page: Page) -> None:
    """Take the photo away again, so that another can be chosen."""
    page.locator("#photo").get_by_label("Remove Image").click()
    expect(page.locator("#captions .hello")).to_be_visible()


def captions(page: Page) -> list[str]:
    """The captions shown, best first, with the mark of their end."""
    expect(page.locator("#captions li").first).to_be_visible()
    return [" ".join(words.split()) for words in page.locator("#captions .words").all_inner_texts()]


def overlay(page: Page, not_this: str = "") -> tuple[str, np.ndarray]:
    """Address and pixels of the picture of attention, once it is another than `not_this`."""
    picture = page.locator("#overlay img")
    if not_this:
        expect(picture).not_to_have_attribute("src", not_this)
    address = picture.get_attribute("src")
    return address, np.asarray(Image.open(io.BytesIO(page.request.get(address).body())).convert("RGB"), dtype=int)


def test_a_photo_gets_captions_and_a_click_on_a_word_shows_where_the_network_looked(page):
    choose(page, CHEETAH)
    found = captions(page)
    assert len(found) == len(set(found)) == 5
    assert all(re.fullmatch(r"[a-z' -]+ end", caption) for caption in found)
    logprobs = [float(text.removeprefix("logprob ")) for text in page.locator("#captions .logprob").all_inner_texts()]
    assert all(-60 < logprob < 0 for logprob in logprobs)
    expect(page.locator("#captions .time")).to_have_text(
        re.compile(r"5 captions in \d+\.\d\d s, ranked by logprob / length \+ \(words on the photo")
    )
    expect(page.locator("#labels")).to_contain_text("cheetah")

    first, light = overlay(page)
    chosen = page.locator("#captions [aria-pressed=true]")
    assert chosen.count() == 1  # the page has chosen a word itself
    # the last word: the first ones may be those of the best caption, and give the very same picture
    word = page.locator("#captions li:nth-child(2) button.word").last.element_handle()
    word.click()
    second, other_light = overlay(page, first)
    expect(chosen).to_have_text(word.inner_text())
    expect(page.locator("#note [lang=en] strong")).to_have_text(word.inner_text())
    assert light.shape == other_light.shape
    assert abs(light - other_light).max() > 20

    page.locator("#captions button.all").first.click()
    _, sheet = overlay(page, second)
    assert sheet.shape[1] > light.shape[1]  # all words side by side


def test_words_are_reached_and_chosen_by_keyboard(page):
    choose(page, LION)
    captions(page)
    page.locator("#captions button.word").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    focused = page.locator("#captions button:focus")
    expect(focused).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#note [lang=en] strong")).to_have_text(focused.inner_text())


def test_an_example_is_a_click_away_and_the_visitor_decides_how_many_captions_come(page):
    page.locator("#examples button").first.click()
    assert len(captions(page)) == 5
    page.get_by_role("button", name="How to search").click()
    page.get_by_label("number input for Captions to show").fill("3")
    page.get_by_role("button", name="Write captions").click()
    expect(page.locator("#captions li")).to_have_count(3)
    expect(page.locator("#captions .time")).to_contain_text("words on the photo")
    page.get_by_label("Rerank with the word detector").uncheck()
    expect(page.locator("#captions .time")).not_to_contain_text("words on the photo")


def test_a_bad_file_gets_a_sentence_and_the_next_photo_is_captioned(page, tmp_path):
    choose(page, LION)
    captions(page)
    remove(page)
    choose(page, BAD_IMAGES["not_an_image"].write(tmp_path))
    expect(page.locator("#captions .problem")).to_contain_text("not a photo but text")
    expect(page.locator("#overlay img")).to_have_count(0)
    page.locator("#photo").get_by_label("Remove Image").click()
    expect(page.locator("#captions .problem")).to_have_count(0)
    choose(page, CHEETAH)
    assert len(captions(page)) == 5


def test_typed_captions_are_ranked_and_the_best_caption_is_scored(page):
    choose(page, CHEETAH)
    best = captions(page)[0].removesuffix(" end")
    page.get_by_role("button", name="Which caption fits?").click()
    typed = page.get_by_label("Captions", exact=True)
    expect(typed).to_have_value(re.compile("a cat looks"))  # the panel's own proposal would come over what is typed
    typed.fill(f"a red bus drives down a street\n{best}\na <b>zqxy</b> dog")
    page.get_by_role("button", name="Rank").click()
    rows = page.locator("#ranking tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text(" ".join(best.split()))
    expect(rows.filter(has_text="dog")).to_contain_text("zqxy")
    assert page.locator("#ranking td b").count() == 0

    page.get_by_role("button", name="Score against your own caption").click()
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.locator("#scores .problem")).to_contain_text("is empty")
    page.get_by_label("Your captions").fill(best)
    page.get_by_role("button", name="Score", exact=True).click()
    for metric in ("BLEU-1", "BLEU-4", "ROUGE-L"):
        expect(page.locator("#scores tr", has_text=metric)).to_contain_text("100.0")
    assert "METEOR" not in page.locator("#scores").inner_text()


def test_a_telephone_needs_no_sideways_scrolling_and_the_comparison_says_that_it_needs_a_network(app_url):
    with open_page(f"{app_url}?tab=captioning", width=390, height=844) as page:
        choose(page, CHEETAH)
        captions(page)
        for panel in PANELS:
            page.get_by_role("button", name=panel).click()
        page.get_by_role("button", name="Rank").click()
        expect(page.locator("#ranking table")).to_be_visible()
        page.get_by_role("button", name="Ask BLIP").click()
        expect(page.locator("#comparison .problem")).to_contain_text("cannot be reached")
        expect(page.locator("#labels")).to_contain_text("cheetah")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        lowest_caption = page.locator("#captions li").last.bounding_box()["y"]
        assert page.locator("#photo").bounding_box()["y"] < lowest_caption < page.locator("#labels").bounding_box()["y"]
