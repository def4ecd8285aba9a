"""Cells of Tables 4 to 6 and what goes with them, and what is compared with the study."""

from pathlib import Path

import numpy as np
import pytest

from flowers17.digests import canonical_json
from flowers17.errors import InvalidInput
from flowers17.reporting.best import best_ensembles
from flowers17.reporting.cells import Cell
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.members import classes_table, importances_table, members_table
from flowers17.reporting.ensembles.optimism import finding, optimism_tables
from flowers17.reporting.ensembles.tables import (
    STUDY_STACKING,
    accuracy_tables,
    calibration_table,
    ensemble_paired_table,
    ensemble_tables,
)
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import (
    accuracy_interval,
    difference_interval,
    mean_difference,
    mean_spread,
)
from flowers17.reporting.tables import Row, Table, csv_text

from .made_ensembles import (
    ERRORS,
    OWN_MEMBERS,
    REASON_OF_A_FOLD,
    STUDY_MEMBERS,
    combined_study,
    publish_ensemble,
    settings_with_ensembles,
)
from .made_study import tiny_study
from .made_trainings import layers_of
from .maker import Maker, absent_stage


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return combined_study(tmp_path_factory.mktemp("combined"), missing_trainings={})


def _ensemble(inputs: ReportInputs, name: str) -> Ensemble:
    return next(ensemble for ensemble in ensembles_of(inputs) if ensemble.name == name)


def _classes_table(inputs: ReportInputs, name: str) -> Table:
    ensemble = _ensemble(inputs, name)
    return classes_table(ensemble, ensemble.combined[0])


def _row(table: Table, first: str, group: str = "") -> Row:
    return next(r for r in table.rows if r.cells[0].value == first and group in r.group)


def _cell(table: Table, row: Row, key: str) -> Cell:
    return row.cells[[column.key for column in table.columns].index(key)]


def _without(inputs: ReportInputs, *stages: str) -> ReportInputs:
    """The inputs without the artifacts of some stages."""
    artifacts = {k: v for k, v in inputs.artifacts.items() if v.manifest["stage"] not in stages}
    return ReportInputs(artifacts, inputs.absent, inputs.settings)


def test_tables_of_the_studys_ensemble_have_its_numbers_and_ours_get_a_letter(
    study: ReportInputs,
) -> None:
    numbers = [table.number for table in ensemble_tables(study)]
    assert numbers == [
        *("4", "4b", "5", "5b", "5b-splits", "5-leak", "5-leak-splits", "5-paired"),
        *("5-calibration", "6", "6b", "6-classes", "6b-classes"),
    ]


def test_every_row_has_a_cell_for_each_column(study: ReportInputs) -> None:
    for table in ensemble_tables(study):
        assert {len(row.cells) for row in table.rows} == {len(table.columns)}, table.number
        assert csv_text(table.frame).startswith(("group,", f"{table.columns[0].key},"))


def test_study_without_ensembles_has_none_of_the_tables(real_study: ReportInputs) -> None:
    assert real_study.ensemble_results == []
    assert real_study.absent_from("a2") == []
    assert ensemble_tables(real_study) == []


def test_table_4_sets_the_studys_parameters_beside_ours_and_lists_the_epochs(
    study: ReportInputs,
) -> None:
    table = members_table(_ensemble(study, "study"))
    row = _row(table, "mk-5 wide")
    assert [cell.text for cell in row.cells] == [
        *("Mk-5", "11,285,777", "11,285,777", "–", "–", "–", "valid, tanh", "40, 50, 60", "50"),
    ]
    assert row.cells[2].artifact == study.artifacts["out-of-fold of study, clean split"].reference
    assert "into 3 folds" in table.lead
    assert [note.partition(" ")[2][:9] for note in table.notes] == ["the recip"]
    own = members_table(_ensemble(study, "own"))
    assert own.notes == ("By the recipe “best” a model keeps its last epoch: no image chooses it.",)
    assert [cell.text for cell in _row(own, "svm on mobilenet").cells[1:]] == ["–"] * 7


