"""Sweeps over grids and variants, and the refusal of wrong ones."""

from typing import Any

import pytest

from flowers17.errors import InvalidSettings
from flowers17.request import StudyRequest, request_from
from flowers17.sweeps.combinations import (
    MAX_COMBINATIONS,
    Combination,
    SweepSettings,
    combinations,
    setting_tail,
    sweep_from,
)
from flowers17.validation import SINGLE_SETTINGS
from flows.flow_names import FLOWS

KNN = "features.classifiers.knn.n_neighbors"


def _combinations(
    *axes: str, variants: tuple[str, ...] = (), request: StudyRequest | None = None
) -> list[Combination]:
    return combinations(request or request_from(), sweep_from(axes, variants))


def _names(*axes: str, **rest: Any) -> list[str]:
    return [combination.name for combination in _combinations(*axes, **rest)]


class TestCombinations:
    def test_are_the_product_of_the_axes_the_last_one_fastest(self) -> None:
        swept = _combinations("seed=[1, 2]", f"{KNN}=[3, 5]")
        assert [combination.name for combination in swept] == [
            "seed=1, knn.n_neighbors=3",
            "seed=1, knn.n_neighbors=5",
            "seed=2, knn.n_neighbors=3",
            "seed=2, knn.n_neighbors=5",
        ]
        settings = [
            (combination.settings.seed, combination.settings.features.classifiers.knn)
            for combination in swept
        ]
        assert [(seed, knn.n_neighbors) for seed, knn in settings] == [
            (1, 3),
            (1, 5),
            (2, 3),
            (2, 5),
        ]

    def test_change_nothing_but_what_is_swept(self) -> None:
        (combination,) = _combinations("seed=[4]", request=request_from(["dataset.n_classes=3"]))
        assert combination.settings == request_from(["dataset.n_classes=3", "seed=4"]).settings

    def test_of_variants_are_the_variants(self) -> None:
        swept = _combinations(
            variants=("{seed: 3, splits.n_repeats: 1}", "{features: {weights: random}}")
        )
        assert [combination.name for combination in swept] == [
            "seed=3, splits.n_repeats=1",
            "features.weights=random",
        ]
        assert (swept[0].settings.seed, swept[0].settings.splits.n_repeats) == (3, 1)
        assert swept[1].settings.seed == request_from().settings.seed

    def test_of_both_are_each_variant_with_each_value(self) -> None:
        variants = ("{splits.n_repeats: 1}", "{splits.n_repeats: 2}")
        assert _names("seed=[1, 2]", variants=variants) == [
            "splits.n_repeats=1, seed=1",
            "splits.n_repeats=1, seed=2",
            "splits.n_repeats=2, seed=1",
            "splits.n_repeats=2, seed=2",
        ]

    def test_may_hold_lists(self) -> None:
        swept = _combinations("features.classifiers.names=[[svm], [svm, knn]]")
        names = [combination.settings.features.classifiers.names for combination in swept]
        assert names == [("svm",), ("svm", "knn")]
        assert swept[1].name == 'classifiers.names=["svm","knn"]'

    def test_win_over_what_is_set(self) -> None:
        (combination,) = _combinations("seed=[4]", request=request_from(["seed=3"]))
        assert combination.settings.seed == 4
        (combination,) = _combinations(
            "dataset.source=[rendered]", request=request_from(dataset="flowers.tgz")
        )
        assert combination.settings.dataset.source == "rendered"

    def test_may_take_away_what_is_set(self) -> None:
        adversary = "learners.recipe.adversary"
        (combination,) = _combinations(
            variants=(f"{{{adversary}: null}}",),
            request=request_from([f"{adversary}={{attack: fgsm}}"]),
        )
        assert combination.settings.learners.recipe.adversary is None
        assert combination.name == "recipe.adversary=null"

    def test_have_names_of_their_own(self) -> None:
        assert (
            len(SINGLE_SETTINGS)
            == len({setting_tail(setting) for setting in SINGLE_SETTINGS})
            > 100
        )

    def test_survive_the_json_that_prefect_stores(self) -> None:
        sweep = sweep_from(["seed=[1, 2]"], ["{splits.n_repeats: 1}"], flow="features")
        again = SweepSettings.model_validate_json(sweep.model_dump_json())
        assert again.flow == "features"
        assert combinations(request_from(), again) == combinations(request_from(), sweep)

    def test_may_be_as_many_as_are_allowed_and_no_more(self) -> None:
        assert len(_combinations(f"seed={list(range(MAX_COMBINATIONS))}")) == MAX_COMBINATIONS
        with pytest.raises(InvalidSettings, match=r"at most 256 combinations, got 514 \(257 × 2\)"):
            _combinations(f"seed={list(range(257))}", f"{KNN}=[1, 2]")


class TestWrongSweeps:
    @pytest.mark.parametrize(
        ("axes", "variants", "message"),
        [
            ([], [], "expected at least one axis or variant"),
            (["seed"], [], "expected KEY=[VALUE, …] with at least one value, got 'seed'"),
            (["seed=3"], [], "expected KEY=[VALUE, …] with at least one value, got 'seed=3'"),
            (["seed=[]"], [], "expected KEY=[VALUE, …] with at least one value, got 'seed=[]'"),
            (["seed=[1"], [], "--axis seed: expected a YAML value, got '[1'"),
            (["sed=[1]"], [], "axis sed: expected a known setting, got an unknown one; did you"),
            (["qqq_qqq=[1]"], [], "see `flowers17 settings`"),
            (["dataset=[1]"], [], "axis dataset: expected a single setting, got a group of them"),
            (["seed=[1, -1]"], [], "setting seed: expected at least 0"),
            (["dataset.n_classes=[99]"], [], "setting dataset.n_classes: "),
            (["seed=[1, 2, 1]"], [], "got 'seed=1' and 'seed=1' with the same settings"),
            (["seed=[1, 1.0]"], [], "got 'seed=1' and 'seed=1.0' with the same settings"),
            (["seed=[1]", "seed=[2]"], [], "axis seed: expected a setting that no other axis"),
            (["seed=[1]"], ["{seed: 2}"], "axis seed: expected a setting that no other axis"),
            ([], ["{seed: 2}", "{seed: 2}"], "with the same settings"),
            (
                [],
                ["{sed: 2}"],
                "variant sed: expected a known setting, got an unknown one",
            ),
            ([], ["{seed: -2}"], "setting seed: expected at least 0"),
            ([], ["seed"], "--variant: expected {KEY: VALUE, …}, got 'seed'"),
            ([], ["{}"], "--variant: expected {KEY: VALUE, …}, got '{}'"),
            ([], ["{seed: }"], "setting seed: expected a value, got null or nothing"),
            ([], ["{seed: 1, seed.deep: 2}"], "'seed.deep' goes below a value set before"),
        ],
    )
    def test_are_refused_with_the_reason(
        self, axes: list[str], variants: list[str], message: str
    ) -> None:
        with pytest.raises(InvalidSettings) as caught:
            combinations(request_from(), sweep_from(axes, variants))
        assert message in str(caught.value)

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
