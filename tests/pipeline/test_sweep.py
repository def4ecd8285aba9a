"""A sweep end to end: what is shared is built once, then all is reused; its numbers by hand."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.reporting.studies.records import studies_in
from tests.support.commands import called
from tests.support.serving import SMALL
from tests.support.tiny_backbone import BACKBONE
from tests.support.toy import number
from tests.support.toy_flow import run

pytestmark = [pytest.mark.server, pytest.mark.slow]

KNN = "features.classifiers.knn.n_neighbors"
GRID = ("--axis", "seed=[1, 2]", "--axis", f"{KNN}=[1, 3]")
MAP = f"{{extractor: '{BACKBONE}', pooling: average}}"
TABLE = f"features.table=[{MAP}]"
TOO_MANY = f"features.combinations=[[], [{{maps: [{MAP}], n_components: 999}}]]"

Command = Callable[..., tuple[Any, str, str]]


@pytest.fixture(scope="module")
def command(prefect_api: str) -> Command:
    """Runs `flowers17` here; returns its exit code, standard output and standard error."""

    def command(*words: str, settings: tuple[str, ...] = ()) -> tuple[Any, str, str]:
        others = [line for line in SMALL if not line.startswith("features.table=")]
        assignments = () if words[0] == "compare" else (*others, TABLE, *settings)
        return called(*words, api=prefect_api, settings=assignments)

    return command


@pytest.fixture(scope="module")
def first(
    command: Command, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Store of a sweep over two seeds and two settings, its plan, and its JSON output."""
    store = tmp_path_factory.mktemp("sweep") / "store"
    words = ("sweep", "features", *GRID, "--store", str(store), "--json")
    code, planned, _ = command(*words, "--plan")
    assert code == 0
    assert not store.exists()
    code, printed, errors = command(*words, "--runner", "processes")
    assert code == 0, errors
    return store, json.loads(planned), json.loads(printed)


def _results(store: Path, row: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads((store / row["study"] / "results.json").read_text()))


