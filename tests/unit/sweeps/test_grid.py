"""What a sweep may be asked for: grids and variants, and how wrong ones are refused."""

from typing import Any

import pytest

from flowers17.errors import InvalidSettings
from flowers17.request import StudyRequest, request_from
from flowers17.sweeps.combinations import (
    MOST_COMBINATIONS,
    SINGLE_SETTINGS,
    Combination,
    combinations,
    short,
)
from flowers17.sweeps.settings import SweepSettings, sweep_from
from flows.listing import FLOWS

KNN = "features.classifiers.knn.n_neighbors"


def _found(
    *axes: str, variants: tuple[str, ...] = (), request: StudyRequest | None = None
) -> list[Combination]:
    return combinations(request or request_from(), sweep_from(axes, variants))


def _names(*axes: str, **rest: Any) -> list[str]:
    return [one.name for one in _found(*axes, **rest)]


class TestCombinations:
    def test_are_the_product_of_the_axes_the_last_one_fastest(self) -> None:
        found = _found("seed=[1, 2]", f"{KNN}=[3, 5]")
        assert [one.name for one in found] == [
            "seed=1, knn.n_neighbors=3",
            "seed=1, knn.n_neighbors=5",
            "seed=2, knn.n_neighbors=3",
            "seed=2, knn.n_neighbors=5",
        ]
        settings = [(one.settings.seed, one.settings.features.classifiers.knn) for one in found]
        assert [(seed, knn.n_neighbors) for seed, knn in settings] == [
            (1, 3),
            (1, 5),
            (2, 3),
            (2, 5),
        ]

    def test_change_nothing_but_what_is_swept(self) -> None:
        (one,) = _found("seed=[4]", request=request_from(["dataset.n_classes=3"]))
        assert one.settings == request_from(["dataset.n_classes=3", "seed=4"]).settings

    def test_of_variants_are_the_variants(self) -> None:
        found = _found(variants=("{seed: 3, splits.n_repeats: 1}", "{features: {weights: random}}"))
        assert [one.name for one in found] == [
            "seed=3, splits.n_repeats=1",
            "features.weights=random",
        ]
        assert (found[0].settings.seed, found[0].settings.splits.n_repeats) == (3, 1)
        assert found[1].settings.seed == request_from().settings.seed

    def test_of_both_are_each_variant_with_each_value(self) -> None:
        variants = ("{splits.n_repeats: 1}", "{splits.n_repeats: 2}")
        assert _names("seed=[1, 2]", variants=variants) == [
            "splits.n_repeats=1, seed=1",
            "splits.n_repeats=1, seed=2",
            "splits.n_repeats=2, seed=1",
            "splits.n_repeats=2, seed=2",
        ]

    def test_may_hold_lists(self) -> None:
        found = _found("features.classifiers.names=[[svm], [svm, knn]]")
        chosen = [one.settings.features.classifiers.names for one in found]
        assert chosen == [("svm",), ("svm", "knn")]
        assert found[1].name == 'classifiers.names=["svm","knn"]'

    def test_win_over_what_is_set(self) -> None:
        (one,) = _found("seed=[4]", request=request_from(["seed=3"]))
        assert one.settings.seed == 4
        (one,) = _found("dataset.source=[rendered]", request=request_from(dataset="flowers.tgz"))
        assert one.settings.dataset.source == "rendered"

    def test_may_take_away_what_is_set(self) -> None:
        adversary = "learners.recipe.adversary"
        (one,) = _found(
            variants=(f"{{{adversary}: null}}",),
            request=request_from([f"{adversary}={{attack: fgsm}}"]),
        )
        assert one.settings.learners.recipe.adversary is None
        assert one.name == "recipe.adversary=null"

    def test_have_names_of_their_own(self) -> None:
        assert len(SINGLE_SETTINGS) == len({short(one) for one in SINGLE_SETTINGS}) > 100

    def test_survive_the_json_that_prefect_stores(self) -> None:
        over = sweep_from(["seed=[1, 2]"], ["{splits.n_repeats: 1}"], flow="features")
        again = SweepSettings.model_validate_json(over.model_dump_json())
        assert again.flow == "features"
        assert combinations(request_from(), again) == combinations(request_from(), over)

    def test_may_be_as_many_as_are_allowed_and_no_more(self) -> None:
        assert len(_found(f"seed={list(range(MOST_COMBINATIONS))}")) == MOST_COMBINATIONS
        with pytest.raises(InvalidSettings, match=r"at most 256 combinations, got 514 \(257 × 2\)"):
            _found(f"seed={list(range(257))}", f"{KNN}=[1, 2]")


class TestWrongSweeps:
    @pytest.mark.parametrize(
        ("axes", "variants", "said"),
        [
            ([], [], "expected at least one axis or variant"),
            (["seed"], [], "expected KEY=[VALUE, …] with at least one value, got 'seed'"),
            (["seed=3"], [], "expected KEY=[VALUE, …] with at least one value, got 'seed=3'"),
            (["seed=[]"], [], "expected KEY=[VALUE, …] with at least one value, got 'seed=[]'"),
            (["seed=[1"], [], "--axis seed: expected a YAML value, got '[1'"),
            (["sed=[1]"], [], "axis sed: expected a known setting, got an unknown one; did you"),
            (["qqq_qqq=[1]"], [], "see `flowers17 settings`"),
            (["dataset=[1]"], [], "axis dataset: expected a single setting, got a group of them"),
            (["seed=[1, -1]"], [], "setting seed: Input should be greater than or equal to 0"),
            (["dataset.n_classes=[99]"], [], "setting dataset.n_classes: "),
            (["seed=[1, 2, 1]"], [], "got 'seed=1' and 'seed=1' with the same settings"),
            (["seed=[1, 1.0]"], [], "got 'seed=1' and 'seed=1.0' with the same settings"),
            (["seed=[1]", "seed=[2]"], [], "axis seed: expected a setting that no other axis"),
            (["seed=[1]"], ["{seed: 2}"], "axis seed: expected a setting that no other axis"),
            ([], ["{seed: 2}", "{seed: 2}"], "with the same settings"),
            ([], ["{sed: 2}"], "setting sed: expected a known name, got an unknown one; did you"),
            ([], ["{seed: -2}"], "setting seed: Input should be greater than or equal to 0"),
            ([], ["seed"], "--variant: expected {KEY: VALUE, …}, got 'seed'"),
            ([], ["{}"], "--variant: expected {KEY: VALUE, …}, got '{}'"),
            ([], ["{seed: }"], "--variant seed: expected a value, got null or nothing"),
            ([], ["{seed: 1, seed.deep: 2}"], "'seed.deep' goes below a value set before"),
        ],
    )
    def test_are_refused_with_the_reason(
        self, axes: list[str], variants: list[str], said: str
    ) -> None:
        with pytest.raises(InvalidSettings) as caught:
            combinations(request_from(), sweep_from(axes, variants))
        assert said in str(caught.value)

    @pytest.mark.parametrize(
        "over",
        [
            {"flow": "dataset"},
            {"axes": [{"setting": "seed", "values": []}]},
            {"axes": [{"setting": "seed"}]},
            {"axes": [{"settin": "seed", "values": [1]}]},
            {"variants": [{"sed": 1}]},
            {"axis": []},
        ],
    )
    def test_are_refused_by_the_form(self, over: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="SweepSettings"):
            SweepSettings.model_validate(over)


def test_the_form_offers_flows_that_are_listed() -> None:
    offered = SweepSettings.model_json_schema()["properties"]["flow"]["enum"]
    assert set(offered) < set(FLOWS)
