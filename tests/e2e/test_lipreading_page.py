"""The lipreading tab as a visitor sees it, in headless Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core.input.video import save_video
from tests.browser import open_page, open_tab
from tests.demos.lipreading.conftest import person
from tests.e2e.conftest import PATIENCE

expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture
def page(app_url: str) -> Iterator[Page]:
    """The page with the lipreading tab open."""
    with open_page(app_url) as page:
        open_tab(page, "Lipreading")
        yield page


def say(page: Page, first: str, second: str = "") -> None:
    page.locator("#lipreading-first textarea, #lipreading-first input").fill(first)
    page.locator("#lipreading-second textarea, #lipreading-second input").fill(second)
    page.locator("#lipreading-say").click()


def test_the_drawn_mouth_says_a_sentence_and_the_network_reads_it(page):
    say(page, "place blue at f two now")
    expect(page.locator("#reading .answer")).to_contain_text("blue")
    expect(page.locator("#drawn video")).to_have_count(1)
    expect(page.locator("#time-line img")).to_be_visible()
    expect(page.locator("#confusions table")).to_contain_text("taken for")
    playing = "video => video.readyState >= 2 && video.videoWidth === 160"
    page.wait_for_function(f"({playing})(document.querySelector('#drawn video'))", timeout=1000 * PATIENCE)


def test_pat_and_bat_look_alike(page):
    say(page, "pat", "bat")
    expect(page.locator("#drawn video")).to_have_count(2)
    expect(page.locator("#drawn .lesson")).to_contain_text("the same to the eye")
    expect(page.locator("#reading .answer")).to_have_count(2)
    readings = page.locator("#reading .readings").all_inner_texts()
    assert readings[0] == readings[1]  # not only the clips: all that the network says of them


def test_an_uploaded_clip_is_read(page, tmp_path: Path):
    file = tmp_path / "clip.mp4"
    save_video(file, person(25).frames, 25)
    page.locator("#lipreading-video input[type=file]").first.set_input_files(file)
    expect(page.locator("#reading .readings li")).to_have_count(5)
    expect(page.locator("#time-line img")).to_be_visible()


def test_a_clip_without_a_face_is_said_so(page, tmp_path: Path):
    file = tmp_path / "clip.mp4"
    frames = person(12).frames
    frames[:] = 120
    save_video(file, frames, 25)
    page.locator("#lipreading-video input[type=file]").first.set_input_files(file)
    expect(page.locator("#reading .problem")).to_contain_text("No face was found")


def test_nothing_to_say_is_said(page):
    page.locator("#lipreading-say").click()
    expect(page.locator("#drawn .problem")).to_contain_text("Type a sentence")
