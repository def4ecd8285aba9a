"""The report on two classes of unequal size: what stands first, by class, and thresholds."""

import json
from pathlib import Path

import numpy as np
import pytest

from flowers17.config import CombinationSettings
from flowers17.reporting.best import baseline, best_classifiers
from flowers17.reporting.classes.tables import best_model, class_tables
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.page import highlights
from flowers17.reporting.report import all_figures, all_tables, write_report
from flowers17.reporting.tables import Table, csv_text

from .made_study import out_of_fold, tiny_study

# Of 8 and 3 held-out images: one model errs on 3 of the first class, another on 2 of the second.
ERRORS = {"naive_bayes": 3, "knn": 6, "svm": -2, "logistic_regression": -3, "random_forest": 5}
LABELS = np.repeat([0, 1], [32, 12])


def _study(root: Path, labels: np.ndarray = LABELS) -> ReportInputs:
    def n_wrong(combination: CombinationSettings) -> int:
        return 4 if len(combination.maps) > 1 else ERRORS[combination.classifier]

    pixels = np.random.default_rng(3).integers(0, 256, (len(labels), 128, 128, 3), dtype=np.uint8)
    names = [f"class {label}" for label in range(labels.max() + 1)]
    return tiny_study(root, labels=labels, images=pixels, class_names=names, n_wrong=n_wrong)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return _study(tmp_path_factory.mktemp("unequal"))


