"""A person opens the form of each deployment, in both of Prefect's UIs, and submits it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flowers17.profiles import PROFILES
from flowers17.request import FORMS, StudyRequest, request_from
from flowers17.sweeps.combinations import SweepSettings
from flowers17.validation import validated
from flows.registration import form_of
from flows.sweep import SEEDS
from tests.support.processes import eventually
from tests.support.serving import Serving

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.slow]

PATHS = {"v1": "", "v2": "/v2"}
ALWAYS = {"v1": ("learners", "study", "sweep"), "v2": ("study",)}
MOST_CONTROLS = 20
CONTROLS = "input:visible, textarea:visible, select:visible"


class Deployments:
    """The study's deployments on a server that shows both UIs; no worker takes their runs."""

    def __init__(self, serving: Serving) -> None:
        self.url, self.client, self.store = serving.ui, serving.client, serving.store
        self._initial: dict[str, Any] = {}

    def named(self, flow: str) -> dict[str, Any]:
        """The server's record of a deployment."""
        record: dict[str, Any] = self.client.get(f"deployments/name/{flow}/{flow}").json()
        return record

    def parameters(self, flow: str) -> list[dict[str, Any]]:
        """Parameters of a deployment's runs."""
        return [run["parameters"] for run in self._runs(flow)]

    def open(self) -> None:
        """Hold up runs, and give all deployments the parameters of `serve --profile quick`."""
        self._change("work_pools/flowers17", is_paused=True)
        request = request_from(store=str(self.store), profile="quick", dataset="rendered")
        for flow in FORMS:
            record = self.named(flow)
            self._initial[record["id"]] = record["parameters"]
            form = form_of(flow, request).model_dump(mode="json")
            parameters = {**record["parameters"], "request": form}
            self._change(f"deployments/{record['id']}", parameters=parameters)

    def close(self) -> None:
        """Delete the runs, and put all back."""
        for flow in FORMS:
            for run in self._runs(flow):
                self.client.delete(f"flow_runs/{run['id']}").raise_for_status()
        for identity, parameters in self._initial.items():
            self._change(f"deployments/{identity}", parameters=parameters)
        self._change("work_pools/flowers17", is_paused=False)

    def _change(self, path: str, **fields: Any) -> None:
        self.client.patch(path, json=fields).raise_for_status()

    def _runs(self, flow: str) -> list[dict[str, Any]]:
        """A deployment's runs that wait for a worker."""
        query = {
            "deployment_id": {"any_": [self.named(flow)["id"]]},
            "state": {"type": {"any_": ["SCHEDULED"]}},
        }
        reply = self.client.post("flow_runs/filter", json={"flow_runs": query})
        return list(reply.raise_for_status().json())


@pytest.fixture(scope="module")
def deployments(serving: Serving) -> Iterator[Deployments]:
    deployments = Deployments(serving)
    try:
        deployments.open()
        yield deployments
    finally:
        deployments.close()


def _opened(page: "Page", deployments: Deployments, ui: str, flow: str) -> "Locator":
    """The form of a deployment, with all its fields."""
    identity = deployments.named(flow)["id"]
    page.goto(f"{deployments.url}{PATHS[ui]}/deployments/deployment/{identity}/run")
    page.get_by_text("Device (Optional)").wait_for()
    return page.locator("form")


def _submitted(page: "Page", deployments: Deployments, flow: str) -> dict[str, Any]:
    """Parameters of the run that a click on Submit starts."""
    earlier = deployments.parameters(flow)
    page.get_by_role("button", name="Submit").click()
    assert eventually(lambda: len(deployments.parameters(flow)) > len(earlier))
    later = deployments.parameters(flow)
    for parameters in earlier:
        later.remove(parameters)
    return later[0]


def _input(form: "Locator", label: str) -> "Locator":
    """Input of the field of a label."""
    text = form.locator("label", has_text=re.compile(rf"^{re.escape(label)} \(Optional\)"))
    return text.locator("xpath=ancestor::*[.//input or .//textarea][1]").locator("input, textarea")


def _add_line(form: "Locator", label: str, line: str) -> None:
    text = form.locator("label", has_text=re.compile(rf"^{re.escape(label)} \(Optional\)"))
    field = text.locator("xpath=ancestor::*[.//button[contains(., 'dd item')]][1]")
    lines = field.locator("input, textarea")
    n_lines = lines.count()
    field.get_by_role("button", name=re.compile("add item", re.IGNORECASE)).click()
    lines.nth(n_lines).fill(line)


@pytest.mark.parametrize(
    ("ui", "flow"),
    [
        # `serve` leads to the first UI; both make a form of any schema.
        pytest.param(ui, flow, marks=[] if flow in ALWAYS[ui] else pytest.mark.long)
        for flow in FORMS
        for ui in PATHS
    ],
)
def test_an_untouched_form_is_the_profile(
    deployments: Deployments, page: "Page", ui: str, flow: str
) -> None:
    form = _opened(page, deployments, ui, flow)
    labels = form.locator("label", has_text="(Optional)")
    assert eventually(lambda: labels.count() >= len(FORMS[flow].model_fields))
    n_fields = labels.count()
    assert form.locator(CONTROLS).count() <= n_fields <= MOST_CONTROLS
    parameters = _submitted(page, deployments, flow)
    request = validated(FORMS[flow], parameters["request"])
    rendered = PROFILES["quick"].dataset.model_copy(update={"source": "rendered"})
    profile = PROFILES["quick"].model_copy(update={"dataset": rendered})
    assert request.settings.model_dump_json() == profile.model_dump_json()
    assert request.options == StudyRequest(store=deployments.store).options
    assert "over" not in parameters or validated(SweepSettings, parameters["over"]) == SEEDS


@pytest.mark.parametrize("ui", PATHS)
def test_a_form_changes_what_is_filled_in_and_nothing_else(
    deployments: Deployments, page: "Page", ui: str
) -> None:
    form = _opened(page, deployments, ui, "learners")
    _input(form, "learners.recipe.epochs").fill("5")
    for label in ("Dataset", "Workers"):  # filled in from the deployment
        _input(form, label).fill("")
    _add_line(form, "learners.best", "sequential")
    _add_line(form, "Set KEY=VALUE", "seed=9")
    _add_line(form, "Set KEY=VALUE", "tensorboard=/logs")
    request = validated(FORMS["learners"], _submitted(page, deployments, "learners")["request"])
    learners = PROFILES["quick"].learners
    recipe = learners.recipe.model_copy(update={"epochs": 5})
    expected = learners.model_copy(update={"recipe": recipe, "best": ("sequential",)})
    assert request.settings.learners == expected
    assert request.settings.seed == 9
    assert request.settings.dataset == PROFILES["quick"].dataset
    assert (request.options.workers, request.options.tensorboard) == (2, Path("/logs"))