def test_builds_what_it_planned_and_what_is_shared_once(
    first: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    store, plan, result = first
    # Alone: images, backbone, features, duplicates, splits, rows, two classifiers on the splits and
    # on all images, what these are, and the report.
    assert plan["n_stages"] == 4 * 12 + 1
    assert plan["n_different"] == plan["n_to_build"] == 2 * 9 + 4 * 3 + 1
    assert (plan["n_shared"], plan["n_reused"]) == (2 * 9, 0)
    assert result["counts"] == {**dict.fromkeys(result["counts"], 0), "built": plan["n_to_build"]}
    built = {
        name: len(list(store.glob(f"{name}/*/manifest.json"))) for name in ("features", "study")
    }
    assert built == {"features": 2, "study": 4}
    assert result["failed"] == {}


def test_again_reuses_every_stage_and_says_so_before(
    first: tuple[Path, dict[str, Any], dict[str, Any]], command: Command
) -> None:
    store, plan, result = first
    code, printed, errors = command("sweep", "features", *GRID, "--store", str(store), "--json")
    again = json.loads(printed)
    n = plan["n_different"]
    assert code == 0
    assert again["counts"] == {**dict.fromkeys(again["counts"], 0), "reused": n}
    assert (again["summary"], again["folder"]) == (result["summary"], result["folder"])
    assert f"{n} in the store, 0 to be built" in errors
    assert errors.index("to be built") < errors.index("● cached")


def test_sums_up_the_studies_own_metrics(
    first: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    store, _, result = first
    studies = result["summary"]["combinations"]
    assert len(studies) == 4
    for group, rows in (
        ("all", studies),
        ("knn.n_neighbors=1", [studies[0], studies[2]]),
        ("knn.n_neighbors=3", [studies[1], studies[3]]),
    ):
        manifests = [
            json.loads((store / row["study"] / "manifest.json").read_text()) for row in rows
        ]
        metrics = [manifest["metrics"] for manifest in manifests]
        totals = [total for total in result["summary"]["metrics"] if total["group"] == group]
        assert {total["metric"] for total in totals} == set(metrics[0])
        for total in totals:
            values = [values_of[total["metric"]] for values_of in metrics]
            assert total["n"] == len(values)
            assert total["mean"] == pytest.approx(np.mean(values), abs=1e-12)
            assert total["spread"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
            best = min(values) if total["metric"] == "n_missing" else max(values)
            assert total["best"] == best
            assert total["best_of"] == rows[values.index(best)]["combination"]


def test_sums_up_every_number_of_the_tables(
    first: tuple[Path, dict[str, Any], dict[str, Any]],
) -> None:
    store, _, result = first
    accuracies = []
    for row in result["summary"]["combinations"]:
        rows = _results(store, row)["tables"]["8"]["rows"]
        (knn,) = [row for row in rows if row["cells"]["classifier"]["value"] == "knn"]
        accuracies.append(knn["cells"]["ours"]["value"])
    (mean_accuracy,) = [
        number
        for number in result["summary"]["numbers"]
        if (number["group"], number["table"], number["metric"]) == ("all", "8", "ours")
        and number["row"].endswith("knn")
    ]
    assert (mean_accuracy["n"], mean_accuracy["mean"]) == (4, pytest.approx(np.mean(accuracies)))
    assert mean_accuracy["spread"] == pytest.approx(np.std(accuracies, ddof=1))
    with (Path(result["folder"]) / "sweep-numbers.csv").open(newline="") as stream:
        (row,) = [
            line
            for line in csv.DictReader(stream)
            if (line["group"], line["row"]) == ("all", mean_accuracy["row"])
            and (line["table"], line["metric"]) == ("8", "ours")
        ]
    assert float(row["mean"]) == mean_accuracy["mean"]


def test_makes_the_studies_that_the_flow_makes_alone(
    first: tuple[Path, dict[str, Any], dict[str, Any]], command: Command
) -> None:
    store, _, result = first
    settings = ("seed=2", f"{KNN}=3")
    _, printed, _ = command("plan", "features", "--store", str(store), "--json", settings=settings)
    steps = {step["label"]: step for step in json.loads(printed)}
    assert {step["action"] for step in steps.values()} == {"reuse"}
    assert (
        f"study/{steps['report on features']['key']}"
        == (result["summary"]["combinations"][3]["study"])
    )
    assert {study.label for study in studies_in(store)} == {"report on features"}


def test_makes_studies_that_can_be_compared(
    first: tuple[Path, dict[str, Any], dict[str, Any]], command: Command
) -> None:
    store, _, result = first
    names = [row["study"] for row in result["summary"]["combinations"][:2]]
    code, printed, _ = command("compare", *names, "--store", str(store), "--json")
    assert code == 0
    assert json.loads(printed)["differences"]["settings"] == [f"{KNN}: 1 → 3"]


def test_shows_its_metrics_as_a_table_and_as_csv(
    first: tuple[Path, dict[str, Any], dict[str, Any]], command: Command
) -> None:
    store, _, result = first
    words = ("sweep", "features", *GRID, "--store", str(store))
    code, printed, _ = command(*words)
    assert (code, printed.splitlines()[-1]) == (0, result["folder"])
    assert result["summary"]["combinations"][0]["study"][:18] in printed
    assert "± s.d." in printed
    _, text, _ = command(*words, "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [float(row["mean"]) for row in rows] == [
        row["mean"] for row in result["summary"]["metrics"]
    ]


def test_of_which_one_fails_keeps_the_others_and_ends_with_1(
    first: tuple[Path, dict[str, Any], dict[str, Any]], command: Command
) -> None:
    store, _, _ = first
    words = ("sweep", "features", "--axis", TOO_MANY, "--store", str(store), "--json")
    code, printed, errors = command(*words, settings=("seed=1",))
    result = json.loads(printed)
    assert code == 1
    assert [row["combination"] for row in result["summary"]["combinations"]] == [
        "features.combinations=[]"
    ]
    (failed,) = result["summary"]["failed"]
    assert failed.startswith('features.combinations=[{"maps"')
    assert {metric["n"] for metric in result["summary"]["metrics"]} == {1}
    assert all("set a smaller n_components" in reason for reason in result["failed"].values())
    assert f"report on features [{failed}]" in result["failed"]
    assert "n_components" in errors


def test_that_is_wrong_ends_with_2_before_anything_runs(tmp_path: Path, command: Command) -> None:
    store = tmp_path / "store"
    code, printed, errors = command("sweep", "--axis", "sed=[1]", "--store", str(store))
    assert (code, printed) == (2, "")
    assert "did you mean seed?" in errors
    assert not store.exists()


class TestStages:
    """What the engine does for sweeps."""

    def test_of_a_report_are_skipped_once_an_input_failed(self, api: str, tmp_path: Path) -> None:
        broken = number("broken", 1, config={"problem": "invalid"})
        missing = number("missing", 2, config={"problem": "missing"}, optional=True)
        strict = {"tolerant": True, "unless_failed": True}
        reports = [
            number("without", 3, missing, number("a", 4), **strict),
            number("no report", 5, broken, missing, **strict),
        ]
        outcome = run([number("summary", 6, *reports, tolerant=True)], tmp_path / "store")
        assert outcome.names["without"] == outcome.names["summary"] == "Completed"
        assert outcome.names["no report"] == "Skipped"
        assert outcome.tasks["no report"].message == "expected a flower, got a stone"
        assert isinstance(outcome.state.result(raise_on_failure=False), Exception)

    def test_of_other_studies_do_not_wait_for_a_report(self, api: str, tmp_path: Path) -> None:
        noted = {"resources": {"calls": str(tmp_path / "calls")}}
        slow = number("slow", 1, config={"seconds": 1.0}, **noted)
        first = number("report", 2, slow, tolerant=True, variant="1", **noted)
        second = number(
            "report", 4, number("quick", 3, **noted), tolerant=True, variant="2", **noted
        )
        run([first, second], tmp_path / "store", runner="processes", workers=2)
        assert (tmp_path / "calls").read_text().split()[:2] in (["1", "3"], ["3", "1"])