@pytest.fixture(scope="module")
def equal_study(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return _study(tmp_path_factory.mktemp("equal"), np.repeat([0, 1], [24, 20]))


@pytest.fixture(scope="module")
def tables(study: ReportInputs) -> dict[str, Table]:
    return {table.number: table for table in class_tables(study, "b1")}


def _rows(table: Table) -> list[list[object]]:
    return [[cell.text for cell in row.cells] for row in table.rows]


class TestTheMeasureThatStandsFirst:
    def test_is_balanced_accuracy_and_chooses_the_best(self, study: ReportInputs) -> None:
        assert study.best
        assert study.best.classifier == "naive_bayes"
        best = best_classifiers(study).on_one_split
        assert best
        assert best.accuracy == (5 / 8 + 1) / 2
        assert best.interval
        assert best.interval.low < best.accuracy < best.interval.high

    def test_is_accuracy_where_classes_are_alike(self, equal_study: ReportInputs) -> None:
        assert equal_study.is_balanced
        assert equal_study.best
        assert equal_study.best.classifier == "svm"
        best = best_classifiers(equal_study).on_one_split
        assert best
        assert best.accuracy == 9 / 11

    def test_mean_over_clean_splits_is_of_the_same_measure(self, study: ReportInputs) -> None:
        over_clean = best_classifiers(study).over_clean
        assert over_clean
        # On repeats 1 to 3 it errs on 3, 4 and 3 of the 8 images of the first class.
        expected = np.mean([(n / 8 + 1) / 2 for n in (5, 4, 5)])
        assert over_clean.accuracy == pytest.approx(expected)

    def test_heads_the_page_beside_what_the_largest_class_reaches(
        self, study: ReportInputs, equal_study: ReportInputs
    ) -> None:
        first = highlights(study, [])[0]
        assert first.value == "0.812"
        assert first.measure == "balanced accuracy"
        assert "the largest class alone 0.500" in first.detail
        other = highlights(equal_study, [])[0]
        assert "balanced accuracy" not in other.detail
        assert "the largest class alone 0.545" in other.detail  # 6 of 11

    def test_every_headline_leads_to_a_table_that_holds_its_number(
        self, study: ReportInputs, equal_study: ReportInputs
    ) -> None:
        for inputs in (study, equal_study):
            tables = [table for part in all_tables(inputs).values() for table in part]
            by_anchor = {table.anchor: table for table in tables}
            bests = [highlight for highlight in highlights(inputs, tables) if highlight.metric]
            assert len(bests) == 2
            for best in bests:
                rows = by_anchor[best.anchor].rows
                cells = [cell for row in rows for cell in row.cells if cell.text == best.value]
                assert best.interval in [cell.interval for cell in cells]

    def test_baseline_of_a_mean_is_a_mean(self, equal_study: ReportInputs) -> None:
        over_clean = best_classifiers(equal_study).over_clean
        assert over_clean
        assert baseline(equal_study, over_clean) == pytest.approx(6 / 11)

    def test_names_the_metrics_of_the_study(self, study: ReportInputs, tmp_path: Path) -> None:
        metrics = write_report(study, tmp_path)
        assert metrics["best balanced accuracy (report)"] == 0.8125
        assert not any(name.startswith("best accuracy") for name in metrics)


class TestTables:
    def test_of_the_study_s_numbers_say_what_the_largest_class_reaches(
        self, study: ReportInputs, equal_study: ReportInputs
    ) -> None:
        for inputs, share in ((study, "0.727"), (equal_study, "0.545")):
            every = [table for part in all_tables(inputs).values() for table in part]
            with_accuracies = [t for t in every if t.number in ("8", "8b")]
            assert with_accuracies
            for table in with_accuracies:
                note = next(note for note in table.notes if note.startswith("Giving the largest"))
                assert f"{share} on the report’s split and {share} on the clean split" in note
            is_told = any("balanced accuracy selects" in n for t in every for n in t.notes)
            assert is_told is (inputs is study)

    def test_measures_begin_with_the_one_that_stands_first(
        self, study: ReportInputs, equal_study: ReportInputs, tables: dict[str, Table]
    ) -> None:
        # On the clean split naive Bayes errs on 4 images of the first class.
        values = {row.cells[0].text: row.cells[1].value for row in tables["8-measures"].rows}
        assert next(iter(values)) == "balanced accuracy"
        assert values["balanced accuracy"] == (4 / 8 + 1) / 2
        assert values["accuracy"] == 7 / 11
        assert values["accuracy of the largest class alone"] == 8 / 11
        assert values["macro-F1"] == pytest.approx((2 * 4 / 12 + 2 * 3 / 10) / 2)
        other = {table.number: table for table in class_tables(equal_study, "b1")}["8-measures"]
        assert _rows(other)[0][0] == "accuracy"

    def test_classes_are_counted(self, tables: dict[str, Table]) -> None:
        assert _rows(tables["8-classes"]) == [
            ["class 0", "8", "4", "1.000", "0.500", "0.667"],
            ["class 1", "3", "7", "0.429", "1.000", "0.600"],
        ]
        assert all(row.cells[3].interval for row in tables["8-classes"].rows)

    def test_a_class_that_is_never_predicted_has_a_dash_for_precision(self, tmp_path: Path) -> None:
        errors = dict.fromkeys(ERRORS, -3)
        pixels = np.zeros((44, 128, 128, 3), np.uint8)
        inputs = tiny_study(
            tmp_path,
            labels=LABELS,
            images=pixels,
            class_names=["often", "rare"],
            n_wrong=lambda c: -2 if len(c.maps) > 1 else errors[c.classifier],
        )
        by_number = {table.number: table for table in class_tables(inputs, "b1")}
        assert _rows(by_number["8-classes"])[1] == ["rare", "3", "0", "–", "0.000", "0.000"]
        text = csv_text(by_number["8-classes"].frame)
        assert "nan" not in text.lower()

    def test_no_number_of_the_report_is_nan(self, study: ReportInputs, tmp_path: Path) -> None:
        write_report(study, tmp_path)
        values = json.loads(
            (tmp_path / "results.json").read_text(), parse_constant=lambda name: pytest.fail(name)
        )
        assert {"8-measures", "8-classes", "8-thresholds"} <= values["tables"].keys()
        for path in tmp_path.glob("tables/*.csv"):
            assert ",nan" not in path.read_text().lower()

    def test_more_classes_have_no_thresholds_and_no_curves(self, real_study: ReportInputs) -> None:
        numbers = [table.number for table in class_tables(real_study, "b1")]
        assert numbers == ["8-measures", "8-classes"]
        figures = [figure.number for figure in all_figures(real_study)["b1"]]
        assert "8-pairs" in figures
        assert "8-curves" not in figures

    def test_parts_without_a_model_have_none(self, study: ReportInputs) -> None:
        assert class_tables(study, "a1") == class_tables(study, "c") == []


class TestThresholds:
    def test_are_chosen_on_out_of_fold_predictions_alone(
        self, study: ReportInputs, tables: dict[str, Table]
    ) -> None:
        model = best_model(study, "b1")
        assert model
        truth = LABELS[model.train]
        proba = out_of_fold(truth)
        for row in tables["8-thresholds"].rows:
            name, goal, threshold, recall, precision, held_recall, held_precision = row.cells
            label = int(name.text.rpartition(" ")[2])
            assert isinstance(threshold.value, float)
            taken = proba[:, label] >= threshold.value
            right = taken & (truth == label)
            assert recall.value == pytest.approx(right.sum() / (truth == label).sum())
            assert precision.value == pytest.approx(right.sum() / taken.sum())
            reached = recall if goal.text.startswith("recall") else precision
            assert isinstance(reached.value, float)
            assert reached.value >= 0.95
            held = model.proba[:, label] >= threshold.value
            n_right = int((held & (model.truth == label)).sum())
            assert held_recall.value == n_right / (model.truth == label).sum()
            assert held_precision.value == n_right / held.sum()
            assert held_recall.interval

    def test_goals_are_the_settings(self, study: ReportInputs) -> None:
        settings = study.study.model_copy(
            update={"report": study.study.report.model_copy(update={"recall": 0.5})}
        )
        inputs = ReportInputs(study.artifacts, [], settings.model_dump(mode="json"))
        [table] = [t for t in class_tables(inputs, "b1") if t.number == "8-thresholds"]
        goals = [row[1] for row in _rows(table)]
        assert goals == ["recall ≥ 0.5", "precision ≥ 0.95"] * 2

    def test_curves_are_drawn(self, study: ReportInputs) -> None:
        figure = next(f for f in all_figures(study)["b1"] if f.number == "8-curves")
        assert "Area under the ROC curve: " in figure.caption
        assert "blue, class 0 " in figure.caption


class TestImagesThatAreCut:
    def test_are_shown_with_their_shares(self, study: ReportInputs) -> None:
        figure = next(f for f in all_figures(study)["data"] if f.number == "1c")
        sizes = [study.items["original_sizes"][row] for row in range(len(LABELS))]
        shares = sorted((1 - min(size) / max(size) for size in sizes), reverse=True)
        assert [label.rpartition(": ")[2] for label, _ in figure.tiles] == [
            f"{share:.0%} cut".replace("%", " %") for share in shares[:6]
        ]

    def test_share_stands_in_the_data_sheet(self, study: ReportInputs) -> None:
        facts = {r.cells[0].text: r.cells[1] for r in _datasheet(study).rows}
        shares = [1 - min(s) / max(s) for s in study.items["original_sizes"]]
        assert facts["made square"].value == pytest.approx(np.mean(shares))
        assert facts["made square"].text.startswith("central square; ")

    @pytest.mark.parametrize("resize", ["pad", "stretch"])
    def test_nothing_is_cut_otherwise_and_the_study_s_numbers_do_not_compare(
        self, study: ReportInputs, resize: str
    ) -> None:
        settings = {**study.settings, "dataset": {**study.settings["dataset"], "resize": resize}}
        inputs = ReportInputs(study.artifacts, [], settings)
        assert not [f for f in all_figures(inputs)["data"] if f.number == "1c"]
        facts = {r.cells[0].text: r.cells[1] for r in _datasheet(inputs).rows}
        assert facts["made square"].value == 0
        assert study.comparable(study.study.features.table[1])
        assert not inputs.comparable(inputs.study.features.table[1])
        assert "the images are not cropped to squares" in inputs.differences

    def test_weighted_classes_do_not_compare_either(self, study: ReportInputs) -> None:
        inputs = ReportInputs(study.artifacts, [], {**study.settings, "class_weight": "balanced"})
        assert not inputs.comparable(inputs.study.features.table[1])
        assert "classes are weighted" in inputs.differences


def _datasheet(inputs: ReportInputs) -> Table:
    return next(table for table in all_tables(inputs)["data"] if table.number == "D2")


def test_without_images_the_page_leaves_the_baseline_out(study: ReportInputs) -> None:
    stages = {label: artifact.manifest["stage"] for label, artifact in study.artifacts.items()}
    kept = {label: a for label, a in study.artifacts.items() if stages[label] == "classifier"}
    inputs = ReportInputs(kept, [], study.settings)
    assert class_tables(inputs, "b1") == []
    details = [highlight.detail for highlight in highlights(inputs, [])]
    assert details
    assert not any("largest class" in detail for detail in details)
