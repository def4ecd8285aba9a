"""Ensembles on the page, in the results and in the metrics."""

import json
from pathlib import Path

import pytest

from flowers17.reporting.best_table import best_table
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.page import highlights, in_order
from flowers17.reporting.report import all_figures, all_tables, write_report

from .made_ensembles import REASON_OF_A_FOLD, combined_study
from .test_report import OWN_ADDRESSES, Page


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return combined_study(tmp_path_factory.mktemp("combined"), missing_trainings={})


@pytest.fixture(scope="module")
def folder(study: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(study, folder)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text())


def test_page_is_balanced_and_every_link_resolves(page: Page) -> None:
    assert page.mistakes == []
    assert [name for name, count in page.ids.items() if count > 1] == []
    assert set(page.anchors) <= set(page.ids)
    assert all(address.startswith(OWN_ADDRESSES) for address in page.addresses)


def test_our_numbers_lead_to_the_artifact_of_the_stacking(
    folder: Path, study: ReportInputs
) -> None:
    text = (folder / "index.html").read_text()
    key = study.artifacts["stacking of study, clean split"].reference.key
    assert f'<a href="#lineage-stacking-{key[:12]}">0.917</a>' in text
    assert f'id="lineage-stacking-{key[:12]}"' in text


def test_what_was_not_run_is_told_in_part_a2_and_nowhere_else(page: Page, folder: Path) -> None:
    text = (folder / "index.html").read_text()
    start = text.index('id="missing-a2"')
    entry = text[start : text.index("</section>", start)]
    assert "residual best, repeat-03 fold 2" in entry
    assert "&lt;in fold 2&gt;" in entry
    features_part = text[text.index('id="missing-b1"') :]
    assert "repeat-03 fold 2" not in features_part[: features_part.index("</section>")]
    assert REASON_OF_A_FOLD in page.text


def test_tables_and_figures_follow_each_other_ensemble_by_ensemble(study: ReportInputs) -> None:
    tables, figures = all_tables(study)["a2"], all_figures(study)["a2"]
    shown = [item.number for item in in_order(tables, figures)]
    assert shown == [
        *("4", "5", "4b", "5b"),
        *("5", "5-confusion", "5-pairs", "5b", "5b-confusion", "5b-pairs", "5b-splits"),
        *("5-leak", "5-leak-splits", "5-paired"),
        *("5-calibration", "5-reliability", "5b-reliability"),
        *("6", "6", "6b", "6b", "6-classes", "6b-classes"),
        *("5-measures", "5-classes"),
    ]


def test_files_are_numbered_as_in_the_study(folder: Path) -> None:
    names = {path.name for path in (*folder.glob("tables/*"), *folder.glob("figures/*"))}
    assert {"table-04.csv", "table-05.csv", "table-05-leak.csv", "table-06.csv"} <= names
    assert {"figure-05.svg", "figure-06.svg", "figure-05-confusion.svg"} <= names


def test_optimism_is_in_the_results_for_machines(folder: Path) -> None:
    table = json.loads((folder / "results.json").read_text())["tables"]["5-leak"]
    cells = table["rows"][0]["cells"]
    assert (cells["apparent"]["value"], cells["held_out"]["value"]) == (1.0, 0.5)
    assert cells["optimism"]["value"] == 0.5
    assert len(cells["optimism"]["interval"]) == 2


def test_highlight_and_metric_are_the_best_ensembles(study: ReportInputs, tmp_path: Path) -> None:
    best = next(h for h in highlights(study, []) if "ensemble" in h.label)
    assert (best.value, best.label) == ("0.875", "best ensemble, mean over 2 clean splits")
    assert "the study’s stacking on its networks’ own training images 0.820" in best.detail
    metrics = write_report(study, tmp_path)
    assert metrics["best ensemble accuracy (clean splits)"] == 0.875


def test_table_10_has_the_stacking_out_of_fold_beside_the_study_s(study: ReportInputs) -> None:
    rows = [row for row in best_table(study).rows if row.group == "Ensembles"]
    titles = [row.cells[0].text for row in rows]
    assert titles == [
        "Mk-2 to Mk-6, stacked on their own training images",
        "Mk-2 to Mk-6, stacked out of fold",
        "best of ours: Ensemble own",
    ]
    assert [row.cells[1].value for row in rows] == [0.82, None, None]
    result = next(result for result in study.ensemble_results if result.name == "study")
    fitted = result.stacking("out-of-fold", "random_forest")
    assert fitted
    assert rows[1].cells[2].value == fitted.held_out.accuracy


def test_rendered_flowers_are_not_compared(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path / "study", random=True, more=())
    best = next(h for h in highlights(inputs, []) if "ensemble" in h.label)
    assert "0.820" not in best.detail
    assert best.label == "best ensemble, the clean split"
    notes = [note for table in all_tables(inputs)["a2"] for note in table.notes]
    assert any("Not a comparison (rendered flowers)" in note for note in notes)
