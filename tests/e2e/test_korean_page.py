"""The page in Korean: what a visitor sees whose browser asks for that language."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from demos import DEMOS, start
from tests.browser import open_page
from tests.e2e.conftest import PATIENCE
from tests.e2e.test_accessibility import RULES, SERIOUS

expect.set_options(timeout=1000 * PATIENCE)
TITLES = ["시작", "사진 설명", "질문", "번역", "감정", "글쓰기", "입술 읽기"]


@pytest.fixture
def page(app_url):
    with open_page(app_url, locale="ko-KR") as page:
        expect(page.get_by_role("tab", name="시작")).to_be_visible()
        yield page


def serious_findings(page: Page) -> list[str]:
    """What axe-core finds."""
    page.wait_for_timeout(800)  # what fades in has its full contrast then
    violations = Axe().run(page, options=RULES).response["violations"]
    return [violation["id"] for violation in violations if violation["impact"] in SERIOUS]


def test_titles_and_the_first_tab_are_korean(page):
    expect(page.get_by_role("tab")).to_have_text(TITLES)
    expect(page.locator("#start")).to_contain_text("이곳에서는 순환 신경망이")
    assert "recurrent" not in page.locator("#start").inner_text()
    assert serious_findings(page) == []


@pytest.mark.parametrize(("name", "title"), zip(DEMOS, TITLES[1:], strict=True), ids=DEMOS)
def test_a_card_opens_its_tab_and_shows_its_example(page, name, title):
    page.locator(f"#start button[data-tab={name}]").click()
    expect(page.get_by_role("tab", name=title)).to_have_attribute("aria-selected", "true")


def test_labels_buttons_choices_and_answers_are_korean(page):
    page.get_by_role("tab", name="감정").click()
    page.get_by_label("글", exact=True).fill("A wonderful film")
    expect(page.locator("#judgement .verdict [lang=ko]")).to_have_text("긍정")
    expect(page.locator("#judgement .verdict [lang=en]")).to_be_hidden()
    expect(page.get_by_role("radio", name="글자를 보고 판단")).to_be_checked()
    expect(page.get_by_role("button", name="사진에서 시작하기")).to_be_visible()
    assert serious_findings(page) == []


def test_a_link_names_a_tab_as_in_english(app_url):
    with open_page(f"{app_url}?tab=translation", width=390, height=844, locale="ko-KR") as page:
        expect(page.get_by_role("tab", name="번역")).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("button", name="번역하기")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_any_other_language_gets_english(app_url):
    with open_page(app_url, locale="fi-FI") as page:
        expect(page.get_by_role("tab", name=re.compile(f"^{start.TITLE}$"))).to_be_visible()
        expect(page.locator("#start")).to_contain_text("Here recurrent neural networks")
        expect(page.locator("#start [lang=ko]").first).to_be_hidden()