def test_table_4_counts_the_layers_of_the_refit_and_part_a1_leaves_it_out(
    study: ReportInputs, tmp_path: Path
) -> None:
    maker = Maker(tmp_path)
    refit_label = "mk-2 wide refit, clean split"
    source = study.artifacts["mk-2 wide, report split"]
    result = {**source.json("result"), "split": "clean", "kind": "clean"}
    values = {"result": result, "history": {"epochs": []}, "layers": layers_of("mk-2")}
    fold_result = {**result, "split": "clean fold 1", "kind": "fold", "n_validation": 5}
    fold = maker.publish(
        "training",
        "mk-2 wide, clean fold 1",
        {},
        {"validation-predicted": np.zeros(5, dtype=np.int64)},
        {**values, "result": fold_result},
    )
    predicted = {"validation-predicted": source.array("validation-predicted")}
    again = {"changed": "what its key depends on, but no byte of it"}
    refit, _ = (
        maker.publish("training", refit_label, {"fold-01": fold}, predicted, values, config)
        for config in ({}, again)
    )
    publish_ensemble(maker, study, "study", STUDY_MEMBERS, 1, models={"mk-2 wide/refit": refit})
    inputs = ReportInputs({**study.artifacts, **maker.artifacts}, study.absent, study.settings)
    table = members_table(_ensemble(inputs, "study"))
    row = _row(table, "mk-2 wide")
    assert [cell.text for cell in row.cells[3:6]] == ["6", "3", "1"]
    labels = [training.artifact.reference for training in inputs.trainings]
    assert labels == [training.artifact.reference for training in study.trainings]


def test_table_5_has_counts_intervals_the_studys_numbers_and_verdicts(
    study: ReportInputs,
) -> None:
    (table,) = accuracy_tables(_ensemble(study, "study"))
    assert table.number == "5"
    source = study.artifacts["stacking of study, clean split"].reference
    row = _row(table, "mk-2 wide")
    assert _cell(table, row, "study").value == 0.773
    cell = _cell(table, row, "refit")
    assert (cell.value, cell.interval) == (8 / 12, accuracy_interval(8, 12))
    assert (cell.reference, cell.artifact) == (0.773, source)
    assert _cell(table, row, "verdict").verdict == "within"
    averaged = _cell(table, row, "average")
    assert (averaged.value, averaged.interval) == (9 / 12, accuracy_interval(9, 12))
    assert _cell(table, row, "difference").value == pytest.approx(-1 / 12)
    unseen = _cell(table, row, "out_of_fold")
    assert (unseen.value, unseen.interval) == (24 / 36, accuracy_interval(24, 36))


def test_only_the_studys_own_scheme_is_set_against_its_number(
    study: ReportInputs,
) -> None:
    (table,) = accuracy_tables(_ensemble(study, "study"))
    assert _cell(table, _row(table, "average"), "study").value == 0.808
    assert _cell(table, _row(table, "random_forest"), "study").text == "–"
    biased = _row(table, STUDY_STACKING)
    assert _cell(table, biased, "study").value == 0.820
    assert _cell(table, biased, "refit").value == 0.5
    assert _cell(table, biased, "verdict").verdict == "below"
    assert any("near-duplicates may lie on both sides" in note for note in table.notes)


def test_nothing_is_judged_on_rendered_flowers_or_after_fewer_epochs(tmp_path: Path) -> None:
    for index, changes in enumerate(({"random": True}, {"epochs": 5})):
        inputs = combined_study(tmp_path / str(index), **changes)
        (table,) = accuracy_tables(_ensemble(inputs, "study"))
        verdicts = [_cell(table, row, "verdict") for row in table.rows]
        assert {cell.verdict for cell in verdicts} == {None}
        assert "not comparable" in {cell.value for cell in verdicts}
    assert {row.tag for row in table.rows} == {"5 epochs"}


def test_numbers_that_rest_on_untrained_weights_say_so(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path, random=True)
    tags = {table.number: {row.tag for row in table.rows} for table in ensemble_tables(inputs)}
    assert tags["5b"] == {"untrained weights"}
    assert tags["5"] == {""}


