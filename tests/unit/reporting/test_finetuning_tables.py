"""Cells of Tables 9 to 10, what is compared with the study, and what is said in words."""

from pathlib import Path
from statistics import stdev

import pytest

from flowers17.config import FineTunedSettings, HeadSettings
from flowers17.digests import canonical_json
from flowers17.errors import InvalidInput
from flowers17.reporting.best import best_fine_tuned
from flowers17.reporting.best_table import best_table
from flowers17.reporting.columns import Record
from flowers17.reporting.finetuning.paired import tuned_paired_table
from flowers17.reporting.finetuning.tables import (
    fine_tuning_tables,
    phases_table,
    seeds_table,
    tuned_splits_table,
    tuned_table,
)
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import (
    accuracy_interval,
    holm,
    mean_difference,
    mean_spread,
    paired_interval,
)
from flowers17.reporting.page import highlights
from flowers17.reporting.reference import TABLE_9
from flowers17.reporting.report import report_metrics
from flowers17.reporting.tables import Row, Table

from .made_finetunings import MOBILENET, with_fine_tunings
from .made_study import tiny_study

FAILED, NEEDED = "its loss left the finite numbers", "no ImageNet weights"
UNTUNED = {
    "fine-tuning vgg16 adam, phase b, report split": FAILED,
    "fine-tuning vgg16 sgd, phase a, report split": NEEDED,
    "fine-tuning vgg16 sgd, phase b, report split": FAILED,
}
BEST = "adam + batch norm + dropout"
HEADS = (HeadSettings(batch_norm=True, dropout=0.5),)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """A study that compares with the study's numbers, three phases of it not trained."""
    study = tiny_study(tmp_path_factory.mktemp("tuned"), missing_trainings={})
    return with_fine_tunings(study, missing=UNTUNED)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """A study of rendered flowers and untrained weights, few epochs, nothing stored."""
    study = tiny_study(tmp_path_factory.mktemp("demo"), random=True)
    return with_fine_tunings(study, epochs=5, computed=True)


OWN_NAME = "xception@299-original-average adam + batch norm + dropout, best"


def _row(table: Table, first: str, group: str = "") -> Row:
    rows = [row for row in table.rows if group in row.group]
    return next(row for row in rows if first in (row.cells[0].value, row.cells[0].text))


def _values(table: Table, row: Row) -> dict[str, object]:
    pairs = zip(table.columns, row.cells, strict=True)
    return {column.key: cell.text if cell.value is None else cell.value for column, cell in pairs}


def test_every_table_has_what_was_fine_tuned(tuned: ReportInputs) -> None:
    tables = fine_tuning_tables(tuned)
    assert [table.number for table in tables] == ["9", "9-repeated", "9-paired", "9b", "9c", "10"]
    records = [record for table in tables[:-1] for record in table.records]
    assert all(isinstance(record, Record) for record in records)  # from which columns take cells


def test_study_without_fine_tuning_has_table_10_alone(
    trained_study: ReportInputs, real_study: ReportInputs
) -> None:
    assert [table.number for table in fine_tuning_tables(trained_study)] == ["10"]
    assert fine_tuning_tables(real_study) == []


def test_table_9_sets_phases_and_studies_side_by_side(tuned: ReportInputs) -> None:
    table = phases_table(tuned)
    assert len(table.rows) == 16
    assert _values(table, _row(table, BEST, "MobileNet")) == {
        "configuration": BEST,
        "study_a": 0.947,
        "ours_a": 9 / 12,
        "verdict_a": "below",
        "study_b": 0.967,
        "ours_b": 1.0,
        "verdict_b": "within",
        "epoch_a": 9,
        "epoch_b": 17,
    }
    accuracy = _row(table, "adam", "MobileNet").cells[5]
    assert (accuracy.value, accuracy.interval) == (11 / 12, accuracy_interval(11, 12))
    assert (
        accuracy.artifact
        == tuned.artifacts["fine-tuning mobilenet adam, phase b, report split"].reference
    )


