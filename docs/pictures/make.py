"""Make the README's pictures: a report, and a run in Prefect's UI.

    python docs/pictures/make.py features --profile quick --dataset 17flowers.tgz \
        --weights-dir weights --store real-store \
        --set 'features.table=[{extractor: mobilenet}, {extractor: vgg16}]'

Takes what `flowers17 run` takes, and writes report.webp and run.webp beside this file.

Run the same flow with `flowers17 run` first. This script copies the store without some of its
artifacts. A real `flowers17 serve` then runs the flow on the copy: some stages are cached, others
are built. The store itself is not touched.

Needs the extra `dev`, and Chromium (Debian: apt-get install chromium).
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FLOWERS17 = (sys.executable, "-c", "from flowers17.cli import main; main()")
REBUILT = ("duplicates", "splits", "rows", "report", "study")  # what the run is to build
START_S, RUN_S = 120, 600
WIDTH, SCALE = 1000, 1.5
# The report's picture has its head and Table 8: a whole report is some fifty screens long.
EXCERPT = """
nav, footer, .part:not(#b1), .part > :not(h2, #table-8) { display: none }
#table-8 { padding-bottom: 2rem }
"""


@contextmanager
def served(store: Path, options: list[str]) -> Iterator[str]:
    """Serve a store with a Prefect home of its own; yields the server's address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    home, url = store.parent / "prefect", f"http://127.0.0.1:{port}"
    command = [*FLOWERS17, "serve", "--port", str(port), "--store", str(store)]
    log = store.parent / "serve.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, *options],
            env={**os.environ, "PREFECT_HOME": str(home), "PYTHONPATH": str(ROOT)},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_S
        while "Ctrl-C" not in log.read_text():  # the last line that `serve` prints at its start
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"expected `serve` to start, got:\n{log.read_text()}")
            time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait()


def finished_run(url: str, flow: str) -> str:
    """Run a flow with what its form begins with; returns the address of the run's page."""
    with httpx.Client(base_url=f"{url}/api/", timeout=60, trust_env=False) as client:
        deployment = client.get(f"deployments/name/{flow}/{flow}").raise_for_status().json()
        run = (
            client.post(
                f"deployments/{deployment['id']}/create_flow_run",
                json={"name": f"{flow}-of-flowers", "parameters": deployment["parameters"]},
            )
            .raise_for_status()
            .json()
        )
        deadline = time.monotonic() + RUN_S
        while run["state_type"] not in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            if time.monotonic() > deadline:
                raise SystemExit(f"expected the run to end within {RUN_S} s, got {run['state']}")
            time.sleep(2)
            run = client.get(f"flow_runs/{run['id']}").raise_for_status().json()
    if run["state_type"] != "COMPLETED":
        raise SystemExit(f"expected a run that completes, got {run['state']}")
    return f"{url}/runs/flow-run/{run['id']}"


def page_of(browser: Browser, url: str, height: int) -> Page:
    page = browser.new_page(
        viewport={"width": WIDTH, "height": height},
        device_scale_factor=SCALE,
    )
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
        store = Path(folder, "store")
        shutil.copytree(arguments.store, store)
        for stage in REBUILT:
            shutil.rmtree(store / stage, ignore_errors=True)
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        with served(store, options) as url:
            page = page_of(browser, finished_run(url, arguments.flow), height=860)
            page.get_by_text("Task Runs", exact=True).first.click()
            page.wait_for_timeout(3000)  # the graph is drawn on a canvas, which says nothing
            save(page.screenshot(), "run")
        (report,) = (store / "study").glob("*/index.html")
        page = page_of(browser, report.as_uri(), height=600)
        page.add_style_tag(content=EXCERPT)
        save(page.screenshot(full_page=True), "report")


if __name__ == "__main__":
    main()