def test_table_5b_has_the_means_over_clean_splits_and_no_column_of_the_study(
    study: ReportInputs,
) -> None:
    table, by_split = accuracy_tables(_ensemble(study, "own"))
    assert "study" not in [column.key for column in table.columns]
    row = _row(table, "random_forest")
    over = mean_spread([11 / 12, 10 / 12], n_train=36, n_validation=12)
    averaged = _cell(table, row, "average")
    assert (averaged.value, averaged.interval) == (over.mean, over.interval)
    assert _cell(table, row, "average_spread").value == over.spread
    assert _cell(table, row, "n_splits").value == 2
    groups = list(dict.fromkeys(row.group for row in by_split.rows))
    assert [group.partition(",")[0] for group in groups] == [
        "split repeat-01",
        "split repeat-02",
        "Not run",
    ]
    assert by_split.rows[-1].missing == REASON_OF_A_FOLD


def test_optimism_table_sets_apparent_beside_held_out_with_newcombes_interval(
    study: ReportInputs,
) -> None:
    table, _ = optimism_tables(study)
    row = next(r for r in table.rows if "study" in r.group and r.cells[0].value == "biased")
    assert [cell.value for cell in row.cells] == ["biased", "random_forest", 36, 1.0, 0.5, 0.5]
    assert row.cells[5].interval == difference_interval(36, 36, 6, 12)
    hold_out = next(r for r in table.rows if r.cells[0].value == "hold-out")
    assert hold_out.cells[2].value == 12


def test_optimism_table_gives_means_where_there_are_several_splits(study: ReportInputs) -> None:
    table, by_split = optimism_tables(study)
    row = next(r for r in table.rows if "mean over 2" in r.group)
    optimisms = [1 - 6 / 12, 1 - 5 / 12]
    over = mean_difference(optimisms, n_train=36, n_validation=12)
    assert (row.cells[5].value, row.cells[5].interval) == (over.mean, over.interval)
    assert len(table.rows) == 9 + 9
    assert len(by_split.rows) == 2 * 9


@pytest.mark.parametrize("n_without", [1, 2])
def test_optimism_table_does_without_a_hold_out_and_says_why(
    tmp_path: Path, n_without: int
) -> None:
    inputs = combined_study(tmp_path)
    for name in ("own, repeat-01", "own, repeat-02")[:n_without]:
        artifact = inputs.artifacts[f"stacking of {name} split"]
        result = artifact.json("result")
        stackings = [s for s in result["stackings"] if s["scheme"] != "hold-out"]
        result |= {
            "stackings": stackings,
            "no_hold_out": "got 1 of class iris; lower ensemble.n_folds",
        }
        artifact.file("result.json").write_text(canonical_json(result))
    table, by_split = optimism_tables(inputs)
    assert len(table.rows) == 9 + 6
    assert len(by_split.rows) == 2 * 9 - n_without * 3
    schemes = {row.cells[0].value for row in table.rows if "mean over" in row.group}
    assert schemes == {"biased", "out-of-fold"}
    splits = ["Ensemble own, split repeat-01", "Ensemble own, split repeat-02"][:n_without]
    note = (
        f"{'; '.join(splits)}: no row for one held-out fold, nor a mean of it: "
        "got 1 of class iris; lower ensemble.n_folds."
    )
    assert (table.notes[-1], by_split.notes[-1]) == (note, note)
    assert "out-of-fold predictions" in finding(_ensemble(inputs, "own"))


def test_finding_gives_the_optimism_in_points_with_its_interval(
    study: ReportInputs,
) -> None:
    low, high = difference_interval(36, 36, 6, 12)
    sentence = finding(_ensemble(study, "study"))
    assert "apparent 1.000, held-out 0.500: an optimism of 50.0 points (95 %" in sentence
    assert f"(95 % interval {100 * low:.1f} to {100 * high:.1f});" in sentence
    assert "apparent 0.833, held-out 0.917: an optimism of −8.3 points" in sentence
    assert sentence.endswith("to 20.1), not more than chance may explain.")
    assert finding(_ensemble(study, "own")).startswith("Ensemble own, mean over 2 clean splits")


