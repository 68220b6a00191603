"""The first tab as a visitor sees it: one click shows each demo at work."""

import pytest
from playwright.sync_api import expect

from app import tabs
from demos import DEMOS, start
from tests.browser import open_page
from tests.e2e.conftest import PATIENCE

expect.set_options(timeout=1000 * PATIENCE)

SHOWN = {
    "captioning": "#captions .word",
    "vqa": "#vqa-answers .answer",
    "translation": "#translations .word",
    "sentiment": ".verdict",
    "generation": "#written span[title]",
    "lipreading": "#reading .answer",
}


@pytest.mark.parametrize(("name", "tab"), zip(DEMOS, tabs(), strict=True), ids=DEMOS)
def test_one_click_shows_a_demo_at_work(app_url, name, tab):
    with open_page(app_url) as page:
        expect(page.get_by_role("tab", name=start.TITLE)).to_have_attribute("aria-selected", "true")
        page.get_by_role("button", name=f": {tab.TITLE}").click()
        expect(page.get_by_role("tab", name=tab.TITLE)).to_have_attribute("aria-selected", "true")
        expect(page.locator(SHOWN[name]).first).to_be_visible()


def test_it_fits_a_telephone(app_url):
    with open_page(app_url, width=390, height=844) as page:
        expect(page.locator("#start .cards li")).to_have_count(len(DEMOS))
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
