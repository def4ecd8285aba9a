"""What a store can predict with: names, the newest of each, and which is the best."""

import logging
from pathlib import Path
from typing import Any

import pytest

from flowers17.artifacts import Artifact, Store
from flowers17.errors import ArtifactMissing, InvalidInput
from flowers17.prediction.catalogue import Catalogue
from tests.unit.prediction.made_models import Maker, network, stacking, study


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    """A maker that publishes in an empty store."""
    return Maker(Store(tmp_path / "store"))


def _splits(maker: Maker) -> dict[str, Artifact]:
    """The splits that trainings have in common, as an input."""
    return {"splits": maker.publish("splits", "splits", {})}


def _later(maker: Maker) -> Maker:
    return Maker(maker.store, created="2026-02-02T03:04:05Z")


class TestNames:
    def test_are_those_of_networks_and_ensembles_but_not_of_folds(self, maker: Maker) -> None:
        network(maker, "tiny, clean split")
        network(maker, "tiny, clean fold 1", kind="fold", n_correct=6)
        stacking(maker, "stacking of study, clean split", 15)
        entries = Catalogue(maker.store).entries
        assert [(entry.kind, entry.name, entry.score.accuracy) for entry in entries] == [
            ("ensemble", "stacking of study, clean split", 0.6),
            ("network", "tiny, clean split", 0.5),
        ]
        assert [entry.cross_validated for entry in entries] == [0.75, None]

    def test_are_ranked_by_balanced_accuracy_where_classes_differ_in_size(
        self, maker: Maker
    ) -> None:
        network(maker, "largest alone", n_correct=9, by_class=[[9, 9], [0, 1]])
        network(maker, "fair", n_correct=8, by_class=[[7, 9], [1, 1]])
        entry, _ = Catalogue(maker.store).default()
        assert (entry.name, entry.share) == ("fair", pytest.approx((7 / 9 + 1) / 2))

    def test_lead_to_the_newest_of_several(self, maker: Maker) -> None:
        newest = network(_later(maker), "tiny, clean split", n_correct=4)
        network(maker, "tiny, clean split", n_correct=6)
        entry = Catalogue(maker.store).named("tiny, clean split")
        assert entry.manifest["key"] == newest.reference.key

    def test_may_be_a_stage_and_the_start_of_a_key(self, maker: Maker) -> None:
        fold = network(maker, "tiny, clean fold 1", kind="fold")
        for name in (fold.reference.key, fold.reference.key[:12]):
            entry = Catalogue(maker.store).named(f"training/{name}")
            assert entry.name == "tiny, clean fold 1"

    @pytest.mark.parametrize("name", ["tiny", "training/", "training/0x", "study/", "/"])
    def test_that_lead_nowhere_say_which_there_are(self, name: str, maker: Maker) -> None:
        tiny = network(maker, "tiny, clean split")
        network(maker, "wide, clean split")
        study(maker, tiny=tiny)
        with pytest.raises(InvalidInput, match="there are: tiny, clean split; wide, clean split"):
            Catalogue(maker.store).named(name)

    def test_of_an_empty_store_are_none(self, maker: Maker) -> None:
        with pytest.raises(
            InvalidInput, match="there are: none: run `flowers17 run features` first"
        ):
            Catalogue(maker.store).named("tiny")