def test_finding_does_not_claim_what_chance_may_explain(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path)
    artifact = inputs.artifacts["stacking of study, clean split"]
    result = artifact.json("result")
    for stacking in result["stackings"]:
        stacking |= {"n_apparent": stacking["n_fitted"] * 3 // 4, "n_correct": 8}
    artifact.file("result.json").write_text(canonical_json(result))
    assert finding(_ensemble(inputs, "study")).count("not more than chance") == 2


def test_paired_table_compares_what_was_chosen_without_validation_images(
    study: ReportInputs,
) -> None:
    table = ensemble_paired_table(study)
    row = _row(table, "clean")
    # The forest is wrong on the first image, Mk-3 (fewest errors out of fold) on the first three.
    assert _cell(table, row, "method").value == "random_forest"
    assert _cell(table, row, "member").value == "mk-3 wide"
    counts = [_cell(table, row, key).value for key in ("only_ensemble", "only_member")]
    assert counts == [2, 0]
    assert _cell(table, row, "p").value == 0.5
    assert _cell(table, row, "difference").value == pytest.approx(2 / 12)
    mean = _row(table, "mean")
    over = mean_difference([1 / 12, 0.0], n_train=36, n_validation=12)
    assert _cell(table, mean, "difference").interval == pytest.approx(over.interval)
    assert "The study’s ensemble, by stacking, random forest, is not shown to be better" in (
        table.lead
    )
    # Of three tests, two with p = 1, the smallest p counts three times.
    assert _cell(table, row, "p_holm").value == 1.0
    assert "on the clean split: +0.167, p = 1.000." in table.lead


def test_best_member_is_the_one_that_errs_least_out_of_fold_not_on_validation(
    study: ReportInputs,
) -> None:
    (result,) = _ensemble(study, "study").results
    assert ERRORS["mk-2 wide"][1] == ERRORS["mk-3 wide"][1]
    assert result.best_member == min(STUDY_MEMBERS, key=lambda name: ERRORS[name][2])


@pytest.mark.parametrize(
    ("n_wrong", "more", "verdict"),
    [(13, 0, "is better than"), (1, 0, "is not better than"), (1, 12, "is worse than")],
)
def test_sentence_says_better_only_if_the_test_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_wrong: int, more: int, verdict: str
) -> None:
    labels = np.repeat(np.arange(3), 48)
    images = np.zeros((144, 16, 16, 3), dtype=np.uint8)
    plain, maker = tiny_study(tmp_path, images=images, labels=labels), Maker(tmp_path / "more")
    monkeypatch.setitem(ERRORS, "mk-3 wide", (n_wrong, n_wrong, 9))
    publish_ensemble(maker, plain, "study", STUDY_MEMBERS, 1, more=more)
    inputs = ReportInputs({**plain.artifacts, **maker.artifacts}, [], plain.settings)
    assert f"{verdict} its best member, Mk-3, on the clean split" in (
        ensemble_paired_table(inputs).lead
    )


def test_calibration_table_has_before_and_after_of_every_method(study: ReportInputs) -> None:
    table = calibration_table(study)
    assert len(table.rows) == 3 * 5 * 2
    cells = {
        column.key: cell.value
        for column, cell in zip(table.columns, table.rows[0].cells, strict=True)
    }
    assert cells == {
        "method": "average",
        "by": "average",
        "temperature": 1.5,
        "log_loss": 0.5,
        "calibrated_log_loss": 0.4,
        "error": 0.25,
        "calibrated_error": 0.125,
    }


def test_table_6_sums_the_impurity_of_a_members_outputs(study: ReportInputs) -> None:
    table = importances_table(_ensemble(study, "study"))
    sums = [_cell(table, row, "impurity").value for row in table.rows]
    assert sums == pytest.approx([number / 15 for number in range(1, 6)])
    row = _row(table, "mk-4 wide")
    assert _cell(table, row, "study_impurity").value == 0.076
    assert _cell(table, row, "permutation").value == 0.1
    # With all members the forest errs on one image, without this one on two.
    assert _cell(table, row, "left_out").value == pytest.approx(10 / 12)
    assert _cell(table, row, "left_out_drop").value == pytest.approx(1 / 12)
    assert _cell(table, row, "weight").value == pytest.approx(3 / 15)


def test_table_6_classes_has_each_members_weight_of_its_own_output(study: ReportInputs) -> None:
    table = _classes_table(study, "own")
    row = table.rows[1]
    assert [column.key for column in table.columns][1:] == [
        *(f"drop_{name}" for name in OWN_MEMBERS),
        *(f"weight_{name}" for name in OWN_MEMBERS),
    ]
    assert [cell.value for cell in row.cells[1:]] == pytest.approx([0.05, 0.05, 1.01, 1.04])


