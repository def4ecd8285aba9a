"""A person at the UI fills in forms, starts runs, adds a schedule, sees results and refusals."""

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.serving import FINAL, Serving, told

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.slow]

FORM = {"seed": "5", "dataset.image_size": "32", "splits.n_repeats": "0"}


def _field(page: "Page", label: str) -> "Locator":
    """The input of a form's field."""
    named = page.locator("label", has_text=re.compile(rf"^{re.escape(label)} \(Optional\)"))
    return named.locator("xpath=../..").locator("input, textarea")


def _open_form(page: "Page", flow: str) -> None:
    """Open the form of a deployment by clicks, from the list of all."""
    page.get_by_title(flow, exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.get_by_text("Custom run").click()
    page.get_by_text("root of every derived seed; empty: 17").wait_for()


def _ended(page: "Page", serving: Serving, flow: str) -> dict[str, Any]:
    """A flow's newest run, at its end; the page lists all runs then."""
    page.goto("about:blank")  # the UI at work would cost more processor time than the run
    query = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_DESC"}
    run = serving.client.post("flow_runs/filter", json=query).json()[0]
    ended = serving.reaches(run["id"], *FINAL)
    page.goto(f"{serving.ui}/runs")
    return ended


def test_a_person_runs_features_and_opens_its_table_and_picture(
    serving: Serving, page: "Page"
) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))

    page.goto(serving.ui)
    page.locator("a", has_text="Deployments").first.click()
    _open_form(page, "features")
    assert page.get_by_text("demo: rendered flowers, minutes, no download").is_visible()
    for label, value in FORM.items():
        _field(page, label).fill(value)
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("Upcoming", exact=True).wait_for()

    run = _ended(page, serving, "features")
    parameters = run["parameters"]["request"]
    assert {name: str(parameters[name]) for name in FORM} == FORM
    assert parameters["features.classifiers.names"] == ["naive_bayes", "knn"]
    assert parameters["set"] == [line for line in serving.settings if "names" not in line]
    assert run["name"] == "features, demo, rendered, seed 5"
    page.locator("a", has_text=run["name"]).first.click()
    page.get_by_text("Completed", exact=True).first.wait_for()
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("table-08", exact=True).wait_for()

    page.get_by_text("Table 8. Classifiers on extracted features").wait_for()
    page.get_by_text("table-08", exact=True).click()
    page.get_by_text("naive_bayes", exact=True).wait_for()
    page.get_by_text("Report’s split: ours").first.wait_for()
    page.go_back()
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("figure-01", exact=True).click()
    picture = page.locator('img[src^="data:image/svg+xml;base64,"]')
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 100

    here = (serving.ui, f"blob:{serving.ui}", "data:")
    assert [url for url in requested if not url.startswith(here)] == []


def test_a_person_is_told_which_value_is_wrong(serving: Serving, page: "Page") -> None:
    page.goto(f"{serving.ui}/deployments")
    _open_form(page, "dataset")
    _field(page, "dataset.image_size").fill("9")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("Upcoming", exact=True).wait_for()
    run = _ended(page, serving, "dataset")
    assert run["name"].startswith("dataset, refused")
    page.locator("a", has_text=run["name"]).first.click()
    message = "setting dataset.image_size: expected at least 16, got 9"
    page.get_by_text(message).first.wait_for()
    assert page.get_by_text("Traceback").count() == 0
    assert told(lambda: message in "\n".join(serving.messages(run["id"])))
    text = "\n".join(serving.messages(run["id"]))
    assert text.count(message) == 1
    assert "Traceback" not in text + serving.worker_log()


@pytest.mark.parametrize(("answer", "end"), [("go on", "COMPLETED"), ("stop", "CANCELLED")])
def test_a_run_shows_its_plan_and_waits_for_a_person(
    serving: Serving, page: "Page", answer: str, end: str
) -> None:
    store = str(serving.home / answer)  # so that there is something to build
    sent = serving.start_run("dataset", store=store, start="after its plan was approved")
    run = sent.raise_for_status().json()["id"]
    serving.reaches(run, "PAUSED")
    plan = serving.artifacts(run)["plan"]
    rows = json.loads(plan["data"])
    assert {"action": "run", "stage": "splits"}.items() <= next(
        row for row in rows if row["stage"] == "splits"
    ).items()
    assert "stages to build, 0 in the store" in plan["description"]
    assert serving.tasks(run) == {}
    page.goto(f"{serving.ui}/runs/flow-run/{run}")
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("stages to build, 0 in the store").last.wait_for()
    if answer != "go on":
        page.locator(".schema-form-property-string .p-select-button__control").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
    with page.expect_response(re.compile("/resume$")):
        page.get_by_role("button", name=re.compile("Submit|Resume")).last.click()
    page.goto("about:blank")
    ended = serving.reaches(run, "COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    assert ended["state_type"] == end, ended["state"]
    assert bool(serving.tasks(run)) == (answer == "go on")


def test_a_schedule_is_added_by_a_person(serving: Serving, page: "Page") -> None:
    """That one outlives a restart, and starts runs, is held in tests/pipeline/test_operation.py."""
    page.goto(f"{serving.ui}/deployments")
    page.get_by_title("dataset", exact=True).first.click()
    page.get_by_role("button", name="Schedule", exact=True).click()
    page.locator("input[type=number]").fill("1")
    page.get_by_role("button", name="Save").click()
    assert told(lambda: serving.deployment("dataset")["schedules"])
    deployment = serving.deployment("dataset")
    (schedule,) = deployment["schedules"]
    path = f"deployments/{deployment['id']}/schedules/{schedule['id']}"
    serving.client.delete(path).raise_for_status()
    assert (schedule["active"], schedule["schedule"]["interval"]) == (True, 60)