class TestDefault:
    def test_is_the_best_ensemble_of_the_newest_study_that_has_one(self, maker: Maker) -> None:
        best = stacking(maker, "stacking of a, clean split", 19)
        study(maker, best=best)
        later = _later(maker)
        first = stacking(later, "stacking of b, clean split", 16)
        second = stacking(later, "stacking of c, clean split", 17)
        study(later, first=first, second=second)
        newest = Maker(maker.store, created="2026-03-02T03:04:05Z")
        study(newest, tiny=network(newest, "tiny, clean split", n_correct=10))
        entry, reason = Catalogue(maker.store).default()
        assert entry.name == "stacking of c, clean split"
        assert "ensemble with the best cross-validated accuracy of the newest study" in reason

    def test_counts_what_the_chosen_method_got_right_and_not_the_best(self, maker: Maker) -> None:
        ensemble = stacking(maker, "stacking of a, clean split", 7)
        study(maker, ensemble=ensemble)
        assert Catalogue(maker.store).default()[0].cross_validated == 7 / 20

    def test_without_a_study_is_the_best_ensemble_of_the_store(self, maker: Maker) -> None:
        stacking(maker, "stacking of a, clean split", 17)
        stacking(maker, "stacking of b, clean split", 16)
        network(maker, "tiny, clean split", n_correct=10)
        entry, reason = Catalogue(maker.store).default()
        assert entry.name == "stacking of a, clean split"
        assert reason.endswith("of the store")

    def test_without_an_ensemble_is_the_best_network_but_no_fold(self, maker: Maker) -> None:
        network(maker, "a, clean split", n_correct=6)
        network(maker, "b, clean split", n_correct=7)
        network(maker, "b, clean fold 1", n_correct=9, kind="fold")
        entry, reason = Catalogue(maker.store).default()
        assert entry.name == "b, clean split"
        assert "single model with the best validation accuracy" in reason

    def test_is_rather_measured_on_a_clean_split_than_on_one_that_flatters(
        self, maker: Maker
    ) -> None:
        network(maker, "a, report split", n_correct=9, split="report", kind="report")
        network(maker, "b, clean split", n_correct=7)
        assert Catalogue(maker.store).default()[0].name == "b, clean split"

    def test_of_equals_is_the_one_fitted_on_all_images(self, maker: Maker) -> None:
        measured = {"split": "clean", "kind": "clean", "n_train": 20, "n_validation": 10}
        network(
            maker,
            "a, all images",
            split="all",
            kind="all",
            n_train=30,
            n_correct=10,
            measured={**measured, "n_correct": 7},
        )
        network(_later(maker), "b, clean split", n_correct=7)
        entry, _ = Catalogue(maker.store).default()
        assert entry.name == "a, all images"
        assert (entry.score.accuracy, entry.score.split) == (0.7, "clean")
        assert (entry.measured_on, entry.fitted_on) == (
            "10 held out, clean split",
            "all 30 images",
        )

    def test_is_the_best_on_average_over_clean_splits_where_the_report_has_that(
        self, maker: Maker
    ) -> None:
        for name, clean, repeated in (("a", 9, (6, 6)), ("b", 8, (8, 7))):
            for split, n_correct in zip(
                ("clean", "repeat-01", "repeat-02"), (clean, *repeated), strict=True
            ):
                kind = "repeated" if "-" in split else split
                network(
                    maker,
                    f"{name}, {split} split",
                    split=split,
                    kind=kind,
                    n_correct=n_correct,
                    config={"augmentation": name},
                    inputs=_splits(maker),
                )
        entry, _ = Catalogue(maker.store).default()
        assert entry.over_clean is not None
        assert (entry.name[:1], entry.share, entry.over_clean.n_splits) == ("b", 0.75, 2)

    def test_of_a_classifier_has_the_mean_of_its_evaluation(self, maker: Maker) -> None:
        inputs = _splits(maker)
        for name, clean, repeated in (("knn", 9, 6), ("svm", 8, 7)):
            counts = {"n_train": 20, "n_validation": 10}
            scores = [
                {**counts, "name": "clean", "kind": "clean", "n_correct": clean},
                {**counts, "name": "repeat-01", "kind": "repeated", "n_correct": repeated},
            ]
            config = {"classifier": name, "maps": ["x"]}
            maker.publish(
                "classifier", name, {"result": {"splits": scores}}, config=config, inputs=inputs
            )
            result = {**counts, "split": "clean", "kind": "clean", "n_correct": clean}
            maker.publish(
                "fitted",
                f"{name}, clean split",
                {"result": result},
                config={**config, "resize": "crop"},
                inputs=inputs,
            )
        entries = Catalogue(maker.store).entries
        assert [(entry.name, entry.share) for entry in entries] == [
            ("knn, clean split", 0.6),
            ("svm, clean split", 0.7),
        ]
        assert Catalogue(maker.store).default()[0].name == "svm, clean split"

    def test_of_an_empty_store_says_what_to_run(self, maker: Maker) -> None:
        with pytest.raises(
            ArtifactMissing, match="run `flowers17 run features` first, or `learners`"
        ):
            Catalogue(maker.store).default()


def test_a_model_whose_result_was_changed_is_passed_over(
    maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    network(maker, "a, clean split", n_correct=6)
    changed = network(maker, "b, clean split", n_correct=7)
    (changed.path / "result.json").write_text('{"n_correct": 10, "n_validation": 10}')
    with caplog.at_level(logging.WARNING):
        assert Catalogue(maker.store).default()[0].name == "a, clean split"
    assert "b, clean split is passed over" in caplog.text


@pytest.mark.parametrize(
    "score",
    [
        {"name": ["x"]},
        {"name": "clean", "n_train": 0, "n_validation": 0},
        {"name": "clean", "n_correct": "many"},
        "clean",
    ],
)
def test_measures_that_are_none_are_passed_over(
    score: Any, maker: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    counts = {"kind": "clean", "n_train": 20, "n_validation": 10, "n_correct": 5}
    splits = [{**counts, **score} if isinstance(score, dict) else score]
    maker.publish("classifier", "knn on x", {"result": {"splits": splits}})
    network(maker, "a, clean split", n_correct=6)
    with caplog.at_level(logging.WARNING):
        assert Catalogue(maker.store).default()[0].name == "a, clean split"
    assert "knn on x is passed over" in caplog.text
