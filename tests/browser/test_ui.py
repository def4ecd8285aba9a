"""A person at the UI fills in the form of `features`, starts it, sees it end, opens its results."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import browser_page
from tests.support.serving import Serving

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.slow]

FORM = {"Seed": "5", "Image Size": "32", "N Classes": "3", "Images Per Class": "8"}
FORM |= {"N Repeats": "0"}
# Lists are clumsy to fill in, so the form begins with one small extractor.
DEFAULTS = (
    "features.table=[{extractor: mobilenet, pooling: average}]",
    "features.classifiers.names=[naive_bayes, knn]",
    "features.combinations=[]",
)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    serving = Serving(tmp_path, *DEFAULTS)
    try:
        yield serving.start()
    finally:
        serving.close()


@pytest.fixture
def page() -> Iterator["Page"]:
    with browser_page() as page:
        yield page


def _field(page: "Page", label: str) -> "Locator":
    """The input of a form's field; the first one, where several have the label."""
    named = page.locator("label", has_text=re.compile(rf"^{label} \(Optional\)")).first
    return named.locator("xpath=../..").locator("input, textarea")


def test_a_person_runs_features_and_opens_its_table_and_picture(
    serving: Serving, page: "Page", tmp_path: Path
) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))

    page.goto(serving.ui)
    page.locator("a", has_text="Deployments").first.click()
    page.get_by_title("features", exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.get_by_text("Custom run").click()
    page.get_by_text("classes of the rendered flowers").wait_for()
    assert page.get_by_text("demo: rendered flowers, minutes, no download").is_visible()
    for label, value in FORM.items():
        _field(page, label).fill(value)
    page.screenshot(path=tmp_path / "form.png", full_page=True)
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("Upcoming", exact=True).wait_for()

    page.locator("a", has_text=re.compile("^Runs$")).first.click()
    (run,) = serving.client.post("flow_runs/filter", json={}).json()
    chosen = run["parameters"]["request"]["set"]
    assert chosen["dataset"] == {"image_size": 32, "n_classes": 3, "images_per_class": 8}
    assert (chosen["seed"], chosen["splits"]) == (5, {"n_repeats": 0})
    page.locator("a", has_text=run["name"]).first.click()
    page.get_by_text("Completed", exact=True).first.wait_for(timeout=150_000)
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("table-08", exact=True).wait_for()
    page.screenshot(path=tmp_path / "run.png")

    page.get_by_text("table-08", exact=True).click()
    page.get_by_text("naive_bayes", exact=True).wait_for()
    page.screenshot(path=tmp_path / "table.png")
    page.go_back()
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("figure-01", exact=True).click()
    picture = page.locator('img[src^="data:image/png;base64,"]')
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 100
    page.screenshot(path=tmp_path / "picture.png")

    here = (serving.ui, f"blob:{serving.ui}", "data:")
    assert [url for url in requested if not url.startswith(here)] == []
