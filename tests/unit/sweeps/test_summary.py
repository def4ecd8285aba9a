"""A sweep's numbers: means, spreads and extremes over all combinations and over seeds alone."""

import csv
import io
from collections.abc import Mapping
from typing import Any

import pytest

from flowers17.reporting.studies.sweeps import (
    SweptStudy,
    combinations_frame,
    distribution,
    summary,
)
from flowers17.reporting.tables import csv_text
from tests.support.made_studies import results, row


def _study(accuracy: float, n_missing: int = 0, **assigned: str) -> SweptStudy:
    name = ", ".join(f"{setting}={value}" for setting, value in assigned.items())
    metrics = {"best accuracy (report)": accuracy, "n_missing": n_missing, "by": "svm"}
    numbers = results([row("svm", accuracy=accuracy), row("knn", accuracy=accuracy / 2)])
    words = {setting: f"{setting}={value}" for setting, value in assigned.items()}
    return SweptStudy(name, assigned, words, f"study/{name}", metrics, numbers)


STUDIES = [
    _study(0.5, 3, seed="1", C="10"),
    _study(0.25, 2, seed="1", C="20"),
    _study(1.0, 1, seed="2", C="10"),
    _study(0.75, 1, seed="2", C="20"),
]


def _metric(sweep_summary: Mapping[str, Any], group: str, metric: str) -> dict[str, Any]:
    (row,) = [
        row for row in sweep_summary["metrics"] if (row["group"], row["metric"]) == (group, metric)
    ]
    return dict(row)


def test_of_all_and_of_what_differs_in_the_seed_alone_are_given() -> None:
    sweep_summary = summary(STUDIES)
    assert _metric(sweep_summary, "all", "best accuracy (report)") == {
        "group": "all",
        "metric": "best accuracy (report)",
        "n": 4,
        "mean": 0.625,
        "spread": pytest.approx((0.3125 / 3) ** 0.5),
        "lowest": 0.25,
        "lowest_of": "seed=1, C=20",
        "highest": 1.0,
        "highest_of": "seed=2, C=10",
        "best": 1.0,
        "best_of": "seed=2, C=10",
    }
    of_20 = _metric(sweep_summary, "C=20", "best accuracy (report)")
    assert (of_20["n"], of_20["mean"], of_20["best_of"]) == (2, 0.5, "seed=2, C=20")
    assert of_20["spread"] == pytest.approx(0.125**0.5)
    assert [row["group"] for row in sweep_summary["metrics"]] == [
        *("all", "all", "C=10", "C=10", "C=20", "C=20")
    ]


def test_of_what_is_missing_call_the_fewest_the_best() -> None:
    missing = _metric(summary(STUDIES), "all", "n_missing")
    assert (missing["best"], missing["best_of"]) == (1, "seed=2, C=10")


def test_take_in_every_number_of_the_tables() -> None:
    numbers = summary(STUDIES)["numbers"]
    (knn,) = [row for row in numbers if (row["group"], row["row"]) == ("C=10", "knn")]
    assert knn == {
        "group": "C=10",
        "table": "8",
        "row": "knn",
        "metric": "accuracy",
        **distribution({"seed=1, C=10": 0.25, "seed=2, C=10": 0.5}),
    }


@pytest.mark.parametrize(
    "studies",
    [STUDIES[:2], [_study(0.5, seed="1"), _study(1.0, seed="2")], STUDIES[:1]],
    ids=["one seed", "seeds alone", "one study"],
)
def test_are_of_all_alone_where_seeds_make_no_groups(studies: list[SweptStudy]) -> None:
    assert {row["group"] for row in summary(studies)["metrics"]} == {"all"}


def test_of_one_study_have_no_spread() -> None:
    accuracy = _metric(summary(STUDIES[:1]), "all", "best accuracy (report)")
    assert (accuracy["n"], accuracy["mean"], accuracy["spread"]) == (1, 0.5, None)


def test_count_only_the_studies_that_have_a_metric() -> None:
    without_metrics = SweptStudy(
        "other", {"seed": "9"}, {"seed": "seed=9"}, "study/9", {}, results()
    )
    accuracy = _metric(summary([*STUDIES, without_metrics]), "all", "best accuracy (report)")
    assert (accuracy["n"], accuracy["mean"]) == (4, 0.625)


def test_as_csv_have_a_row_a_combination() -> None:
    without_metrics = SweptStudy("other", {"W": "1"}, {"W": "W=1"}, "study/9", {}, results())
    rows = combinations_frame(summary([STUDIES[0], without_metrics]))
    (first, second) = csv.DictReader(io.StringIO(csv_text(rows)))
    assert first == {
        "seed": "1",
        "C": "10",
        "W": "",
        "study": "study/seed=1, C=10",
        "best accuracy (report)": "0.5",
        "n_missing": "3",
        "by": "svm",
    }
    assert second == {**dict.fromkeys(first, ""), "W": "1", "study": "study/9"}
