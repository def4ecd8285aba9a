"""A person at the site: a report in one click, two compared, a metric, a photograph tried."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from PIL import Image

from flowers17.artifacts import Artifact, Store
from tests.support.browser import browser_page
from tests.support.commands import called
from tests.support.serving import Serving, told

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.slow]

MAPS = "[{extractor: mobilenet, pooling: average}]"
MEMBERS = ", ".join(f"{{classifier: {name}, maps: {MAPS}}}" for name in ("naive_bayes", "knn"))
SETTINGS = (
    "seed=5",
    "dataset.image_size=32",
    "splits.n_repeats=0",
    "ensemble.n_folds=2",
    f"ensemble.ensembles=[{{name: mixed, members: [{MEMBERS}]}}]",
)
SMALL_SCREEN = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def study(serving: Serving) -> str:
    """Run of an ensemble's study; a later one of the data has ended, too."""
    api, settings = f"{serving.ui}/api", (*serving.settings, *SETTINGS)
    with ThreadPoolExecutor(1) as pool:  # this thread may be the browser's
        for flow in ("ensemble", "dataset"):
            words = ("run", flow, "--store", str(serving.store))
            run = pool.submit(called, *words, api=api, settings=settings)
            code, _, complaints = run.result()
            assert code == 0, complaints
    query = {"flows": {"name": {"any_": ["ensemble"]}}}
    (record,) = serving.client.post("flow_runs/filter", json=query).raise_for_status().json()
    return str(record["id"])


@pytest.fixture(scope="module")
def page(serving: Serving, study: str, browser: "Browser") -> Iterator["Page"]:
    """The index of studies, in a browser that tells which requests leave the server."""
    with browser_page(browser) as page:
        requested: list[str] = []
        problems: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.on("console", lambda message: problems.append(message.text))
        page.goto(f"{serving.ui}/flowers17/")
        yield page
        here = (serving.ui, f"blob:{serving.ui}", "data:")
        assert [url for url in requested if not url.startswith(here)] == []
        assert [text for text in problems if "Content Security Policy" in text] == []


def _index(page: "Page", serving: Serving) -> None:
    page.goto(f"{serving.ui}/flowers17/")


def test_an_address_of_the_site_is_said_at_the_start(serving: Serving) -> None:
    assert f"site         {serving.ui}/flowers17" in serving.log.read_text()


def test_a_report_is_one_click_from_the_index_and_so_is_its_run(
    serving: Serving, study: str, page: "Page"
) -> None:
    _index(page, serving)
    row = page.locator("tbody tr", has_text="report on ensemble")
    words = " ".join(row.inner_text().split())

    def counts() -> str:
        """Stages built, cached and missing; the server hears of them a little later."""
        tasks = serving.tasks(study)
        ends = [tasks[label][-1] for label in tasks if label != "report on ensemble"]
        return f" {ends.count('Completed')} {ends.count('Cached')} 0 "

    assert told(lambda: counts() in words), (counts(), words)
    row.get_by_role("link", name="report on ensemble").click()
    page.locator("h1", has_text="Flowers-17").wait_for()
    assert page.locator("figure svg").count() > 0
    page.go_back()
    row.get_by_role("link", name=re.compile("^[0-9a-f]{8}$")).click()
    page.get_by_text("Completed", exact=True).first.wait_for()


def test_two_studies_are_compared(serving: Serving, page: "Page") -> None:
    _index(page, serving)
    page.locator("input[name=left]").last.check()
    page.locator("input[name=right]").first.check()
    page.get_by_role("button", name="Compare before with after").click()
    page.locator("h1", has_text="Two studies compared").wait_for()
    assert "Stages only before" in page.content()
    page.get_by_role("link", name="Metrics").click()
    page.locator("svg.chart circle").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone(serving: Serving, page: "Page", scheme: str) -> None:
    before = page.viewport_size
    page.set_viewport_size(SMALL_SCREEN)  # type: ignore[arg-type]
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    try:
        for name in ("", "compare", "metrics", "try", "nothing"):
            page.goto(f"{serving.ui}/flowers17/{name}")
            assert page.evaluate("document.documentElement.scrollWidth") <= SMALL_SCREEN["width"]
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
                "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 28)"
            )
    finally:
        page.set_viewport_size(before)  # type: ignore[arg-type]
        page.emulate_media(color_scheme="light")


def test_a_photograph_is_tried_and_a_blue_square_is_told_as_unlike(
    serving: Serving, page: "Page", tmp_path: Path
) -> None:
    store = Store(serving.store)
    [manifest] = [manifest for manifest in store.manifests() if manifest["stage"] == "images"]
    images = Artifact(store.folder("images", manifest["key"]), manifest).array("images")
    Image.fromarray(images[0]).resize((200, 200)).save(tmp_path / "flower.png")
    Image.new("RGB", (300, 200), (0, 0, 255)).save(tmp_path / "blue.png")
    page.goto(f"{serving.ui}/flowers17/try")
    page.set_input_files("#photograph", tmp_path / "flower.png")
    page.get_by_text("Nearest training images").wait_for()
    assert page.locator("#answer .tiles img").count() == 6
    assert page.locator("#answer .banner").count() == 0
    assert page.get_by_text("What the members say").is_visible()
    assert page.locator("#answer .tiles img").first.evaluate("image => image.naturalWidth") == 32
    page.set_input_files("#photograph", tmp_path / "blue.png")
    page.get_by_text("Unlike all training images.").wait_for()
    page.get_by_role("link", name="report on ensemble").click()
    page.locator("h1", has_text="Flowers-17").wait_for()


@pytest.mark.usefixtures("study")
def test_the_server_answers_while_a_photograph_is_looked_at(serving: Serving) -> None:
    """TensorFlow is in a process of its own: the server imports none of it."""
    addresses = httpx.Client(base_url=serving.ui, trust_env=False, timeout=120)
    with addresses as client:
        name = re.search(r'value="(\w+/[0-9a-f]{64})" selected', client.get("/flowers17/try").text)
        assert name is not None
        image = (
            b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00"
            b"\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
        )
        address = f"/flowers17/try?model={name[1]}"
        foreign = client.post(
            address, content=image, headers={"origin": "http://elsewhere.example"}
        )
        assert foreign.status_code == 403
        reply = client.post(address, content=image, headers={"origin": serving.ui})
        assert (reply.status_code, "Unlike all training images" in reply.text) == (200, True)
    [server] = [
        process
        for process in Path("/proc").glob("[0-9]*")
        if "flows.server\0--host" in _text(process / "cmdline")
        and f"PREFECT_HOME={serving.home}" in _text(process / "environ")
    ]
    assert "tensorflow" not in _text(server / "maps")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