def test_ensemble_without_a_forest_leaves_importances_empty(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path)
    artifact = inputs.artifacts["stacking of study, clean split"]
    result = {**artifact.json("result"), "importances": None, "coefficients": None}
    artifact.file("result.json").write_text(canonical_json(result))
    row = importances_table(_ensemble(inputs, "study")).rows[0]
    assert [cell.text for cell in row.cells[2:7]] == ["–"] * 5
    assert _classes_table(inputs, "study").rows == ()


def test_ensembles_that_were_not_made_keep_the_studys_numbers_and_say_why(
    study: ReportInputs,
) -> None:
    without = _without(study, "out_of_fold", "stacking")
    label = "stacking of study, clean split"
    absent = [
        absent_stage("a2", "folds", "folds of clean split", "third reason", "clean"),
        absent_stage("a2", "stacking", label, "fourth reason", "clean", ensemble="study"),
    ]
    inputs = ReportInputs(without.artifacts, absent, study.settings)
    tables = {table.number: table for table in ensemble_tables(inputs)}
    row = _row(tables["5"], "mk-3 wide")
    assert (row.cells[1].value, row.cells[2].text, row.missing) == (0.788, "–", "fourth reason")
    assert {row.missing for row in tables["4"].rows} == {"fourth reason"}
    assert _row(tables["6"], "mk-3 wide").cells[1].value == 0.294
    assert "5-leak" not in tables
    assert best_ensembles(inputs).overall is None


def test_members_that_were_not_combined_still_have_table_4(study: ReportInputs) -> None:
    inputs = _without(study, "stacking")
    tables = {table.number: table for table in ensemble_tables(inputs)}
    assert tables["4"].rows == members_table(_ensemble(study, "study")).rows
    assert all(row.missing for row in tables["5"].rows)


def test_reason_of_a_fold_is_not_taken_for_that_of_a_classifier(study: ReportInputs) -> None:
    identity = {"maps": ["vgg16"], "classifier": "svm"}
    fold = absent_stage("a2", "fitted", "svm on vgg16, clean fold 2", "of a fold", **identity)
    inputs = ReportInputs(study.artifacts, [fold], study.settings)
    assert inputs.reason_missing(["vgg16"], "svm") == "no result was made"


@pytest.mark.parametrize(
    ("name", "change"),
    [("random_forest", {"n_correct": 12}), ("mk-2 wide", {"refit": 12})],
)
def test_result_that_disagrees_with_its_predictions_is_refused(
    tmp_path: Path, name: str, change: dict[str, int]
) -> None:
    inputs = combined_study(tmp_path)
    artifact = inputs.artifacts["stacking of study, clean split"]
    result = artifact.json("result")
    for outcome in (*result["methods"], *result["learners"]):
        if name in (outcome.get("method"), outcome.get("name")):
            outcome |= change
    artifact.file("result.json").write_text(canonical_json(result))
    with pytest.raises(InvalidInput, match=rf"expected 12 of 12 correct by {name}.*have"):
        _ = inputs.ensemble_results


def test_predictions_of_another_length_are_refused(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path)
    artifact = inputs.artifacts["stacking of study, clean split"]
    np.save(artifact.file("average-refit-proba.npy"), np.ones((5, 3)))
    with pytest.raises(InvalidInput, match=r"expected 12 predictions of average.*\(5,\)"):
        _ = inputs.ensemble_results


def test_best_ensemble_is_one_over_several_splits_if_there_is_one(study: ReportInputs) -> None:
    best = best_ensembles(study).over_clean
    assert best is not None
    assert (best.title, best.accuracy) == ("Ensemble own", pytest.approx(21 / 24))


def test_ensembles_come_in_the_order_of_the_settings_and_the_splits(study: ReportInputs) -> None:
    assert [(result.name, result.split) for result in study.ensemble_results] == [
        ("own", "repeat-01"),
        ("own", "repeat-02"),
        ("study", "clean"),
    ]
    assert settings_with_ensembles(study) == study.settings
