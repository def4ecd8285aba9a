"""A real Chromium; tests that need it skip where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    # Without it the UI draws a run's graph anew sixty times a second, in software.
    "--disable-3d-apis",
)


@contextmanager
def running_browser(*options: str) -> Iterator["Browser"]:
    """Start Chromium; options: further ones of it.

    While it runs, Python takes this thread for one of an event loop.
    """
    reason = "needs the package playwright"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=[*OPTIONS, *options])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def browser_page(browser: "Browser") -> Iterator["Page"]:
    """Open an empty page that shares nothing with others."""
    with browser.new_page(viewport={"width": 1200, "height": 1400}) as page:
        page.set_default_timeout(240_000)  # ends a hang
        yield page
