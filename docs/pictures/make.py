"""Make the README's pictures: a report, and a run in Prefect's UI.

    python docs/pictures/make.py features --profile quick --dataset "$PWD/17flowers.tgz" \
        --weights-dir "$PWD/weights" --store real-store \
        --set 'features.table=[{extractor: mobilenet}, {extractor: vgg16}]'

Takes what `flowers17 run` takes, and writes report.webp and run.webp beside this file.

Run the same flow with `flowers17 run` first. This script copies the store without some of its
artifacts. A real `flowers17 serve` then runs the flow on the copy: some stages are cached, others
are built. The store itself is not touched.

Needs the extra `dev`, and Chromium (Debian: apt-get install chromium).
"""

import argparse
import shutil
import sys
import tempfile
from contextlib import closing
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.serving import FINAL, Serving  # noqa: E402

REBUILT = ("duplicates", "splits", "rows", "report", "study")  # what the run is to build
RUN_S = 600
WIDTH, SCALE = 1000, 1.5
# The report's picture has its head and Table 8: a whole report is some fifty screens long.
EXCERPT = """
nav, footer, .part:not(#b1), .part > :not(h2, #table-8) { display: none }
#table-8 { padding-bottom: 2rem }
"""


def finished_run(serving: Serving, flow: str) -> str:
    """Run a flow with what its form begins with; returns the address of the run's page."""
    deployment = serving.deployment(flow)
    reply = serving.client.post(
        f"deployments/{deployment['id']}/create_flow_run",
        json={"name": f"{flow}-of-flowers", "parameters": deployment["parameters"]},
    )
    run = serving.reaches(reply.raise_for_status().json()["id"], *FINAL, seconds=RUN_S)
    if run["state_type"] != "COMPLETED":
        raise SystemExit(f"expected a run that completes, got {run['state']}")
    return f"{serving.ui}/runs/flow-run/{run['id']}"


def page_of(browser: Browser, url: str, height: int) -> Page:
    viewport = {"width": WIDTH, "height": height}
    page = browser.new_page(viewport=viewport, device_scale_factor=SCALE)
    page.goto(url)
    page.wait_for_load_state("networkidle")
    return page


def save(screenshot: bytes, name: str) -> None:
    path = HERE / f"{name}.webp"
    Image.open(BytesIO(screenshot)).convert("RGB").save(path, quality=80, method=6)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flow")
    parser.add_argument("--store", type=Path, required=True)
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        serving = Serving(Path(folder), options=options)
        shutil.copytree(arguments.store, serving.store)
        for stage in REBUILT:
            shutil.rmtree(serving.store / stage, ignore_errors=True)
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        with closing(serving.start()):
            page = page_of(browser, finished_run(serving, arguments.flow), height=860)
            page.get_by_text("Task Runs", exact=True).first.click()
            page.wait_for_timeout(3000)  # the graph is drawn on a canvas, which says nothing
            save(page.screenshot(), "run")
        (report,) = (serving.store / "study").glob("*/index.html")
        page = page_of(browser, report.as_uri(), height=600)
        page.add_style_tag(content=EXCERPT)
        save(page.screenshot(full_page=True), "report")


if __name__ == "__main__":
    main()