def test_table_9_says_why_a_phase_is_missing_and_keeps_the_other(tuned: ReportInputs) -> None:
    table = phases_table(tuned)
    half, none = _row(table, "adam", "VGG16"), _row(table, "sgd", "VGG16")
    assert (half.cells[2].value, half.cells[5].text) == (9 / 12, "–")
    assert half.missing == f"phase B: {FAILED}"
    assert (none.cells[1].value, none.cells[2].text, none.missing) == (0.779, "–", NEEDED)


def test_table_9_says_whether_activations_were_stored(
    tuned: ReportInputs, demo: ReportInputs
) -> None:
    stored, computed = " ".join(phases_table(tuned).notes), " ".join(phases_table(demo).notes)
    assert "computed once, stored, and shared" in stored
    assert "computed anew at each step" in computed
    assert "inference mode" in stored
    assert "computed once" not in computed


def test_untrained_weights_and_fewer_epochs_are_labelled_and_never_judged(
    demo: ReportInputs,
) -> None:
    table = phases_table(demo)
    assert {row.tag for row in table.rows} == {"untrained weights, 5 epochs"}
    assert all(cell.verdict is None for row in table.rows for cell in row.cells)
    assert any(note.startswith("Not a comparison (rendered flowers, ") for note in table.notes)


@pytest.mark.parametrize(
    ("changed", "tag"),
    [
        ({"units": 256}, "another recipe"),
        ({"input_size": 224}, ""),
        ({"pixels": "original"}, ""),
        ({"random_weights": True}, "untrained weights"),
    ],
)
def test_what_differs_from_the_study_is_not_judged(
    changed: dict[str, object], tag: str, tmp_path: Path
) -> None:
    inputs = with_fine_tunings(
        tiny_study(tmp_path), changed=changed, own=(), repeated=(), table=(MOBILENET,), heads=HEADS
    )
    row = _row(phases_table(inputs), BEST)
    assert (row.tag, row.cells[3].verdict, row.cells[6].verdict) == (tag, None, None)


def test_table_9_repeated_has_mean_and_spread_over_seeds(tuned: ReportInputs) -> None:
    table = seeds_table(tuned)
    row = _row(table, "b")
    values = [12 / 12, 11 / 12, 10 / 12]
    assert row.group == "MobileNet, Adam + batch norm + dropout"
    assert [cell.value for cell in row.cells[1:7]] == [
        0.967,
        pytest.approx(11 / 12),
        pytest.approx(stdev(values)),
        10 / 12,
        1.0,
        3,
    ]
    assert row.cells[7].text == "1.000, 0.917, 0.833"
    assert "in 2 of 2 rows" in table.lead


def test_table_9_paired_asks_each_question_of_cells_that_differ_in_one_thing(
    tuned: ReportInputs,
) -> None:
    table = tuned_paired_table(tuned)
    of_mobilenet = [row for row in table.rows if row.group.startswith("MobileNet")]
    assert len(of_mobilenet) == 8 + 3 * 4
    row = _row(table, "batch norm + dropout", "MobileNet: Adam against SGD")
    study = (
        TABLE_9[BEST]["mobilenet"]["b"] - TABLE_9["sgd + batch norm + dropout"]["mobilenet"]["b"]
    )
    assert _values(table, row) == {
        "comparison": "batch norm + dropout",
        "study": pytest.approx(study),
        "difference": 1.0,
        "only_first": 12,
        "only_second": 0,
        "p": pytest.approx(2 / 2**12),
        "p_holm": pytest.approx(33 * 2 / 2**12),
        "judged": "real",
    }
    phases = _row(table, "Adam", "MobileNet: Phase B against phase A")
    assert [cell.value for cell in phases.cells[2:5]] == [pytest.approx(2 / 12), 2, 0]
    assert phases.cells[7].value == "chance"


