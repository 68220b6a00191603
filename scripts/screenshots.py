"""Renew the pictures of the README:  python -m scripts.screenshots  (needs requirements-dev.txt and Chromium)

Starts the app, uses every tab as a visitor would, and writes docs/<tab>.png and docs/<tab>-phone.png.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import gradio as gr
from playwright.sync_api import Page, expect

from tests.browser import open_page

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"": (1280, 900), "-phone": (390, 844)}

expect.set_options(timeout=120_000)


def captioning(page: Page) -> None:
    """A photo, its captions, the attention of a word."""
    page.locator("#photo input[type=file]").first.set_input_files(gr.media.get_image("tower.jpg"))
    expect(page.locator("#captions li").first).to_be_visible()
    page.locator("#captions .word").nth(1).click()
    expect(page.locator("#overlay img")).to_be_visible()
    expect(page.locator("#labels")).to_contain_text("%")


def vqa(page: Page) -> None:
    """The first of the questions to try."""
    page.locator("#vqa-examples").get_by_text("Is there a dog in the picture?").click()
    expect(page.locator(".answer").first).to_be_visible()


def translation(page: Page) -> None:
    """A sentence and the alignment of its translation."""
    page.locator("#source-text textarea").fill("A man in a red shirt is reading a book on a bench in the park.")
    expect(page.locator("#alignment img")).to_have_count(1)


def sentiment(page: Page) -> None:
    """The first of the sentences to try."""
    page.locator("#sentiment-examples .gallery-item").first.click()
    expect(page.locator(".verdict")).to_be_visible()


def generation(page: Page) -> None:
    """A page of Shakespeare."""
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.locator("#written .written span[title]")).to_have_count(600)


def lipreading(page: Page) -> None:
    """Two words that look alike, said by a drawn mouth."""
    page.locator("#lipreading-first textarea, #lipreading-first input").fill("lay green at b nine please")
    page.locator("#lipreading-second textarea, #lipreading-second input").fill("lay green at p nine please")
    page.locator("#lipreading-say").click()
    expect(page.locator("#drawn video")).to_have_count(2)
    expect(page.locator("#time-line img")).to_have_count(1)  # it loads when it comes into sight: see settle


def start(page: Page) -> None:
    """As the page opens."""
    expect(page.locator("#start .cards li").first).to_be_visible()


TABS: dict[str, Callable[[Page], None]] = {
    "start": start,
    "captioning": captioning,
    "vqa": vqa,
    "translation": translation,
    "sentiment": sentiment,
    "generation": generation,
    "lipreading": lipreading,
}


def main() -> None:
    """Take all pictures, or those of the tabs that are named."""
    names = sys.argv[1:] or list(TABS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    app = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(url)
        for name in names:
            for suffix, (width, height) in SIZES.items():
                with open_page(f"{url}?tab={name}", width, height) as page:
                    TABS[name](page)
                    settle(page)
                    file = ROOT / "docs" / f"{name}{suffix}.png"
                    page.screenshot(path=file, full_page=True)
                    print(file.relative_to(ROOT))
    finally:
        app.terminate()
        app.wait()


def settle(page: Page) -> None:
    """Scroll down and up again, so that pictures that load when they come into sight do, and what fades in has."""
    for height in ("document.body.scrollHeight", "0"):
        page.evaluate(f"window.scrollTo(0, {height})")
        page.wait_for_timeout(1000)


def wait_for(url: str, seconds: int = 120) -> None:
    """Until the page answers. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urlopen(url).close()
            return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(f"The app did not come up within {seconds} s.")


if __name__ == "__main__":
    main()
