"""Tables of test parts, from made scores; tests/pipeline/test_test_part.py has real ones."""

from dataclasses import replace
from typing import Any

import pytest

from flowers17.reporting.given_test_part import test_tables as tables_of
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import accuracy_interval
from flowers17.reporting.page import highlights
from flowers17.reporting.records import Score


def _counts(n: int, n_correct: int) -> dict[str, Any]:
    return {"n": n, "n_correct": n_correct, "by_class": None}


def _study(study: ReportInputs, **scores: tuple[Score, ...]) -> ReportInputs:
    """Return a study of as many classifiers as there are tuples of scores, and of nothing else."""
    changed = replace(study)
    runs = [
        replace(run, classifier=name, scores=of_run)
        for run, (name, of_run) in zip(study.evaluations, scores.items(), strict=False)
    ]
    divided = [{**split, "test": split["validation"][:1]} for split in study.divided]
    vars(changed).update(
        divided=divided, evaluations=runs, trainings=[], fine_tunings=[], ensemble_results=[]
    )
    return changed


def test_official_splits_have_their_mean_and_spread_in_a_table_of_their_own(
    real_study: ReportInputs,
) -> None:
    scores = tuple(
        Score(f"official-{k}", "official", 680, 340, 300, {}, None, _counts(340, 320 + 5 * k))
        for k in range(3)
    )
    (table,) = tables_of(_study(real_study, svm=scores))
    assert table.number == "T2"
    _, fitted_on, validation, test, spread = table.rows[0].cells
    assert fitted_on.text == "3 official splits"
    assert validation.value == pytest.approx(300 / 340)
    assert test.value == pytest.approx(325 / 340)
    assert test.interval == accuracy_interval(325, 340)
    assert spread.value == pytest.approx(5 / 340)


def test_the_page_shows_the_test_score_of_the_best_in_validation_not_in_test(
    real_study: ReportInputs,
) -> None:
    study = _study(
        real_study,
        svm=(Score("report", "report", 60, 20, 18, {}, None, _counts(20, 11)),),
        knn=(Score("report", "report", 60, 20, 12, {}, None, _counts(20, 19)),),
    )
    first = highlights(study, tables_of(study))[0]
    assert (first.value, first.label, first.anchor) == (
        "0.550",
        "on the given test part",
        "table-t1",
    )


def test_a_model_stands_as_it_was_fitted_on_the_reports_split(real_study: ReportInputs) -> None:
    scores = (
        Score("repeat-01", "repeated", 60, 20, 10, {}, None, _counts(20, 1)),
        Score("report", "report", 60, 20, 10, {}, None, _counts(20, 15)),
    )
    (table,) = tables_of(_study(real_study, svm=scores))
    assert [cell.value or cell.text for cell in table.rows[0].cells[1:]] == [
        "1 report’s split",
        0.5,
        0.75,
    ]


def test_a_study_without_a_test_part_has_no_such_table(real_study: ReportInputs) -> None:
    assert tables_of(real_study) == []
