"""Every tab in use passes axe-core: WCAG 2.1 AA, in light and in dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from scripts.screenshots import TABS
from tests.browser import open_page
from tests.e2e.conftest import PATIENCE

expect.set_options(timeout=1000 * PATIENCE)
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
SERIOUS = ("serious", "critical")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", TABS)
def test_a_tab_in_use_has_no_serious_finding(app_url, name, theme):
    with open_page(f"{app_url}?tab={name}&__theme={theme}") as page:
        TABS[name](page)
        page.wait_for_timeout(800)  # what fades in has its full contrast then
        violations = Axe().run(page, options=RULES).response["violations"]
        found = [(v["id"], [node["target"] for node in v["nodes"]]) for v in violations if v["impact"] in SERIOUS]
        assert found == []
