"""Two studies side by side: rows are joined by what they are, models tested on the same images."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.artifacts import MANIFEST, Store
from flowers17.errors import ArtifactDamaged, ArtifactMissing, InvalidInput
from flowers17.reporting.studies.comparison import compared_tables
from flowers17.reporting.studies.paired import compared_models
from flowers17.reporting.studies.records import named_study, studies_in
from tests.support.made_studies import FOLD, made_study, results, row
from tests.support.stores import KEY, publish, reseal


def _compared(before: list[Any], after: list[Any]) -> dict[str, Any]:
    return compared_tables(results(before), results(after))[0]


def _metric(name: str, column: str, *numbers: float | None) -> dict[str, Any]:
    columns = ("row", "name", "before", "after", "difference")
    return dict(zip(columns, (name, column, *numbers), strict=True))


class TestTables:
    def test_rows_are_joined_by_words_wherever_they_stand(self) -> None:
        table = _compared(
            [row("knn", "VGG16", ours=0.5), row("svm", "VGG16", ours=0.75)],
            [row("svm", "VGG16", ours=0.5), row("knn", "VGG16", ours=0.625)],
        )
        assert table["metrics"] == [
            _metric("VGG16, knn", "ours", 0.5, 0.625, 0.125),
            _metric("VGG16, svm", "ours", 0.75, 0.5, -0.25),
        ]

    def test_the_group_tells_rows_apart(self) -> None:
        table = _compared([row("knn", "VGG16", ours=0.5)], [row("knn", "Xception", ours=0.5)])
        assert (table["metrics"], table["only_before"], table["only_after"]) == (
            [],
            ["VGG16, knn"],
            ["Xception, knn"],
        )

    def test_verdicts_and_words_that_were_measured_do_not_tell_rows_apart(self) -> None:
        before, after = row("knn", ours=0.5, verdict="below"), row("knn", ours=0.75, verdict="–")
        for table_row, words in ((before, "4, 4"), (after, "3, 3")):
            table_row["cells"]["epochs"] = {"value": words, "artifact": {"stage": "training"}}
        metrics = _compared([before], [after])["metrics"]
        assert metrics == [_metric("knn", "ours", 0.5, 0.75, 0.25)]

    def test_a_number_that_one_lacks_has_no_difference(self) -> None:
        (metric,) = _compared([row("knn", spread="–")], [row("knn", spread=0.25)])["metrics"]
        assert metric == _metric("knn", "spread", None, 0.25, None)

    def test_the_reference_studys_numbers_are_left_out(self) -> None:
        table_row = row("knn", study=0.852, study_train_accuracy=0.9)
        assert _compared([table_row], [table_row])["metrics"] == []

    def test_a_row_without_numbers_is_nobodys(self) -> None:
        table = _compared([row("knn", ours="–")], [])
        assert (table["only_before"], table["metrics"]) == ([], [])

    def test_rows_of_equal_words_are_not_guessed(self) -> None:
        twice = [row("knn", ours=0.5), row("knn", ours=0.75)]
        table = _compared(twice, [row("knn", ours=0.75)])
        assert (table["unclear"], table["metrics"], table["only_after"]) == (["knn"], [], [])

    def test_a_table_that_one_lacks_is_there(self) -> None:
        more = {"title": "More", "rows": [row("knn", ours=1)]}
        after = results()
        after["tables"] = {"9": more, **after["tables"]}
        tables = compared_tables(results(), after)
        assert [(table["number"], table["only_after"]) for table in tables] == [
            ("8", []),
            ("9", ["knn"]),
        ]
        assert tables[1]["title"] == "More"

    def test_truth_is_no_number(self) -> None:
        table_row = row("knn", converged=True)
        assert _compared([table_row], [table_row])["metrics"] == []


def _tested(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    made_study(tmp_path / "a", **before)
    made_study(tmp_path / "b", **after)
    return compared_models(studies_in(tmp_path / "a")[0], studies_in(tmp_path / "b")[0])


class TestComparedModels:
    def test_are_mcnemars_with_holms_correction(self, tmp_path: Path) -> None:
        compared = _tested(
            tmp_path,
            {"wrong": {"knn on m": (0, 1, 2, 3), "mk-2, report split": (0, 7), "svm on m": (0,)}},
            {"wrong": {"knn on m": (4,), "mk-2, report split": (1, 2, 3, 7), "svm on m": (0,)}},
        )
        # knn: 4 images only after, 1 only before: 2 (1 + 5) / 2⁵ = 0.375.
        # mk-2: 3 only before, 1 only after: 2 (1 + 4) / 2⁴ = 0.625. Holm: 2 · 0.375, then as it is.
        assert compared == {
            "tests": [
                {
                    "label": "knn on m",
                    "split": "report",
                    "n_validation": 8,
                    "before": 0.5,
                    "after": 0.875,
                    "test": {
                        "n_only_first": 1,
                        "n_only_second": 4,
                        "p_value": pytest.approx(0.375),
                    },
                    "p_holm": pytest.approx(0.75),
                },
                {
                    "label": "mk-2, report split",
                    "split": "report",
                    "n_validation": 8,
                    "before": 0.75,
                    "after": 0.5,
                    "test": {
                        "n_only_first": 3,
                        "n_only_second": 1,
                        "p_value": pytest.approx(0.625),
                    },
                    "p_holm": pytest.approx(0.75),
                },
            ],
            "same": ["svm on m"],
            "untested": [],
        }

    def test_are_not_made_on_other_images(self, tmp_path: Path) -> None:
        data = {"source": "rendered", "digest": "e" * 64, "is_oxford17": False}
        compared = _tested(tmp_path, {}, {"wrong": {"knn on mobilenet": (1,)}, "data": data})
        reason = "nothing is tested: the two studies have different images"
        assert compared == {"tests": [], "same": [], "untested": [reason]}

    def test_go_by_the_rows_of_a_split_not_by_its_name(self, tmp_path: Path) -> None:
        compared = _tested(
            tmp_path,
            {"held_out": {"report": (0, 1, 2, 3), "clean": (2, 3, 4, 5)}},
            {
                "held_out": {"report": (4, 5, 6, 7), "repeat-01": (2, 3, 4, 5)},
                "wrong": {"knn on mobilenet": (2,)},
            },
        )
        (model,) = compared["tests"]
        assert (model["label"], model["split"]) == ("knn on mobilenet", "clean")
        assert model["n_validation"] == 4
        assert model["test"]["n_only_first"] == 1
        assert model["test"]["n_only_second"] == 0

    def test_say_which_models_held_out_other_images(self, tmp_path: Path) -> None:
        wrong = {"mk-2, report split": (0,)}
        compared = _tested(
            tmp_path,
            {"wrong": wrong, "held_out": {"report": (0, 1, 2, 3)}},
            {"wrong": wrong, "held_out": {"report": (0, 1, 2, 4)}},
        )
        assert compared["tests"] == []
        assert compared["untested"] == ["mk-2, report split: its validation images differ"]

    def test_say_that_there_is_no_common_model(self, tmp_path: Path) -> None:
        compared = _tested(tmp_path, {}, {"wrong": {}})
        assert "no training and no classifier in common" in compared["untested"][0]

    def test_leave_the_folds_of_ensembles_out(self, tmp_path: Path) -> None:
        held_out = {"report": range(8), FOLD: (0, 1)}
        model = f"mk-2, {FOLD} split"
        wrong = {model: (0,), "knn on mobilenet": (0,)}
        compared = _tested(
            tmp_path,
            {"wrong": wrong, "held_out": held_out},
            {"wrong": {**wrong, "knn on mobilenet": ()}, "held_out": held_out},
        )
        assert [model["label"] for model in compared["tests"]] == ["knn on mobilenet"]
        assert (compared["same"], compared["untested"]) == ([], [])

    def test_say_that_the_predictions_are_gone(self, tmp_path: Path) -> None:
        folder = made_study(tmp_path / "a")
        shutil.rmtree(tmp_path / "a" / "splits")
        study = named_study(str(folder), tmp_path)
        assert "or the store no longer" in compared_models(study, study)["untested"][0]
        assert study.missing_parts == ["splits"]

    def test_refuse_a_result_that_its_predictions_disprove(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="expected 8 of 8 correct on split 'report'"):
            _tested(tmp_path, {"miscounted": 1}, {"wrong": {"knn on mobilenet": (3,)}})

    def test_refuse_a_damaged_prediction(self, tmp_path: Path) -> None:
        made_study(tmp_path / "a", wrong={"knn on mobilenet": (3,)})
        made_study(tmp_path / "b")
        (path,) = (tmp_path / "a" / "classifier").rglob("report-predicted.npy")
        np.save(path, np.zeros(8, np.int64))
        with pytest.raises(ArtifactDamaged, match=r"report-predicted\.npy"):
            compared_models(studies_in(tmp_path / "a")[0], studies_in(tmp_path / "b")[0])


class TestNames:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Path:
        for day in (2, 1, 3):
            made_study(tmp_path / "store", created=f"2026-01-0{day}T00:00:00Z")
        return tmp_path / "store"

    def test_of_a_store_are_oldest_first(self, store: Path) -> None:
        assert [study.created[:10] for study in studies_in(store)] == [
            "2026-01-01",
            "2026-01-02",
            "2026-01-03",
        ]

    def test_a_key_may_be_shortened(self, store: Path) -> None:
        for study in studies_in(store):
            assert named_study(f"study/{study.manifest['key'][:12]}", store) == study

    def test_a_folder_stands_for_its_newest_study(self, store: Path, tmp_path: Path) -> None:
        assert named_study(str(store), tmp_path / "nowhere").created == "2026-01-03T00:00:00Z"

    def test_a_file_in_a_store_is_its_study(self, store: Path, tmp_path: Path) -> None:
        study = studies_in(store)[1]
        assert named_study(str(study.path), tmp_path) == study
        shutil.copytree(study.path.parent, store / "report")
        assert named_study(str(store / "report" / "results.json"), tmp_path) == study
        assert named_study(str(store / "report"), tmp_path) == study

    def test_a_lone_file_has_results_only(self, store: Path, tmp_path: Path) -> None:
        study = studies_in(store)[0]
        shutil.copy(study.path, tmp_path / "old.json")
        lone = named_study(str(tmp_path / "old.json"), tmp_path)
        assert lone.results == study.results
        assert (lone.label, lone.parts) == ("", {})
        assert "lies outside its store" in compared_models(study, lone)["untested"][0]

    @pytest.mark.parametrize(
        ("name", "error", "message"),
        [
            ("study/", InvalidInput, "expected study/KEY, the folder of another store"),
            ("study/ffffffffffffffff", ArtifactMissing, "expected an artifact 'study/ffff"),
            ("training/0123", InvalidInput, "expected an artifact of stage 'study'"),
            ("no-such-thing", InvalidInput, "expected study/KEY"),
            ("x" * 5000, InvalidInput, "expected study/KEY"),
            ("~nobody-here/store", InvalidInput, "expected study/KEY"),
            ("a\0b", InvalidInput, "expected study/KEY"),
        ],
    )
    def test_that_lead_nowhere_are_told(
        self, name: str, error: type[Exception], message: str, store: Path
    ) -> None:
        with pytest.raises(error, match=message):
            named_study(name, store)

    def test_that_are_ambiguous_are_told_with_what_they_may_mean(self, tmp_path: Path) -> None:
        for day in range(1, 18):  # more than there are first digits
            made_study(tmp_path, created=f"2026-01-{day:02}T00:00:00Z", wrong={})
        keys = [study.manifest["key"] for study in studies_in(tmp_path)]
        first = next(
            key[0] for key in keys if [candidate[0] for candidate in keys].count(key[0]) > 1
        )
        with pytest.raises(InvalidInput, match="expected one study, found study/") as error:
            named_study(f"study/{first}", tmp_path)
        assert all(f"study/{key[:9]}" in str(error.value) for key in keys if key[0] == first)

    def test_of_a_folder_without_studies_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactMissing, match="expected a study, found none"):
            named_study(str(tmp_path), tmp_path)

    def test_of_studies_of_an_older_version_are_skipped(
        self, store: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        old = publish(Store(store), KEY, {"results.json": b"{}"}, stage="study").path / MANIFEST
        reseal(old, lambda manifest: manifest.pop("label"))
        assert len(studies_in(store)) == 3
        assert "label" in caplog.text
        assert "it is skipped" in caplog.text

    def test_of_a_store_that_is_not_there_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="expected the folder of a store"):
            named_study("study/01", tmp_path / "nowhere")


class TestResults:
    def test_that_were_changed_are_refused(self, tmp_path: Path) -> None:
        folder = made_study(tmp_path / "store")
        path = folder / "results.json"
        path.write_text(path.read_text().replace("Classifiers", "Guesses"))
        with pytest.raises(ArtifactDamaged, match="expected the bytes that were published"):
            _ = studies_in(tmp_path / "store")[0].results
        with pytest.raises(ArtifactDamaged):
            named_study(str(path), tmp_path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"format": 0}, "expected a study of format 1, got 0; run the study again"),
            ({}, "expected a study of format 1, got None"),
            ([1], "expected a study of format 1, got None"),
            ({**results(), "tables": {"8": {"title": "x"}}}, "could not read 'rows'"),
            ({**results(), "tables": 3}, "could not read"),
            ({**results(), "settings": {}}, "could not read 'seed'"),
        ],
    )
    def test_of_another_make_are_refused(self, content: Any, message: str, tmp_path: Path) -> None:
        (tmp_path / "results.json").write_text(json.dumps(content))
        with pytest.raises(InvalidInput, match=message):
            _ = named_study(str(tmp_path), tmp_path).results

    @pytest.mark.parametrize("text", ["", "{", '{"format": NaN}', "\x00", "[" * 100_000])
    def test_that_are_no_json_are_refused(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(InvalidInput, match="expected JSON as a study writes it"):
            _ = named_study(str(tmp_path), tmp_path).results

    def test_of_an_older_format_are_refused(self, tmp_path: Path) -> None:
        made_study(tmp_path, format=0)
        with pytest.raises(InvalidInput, match="run the study again with this version"):
            _ = studies_in(tmp_path)[0].results
