"""The report's page in a real browser: on a wide screen, on a phone, on paper."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.report import write_report
from tests.support.browser import browser_page
from tests.unit.reporting.made_attacks import attacked_study
from tests.unit.reporting.made_ensembles import combined_study
from tests.unit.reporting.made_finetunings import with_fine_tunings
from tests.unit.reporting.maker import Maker

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser]

WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
OVERFLOWING = """[...document.querySelectorAll(".scroll")]
    .filter(element => element.scrollWidth > element.clientWidth + 1)
    .map(element => element.closest("section.item, section.part").id)"""
# Where the words of a cell are wider than it, they run over the next column.
OVERRUNNING = """[...document.querySelectorAll("th, td")]
    .filter(cell => cell.clientWidth && cell.scrollWidth > cell.clientWidth + 1)
    .map(cell => cell.textContent.trim())"""
LONG_NAME = "holiday/IMG_20260704_174233_BURST001_COVER_copy.jpeg"
SUSPECTS = {
    **{"reason": "", "n_images": 40, "n_suspects": 1, "n_pairs": 1, "n_by_chance": [0.2, 0, 1]},
    **{"model": "logistic_regression on mobilenet@224-original-average"},
    "rows": [
        {
            **{"row": 0, "image": LONG_NAME, "given": "chrysanthemum_indicum", "suggested": "b"},
            **{"self_confidence": 0.1, "margin": -0.8, "twin": f"other_{LONG_NAME}"},
        }
    ],
}
CONTRASTS = """() => {
    const parts = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = colour => colour.slice(0, 3).map(value => value / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const paper = parts(getComputedStyle(document.body).backgroundColor);
    const ink = light(parts(getComputedStyle(document.body).color));
    return [...document.querySelectorAll("figure[id$=confusion] svg rect, #figure-7c svg rect")]
        .map(cell => getComputedStyle(cell))
        .filter(style => style.fill !== "none" && +style.fillOpacity < 1)
        .map(style => {
            const fill = parts(style.fill), alpha = +style.fillOpacity;
            const below = light(fill.slice(0, 3).map((v, i) => v * alpha + paper[i] * (1 - alpha)));
            return (Math.max(ink, below) + 0.05) / (Math.min(ink, below) + 0.05);
        });
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every kind of table: networks, ensembles, fine-tunings, attacks."""
    root = tmp_path_factory.mktemp("studies")
    most = with_fine_tunings(combined_study(root / "most", missing_trainings={}))
    attacked = attacked_study(root / "attacked", missing_trainings={})
    maker = Maker(root / "labels")
    maker.publish("label_errors", "labels that look wrong", {}, {}, {"result": SUSPECTS})
    inputs = ReportInputs(
        {**attacked.artifacts, **most.artifacts, **maker.artifacts},
        most.absent,
        most.settings | attacked_of(attacked),
    )
    write_report(inputs, root / "report")
    return root / "report" / "index.html"


def attacked_of(inputs: ReportInputs) -> dict[str, Any]:
    return {"attacks": inputs.settings["attacks"]}


@pytest.fixture(scope="module")
def page(report: Path, browser: "Browser") -> Iterator["Page"]:
    with browser_page(browser) as page:
        page.goto(report.as_uri())
        yield page


def test_every_table_fits_a_wide_screen(page: "Page") -> None:
    page.set_viewport_size(WIDE)
    assert page.evaluate("document.documentElement.scrollWidth") == WIDE["width"]
    assert page.locator("#table-5-paired, #table-c2").count() == 2
    assert page.evaluate(OVERFLOWING) == []


def test_on_a_phone_tables_scroll_and_the_page_does_not(page: "Page") -> None:
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert "table-5-paired" in page.evaluate(OVERFLOWING)


@pytest.mark.parametrize("screen", [WIDE, PHONE])
def test_no_name_runs_over_a_column(screen: Any, page: "Page") -> None:
    page.set_viewport_size(screen)
    assert page.locator("#table-n3").get_by_text(LONG_NAME).count() == 2
    assert page.evaluate(OVERRUNNING) == []


def _edges(page: "Page", path: Path) -> tuple[int, int]:
    """Darkness of the left and right edge of a table, in a strip without words or lines."""
    table = page.locator("#table-5-paired .scroll")
    table.screenshot(path=path)
    grey = Image.open(path).convert("L")
    y = grey.height - 4
    return 255 - int(grey.getpixel((1, y))), 255 - int(grey.getpixel((grey.width - 2, y)))  # type: ignore[arg-type]


def test_a_table_that_scrolls_shows_on_which_side_there_is_more(
    page: "Page", tmp_path: Path
) -> None:
    page.set_viewport_size(PHONE)
    _, right = _edges(page, tmp_path / "start.png")
    page.locator("#table-5-paired .scroll").evaluate("e => { e.scrollLeft = e.scrollWidth }")
    _, right_at_the_end = _edges(page, tmp_path / "end.png")
    page.locator("#table-5-paired .scroll").evaluate("e => { e.scrollLeft = 0 }")
    assert right > 40
    assert right_at_the_end < 10


def test_results_come_first_and_contents_stand_beside_them(page: "Page") -> None:
    page.set_viewport_size(WIDE)
    cards, contents = (page.locator(name).bounding_box() for name in (".highlights", ".contents"))
    assert cards
    assert contents
    assert contents["x"] + contents["width"] <= cards["x"]
    assert cards["y"] + cards["height"] < WIDE["height"]
    assert page.locator(".contents a[href='#table-8']").is_visible()


def test_on_a_phone_contents_are_folded_below_the_results(page: "Page") -> None:
    page.set_viewport_size(PHONE)
    link = page.locator(".contents a[href='#table-8']")
    assert not link.is_visible()
    cards, contents = (page.locator(name).bounding_box() for name in (".highlights", ".contents"))
    assert cards
    assert contents
    assert cards["y"] + cards["height"] <= contents["y"]
    page.get_by_text("Contents", exact=True).click()
    assert link.is_visible()
    page.get_by_text("Contents", exact=True).click()


def test_a_number_leads_to_its_lineage_and_back_to_the_top(page: "Page") -> None:
    page.set_viewport_size(WIDE)
    lineages = page.locator("article.lineage")
    assert lineages.count() > 20
    assert not any(article.is_visible() for article in lineages.all())
    number = page.locator("#table-8 td a").first
    target = number.get_attribute("href")
    number.click()
    page.locator(f"[id='{str(target)[1:]}'] h3").wait_for(state="visible")
    assert page.evaluate("scrollY") > 1000
    page.get_by_role("link", name="Top").click()
    page.wait_for_function("scrollY === 0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_counts_can_be_read_on_every_colour_of_a_matrix(page: "Page", scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    contrasts = page.evaluate(CONTRASTS)
    page.emulate_media(color_scheme="light")
    assert len(contrasts) > 20
    assert min(contrasts) >= 4.5


def test_on_paper_contents_are_printed_and_no_heading_is_left_behind(
    page: "Page", report: Path
) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})
    assert page.locator(".contents a[href='#table-8']").is_visible()
    assert not page.get_by_role("link", name="Top").is_visible()
    assert page.evaluate(OVERFLOWING) == []
    headings = page.evaluate(
        """[...document.querySelectorAll("main h2, .item > header, .about")]
            .map(element => getComputedStyle(element).breakAfter)"""
    )
    assert set(headings) == {"avoid"}
    page.emulate_media(media="screen")
    assert re.match(rb"%PDF", page.pdf(format="A4"))
