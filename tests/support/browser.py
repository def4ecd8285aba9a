"""A real Chromium; tests that need it skip where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    # Without it the UI draws a run's graph anew sixty times a second, in software.
    "--disable-3d-apis",
)


@contextmanager
def browser_page(*options: str) -> Iterator["Page"]:
    """Open an empty page; options: further ones of Chromium."""
    reason = "needs the package playwright"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=[*OPTIONS, *options])
        try:
            page = browser.new_page(viewport={"width": 1200, "height": 1400})
            page.set_default_timeout(240_000)  # ends a hang
            yield page
        finally:
            browser.close()