class TestBothModesOfTheExtractorsNorms:
    """Table 9 of one extractor under SGD, its norms in training mode and in inference mode."""

    INFERENCE = HeadSettings(optimizer="sgd", extractor_norms="inference")
    TITLE = "SGD + extractor norms in inference mode"

    @pytest.fixture(scope="class")
    def both(self, tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
        """A study whose inference mode is a row besides the heads."""
        own = FineTunedSettings(maps=MOBILENET, recipe="best")
        return with_fine_tunings(
            tiny_study(tmp_path_factory.mktemp("both"), missing_trainings={}),
            table=(MOBILENET,),
            heads=(HeadSettings(optimizer="sgd"),),
            further_rows=(FineTunedSettings(maps=MOBILENET, head=self.INFERENCE),),
            repeated=(),
            own=(own, own.model_copy(update={"head": self.INFERENCE})),
        )

    def test_share_phase_a_and_differ_in_phase_b(self, both: ReportInputs) -> None:
        table = phases_table(both)
        training, inference = table.rows
        assert [row.cells[0].text for row in table.rows] == ["SGD", self.TITLE]
        assert training.cells[2].artifact == inference.cells[2].artifact is not None
        assert (training.cells[5].value, inference.cells[5].value) == (0.0, 10 / 12)
        assert not training.missing + inference.missing

    def test_are_compared_with_the_study_in_training_mode_alone(self, both: ReportInputs) -> None:
        training, inference = phases_table(both).rows
        assert (training.cells[4].value, training.cells[6].verdict) == (0.902, "below")
        assert (inference.cells[4].value, inference.cells[6].verdict) == (None, None)
        notes = " ".join(phases_table(both).notes)
        assert "by each batch’s mean and variance" in notes

    def test_are_paired_with_an_interval(self, both: ReportInputs) -> None:
        table = tuned_paired_table(both)
        row = _row(table, "SGD", "Extractor norms in inference mode against training mode")
        cell = row.cells[2]
        assert (cell.value, cell.interval) == (10 / 12, paired_interval(0, 10, 0, 12))
        assert (
            "inference mode raises the accuracy in 1 of 1 pairs (mean +0.833), 1 by" in table.lead
        )
        assert {"difference_low", "difference_high"} <= set(table.frame.columns)
        unfreezing = _row(table, self.TITLE, "MobileNet: Phase B against phase A")
        assert unfreezing.cells[2].value == 10 / 12

    def test_make_the_note_name_what_phase_b_changes(self, both: ReportInputs) -> None:
        [note] = [note for note in tuned_paired_table(both).notes if "changes two things" in note]
        assert "Extractor norms in inference mode" in note

    def test_are_told_apart_by_our_own_recipe_too(self, both: ReportInputs) -> None:
        titles = [row.cells[0].text for row in tuned_table(both).rows]
        own = "MobileNet, our own recipe"
        assert titles == [own, f"{own} + extractor norms in inference mode"]
        best = best_fine_tuned(both).on_one_split
        assert best is not None
        assert best.title == f"MobileNet, {self.TITLE}, phase B"


def test_p_values_of_table_9_paired_are_corrected_together(tuned: ReportInputs) -> None:
    table = tuned_paired_table(tuned)
    p_values = [row.cells[5].value for row in table.rows]
    assert len(p_values) == 33  # 40 but those of three phases that were not trained
    numbers = [value for value in p_values if isinstance(value, float)]
    assert [row.cells[6].value for row in table.rows] == holm(numbers)


def test_what_is_real_and_what_is_noise_is_said_in_words(tuned: ReportInputs) -> None:
    lead = tuned_paired_table(tuned).lead
    assert lead.startswith("Of 33 differences 7 are more than chance; the others may be noise. ")
    assert "Adam is above SGD in 4 of 4 pairs (mean +0.958), 4 by more than chance" in lead
    assert (
        "batch norm in the head raises the accuracy in 0 of 4 pairs (mean 0.000), none by more"
        in lead
    )
    assert "MobileNet: phase B raises the accuracy in 4 of 8 pairs (mean +0.104), none" in lead


def test_table_9b_takes_means_and_their_difference_over_repeated_splits(
    tuned: ReportInputs,
) -> None:
    table = tuned_table(tuned)
    [row] = table.rows
    cells = dict(zip([column.key for column in table.columns], row.cells, strict=True))
    last = mean_spread([12 / 12, 11 / 12], n_train=36, n_validation=12)
    first = mean_spread([9 / 12, 8 / 12], n_train=36, n_validation=12)
    between = mean_difference([3 / 12, 3 / 12], n_train=36, n_validation=12)
    assert (cells["mean"].value, cells["mean"].interval) == (last.mean, last.interval)
    assert (cells["mean_a"].value, cells["mean_a"].interval) == (first.mean, first.interval)
    assert cells["difference"].value == pytest.approx(between.mean)
    assert (cells["n_splits"].value, cells["input_size"].value) == (2, 299)
    assert cells["unfrozen"].text == "block14"
    assert cells["network"].text == "Xception (299 px, originals, averaged), our own recipe"
    notes = " ".join(table.notes)
    assert "no validation image chooses it" in notes
    assert "mean of those of an image and of its mirror image" in notes
    assert "mirror images are trained on too" in notes
    assert "discriminative" not in notes


def test_table_9b_tells_discriminative_rates(tmp_path: Path) -> None:
    inputs = with_fine_tunings(tiny_study(tmp_path), table=(), repeated=(), own_layer_decay=0.5)
    [note] = [note for note in tuned_table(inputs).notes if "discriminative" in note]
    assert "the last block at 0.5 times the head’s rate, each block before it at 0.5" in note


def test_table_9c_has_a_row_a_split_and_says_what_failed(tmp_path: Path) -> None:
    label = f"fine-tuning {OWN_NAME}, phase b, repeat-02 split"
    labels = [label.replace("phase b", f"phase {phase}") for phase in "ab"]
    inputs = with_fine_tunings(
        tiny_study(tmp_path), missing=dict.fromkeys(labels, FAILED), table=(), repeated=()
    )
    rows = tuned_splits_table(inputs).rows
    assert [row.cells[0].text for row in rows] == ["repeat-01", "repeat-02"]
    assert [row.missing for row in rows] == ["", FAILED]
    assert [stage.label for stage in inputs.absent_from("b2")] == labels


def test_table_10_has_the_same_of_ours_and_the_best_of_ours(tuned: ReportInputs) -> None:
    table = best_table(tuned)
    same, best = (row for row in table.rows if row.group == "Fine-tuned networks")
    assert [cell.value or cell.text for cell in same.cells] == [
        "MobileNet, Adam + batch norm + dropout",
        0.967,
        1.0,
        "within",
        "report’s split",
    ]
    assert best.cells[2].value == pytest.approx(23 / 24)
    assert best.cells[4].text == "mean over 2 clean splits"
    best_clean = best_fine_tuned(tuned).over_clean
    assert best_clean is not None
    first = tuned.artifacts[f"fine-tuning {OWN_NAME}, phase b, repeat-01 split"]
    assert best_clean.source == first.reference
    study = [row.cells[1].value for row in table.rows if row.cells[1].value is not None]
    assert study == [0.541, 0.764, 0.820, 0.944, 0.967]
    assert next(row for row in table.rows if row.group == "Ensembles").missing


def test_the_report_s_numbers_and_highlights_name_the_best_fine_tuned(tuned: ReportInputs) -> None:
    metrics = report_metrics(tuned, [])
    assert metrics["best accuracy, fine-tuned (report)"] == 1.0
    assert metrics["best mean accuracy, fine-tuned (clean splits)"] == 0.9583
    [shown] = [best for best in highlights(tuned, []) if "fine-tuned" in best.label]
    assert (shown.value, shown.label) == (
        "0.958",
        "best fine-tuned network, mean over 2 clean splits",
    )


def test_result_that_disagrees_with_its_predictions_is_refused(tmp_path: Path) -> None:
    inputs = with_fine_tunings(
        tiny_study(tmp_path), own=(), repeated=(), table=(MOBILENET,), heads=HEADS
    )
    artifact = inputs.artifacts[f"fine-tuning mobilenet {BEST}, phase a, report split"]
    result = {**artifact.json("result"), "n_correct": 1}
    artifact.file("result.json").write_text(canonical_json(result))
    with pytest.raises(InvalidInput, match="expected 1 of 12 correct on split 'report'"):
        phases_table(inputs)
