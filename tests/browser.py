"""Open a page in headless Chromium: the system's own, driven by Playwright."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, Route, expect, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_ELSEWHERE = re.compile(r"https?://(?!127\.0\.0\.1|localhost)")


@contextmanager
def open_page(url: str, width: int = 1280, height: int = 900, locale: str = "en-US") -> Iterator[Page]:
    """A Playwright page of `width` x `height` CSS pixels at a local `url`, in a browser with an empty profile.

    `locale` is the language that the visitor's browser asks for. Nothing is fetched from any other machine: what the
    tests see works without a network. The test fails where Chromium is missing, and where a script of the page ends in
    an uncaught error.
    """
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        message = "Chromium is not installed: run `apt-get install chromium`, or set CHROMIUM to its path."
        pytest.fail(message, pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_OPTIONS, chromium_sandbox=False)
        try:
            page = browser.new_page(viewport={"width": width, "height": height}, locale=locale)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.route(_ELSEWHERE, _refuse)
            page.goto(url)
            yield page
            assert not errors, f"Uncaught errors of the page's scripts: {errors}"
        finally:
            browser.close()


def open_tab(page: Page, name: str) -> None:
    """Click on a tab of the page until it is the open one: the page may still be coming up at the first click."""
    tab = page.get_by_role("tab", name=name)
    for _ in range(20):
        tab.click()
        page.wait_for_timeout(500)
        if tab.get_attribute("aria-selected") == "true":
            break
    expect(tab).to_have_attribute("aria-selected", "true")


def _refuse(route: Route) -> None:
    route.abort("internetdisconnected")
