"""One graph for all combinations: what they share is one stage, and titles stay unique."""

from pathlib import Path

from flowers17.artifacts import Store
from flowers17.request import request_from
from flowers17.stages import Stage, ensure, in_order
from flowers17.sweeps.combinations import Combination, combinations, sweep_from
from flowers17.sweeps.graph import Sweep, sweep_plan, with_shared_stages
from tests.support.toy import number

AXES = ("seed=[1, 2]", "splits.n_repeats=[3, 4]")


def _study(combination: Combination) -> Stage:
    """Return a study of which a stage rests on nothing, one on the seed, and one on everything."""
    data = number("data", 0)
    seeded = number("seeded", combination.settings.seed, data)
    repeated = number("repeated", combination.settings.splits.n_repeats, seeded)
    return number("report", 0, data, seeded, repeated)


def _swept_studies(*axes: str) -> tuple[list[Combination], list[Stage]]:
    swept = combinations(request_from(), sweep_from(axes))
    return swept, with_shared_stages(swept, [_study(combination) for combination in swept])


def test_holds_each_common_stage_once_and_names_what_tells_others_apart() -> None:
    _, studies = _swept_studies(*AXES)
    assert [stage.title for stage in in_order(studies)] == [
        "data",
        "seeded [seed=1]",
        "repeated [seed=1, splits.n_repeats=3]",
        "report [seed=1, splits.n_repeats=3]",
        "repeated [seed=1, splits.n_repeats=4]",
        "report [seed=1, splits.n_repeats=4]",
        "seeded [seed=2]",
        "repeated [seed=2, splits.n_repeats=3]",
        "report [seed=2, splits.n_repeats=3]",
        "repeated [seed=2, splits.n_repeats=4]",
        "report [seed=2, splits.n_repeats=4]",
    ]


def test_of_one_combination_is_as_it_would_be_alone() -> None:
    (combination,), (study,) = _swept_studies("seed=[1]")
    assert study == _study(combination)


def test_keeps_labels_and_the_names_of_inputs_which_the_store_and_the_report_know() -> None:
    swept, studies = _swept_studies(*AXES)
    for combination, study in zip(swept, studies, strict=True):
        stages = in_order([_study(combination)])
        assert [stage.label for stage in in_order([study])] == [stage.label for stage in stages]
        assert list(study.inputs) == ["data", "seeded", "repeated"]


def test_tells_stages_apart_that_no_value_tells_apart() -> None:
    swept = combinations(request_from(), sweep_from(AXES))
    sums = [
        combination.settings.seed + combination.settings.splits.n_repeats for combination in swept
    ]
    studies = with_shared_stages(swept, [number("sum", total) for total in sums])
    assert sums == [4, 5, 5, 6]
    assert [stage.title for stage in studies] == [
        "sum [seed=1, splits.n_repeats=3]",
        "sum [seed=1, splits.n_repeats=4 …]",
        "sum [seed=1, splits.n_repeats=4 …]",
        "sum [seed=2, splits.n_repeats=4]",
    ]


def test_is_planned_as_it_would_be_built(tmp_path: Path) -> None:
    swept, studies = _swept_studies(*AXES)
    store = Store(tmp_path / "store")
    summary = Stage.of(
        "number",
        "summary",
        "tests.support.toy:add",
        {"value": 0},
        inputs={combination.name: study for combination, study in zip(swept, studies, strict=True)},
    )
    sweep = Sweep("study", tuple(swept), tuple(studies), summary)
    plan = sweep_plan(sweep, store)
    assert (plan.n_stages, plan.n_different, plan.n_shared) == (4 * 4 + 1, 12, 3)
    assert (plan.n_reused, plan.n_to_build) == (0, 12)
    assert not store.root.exists()
    for stage in in_order([studies[0]])[:2]:
        built = {"data": ensure(number("data", 0), {}, store).reference}
        ensure(stage, {name: built[name] for name in stage.inputs}, store)
    again = sweep_plan(sweep, store)
    assert (again.n_reused, again.n_to_build) == (2, 10)
    assert again.sentence == (
        "4 combinations of study: 17 stages in all, 12 different ones, 3 of them shared by several "
        "combinations; 2 in the store, 10 to be built"
    )
