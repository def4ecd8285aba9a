"""What would run or be reused, and why, without running anything."""

import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from flowers17 import stages as stages_module
from flowers17.artifacts import Reference, Store
from flowers17.materials import differences
from flowers17.plan import Step, plan
from flowers17.stages import Stage, ensure
from tests.support.toy import number


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _chain(*, value: int = 1, top: int = 3, seed: int | None = None) -> list[Stage]:
    a = number("a", value, seed=seed)
    b = number("b", 2)
    return [a, b, number("sum", top, a, b)]


def _build(stages: Sequence[Stage], store: Store) -> None:
    built: dict[str, Reference | None] = {}
    for stage in stages:
        inputs = {name: built[needed.label] for name, needed in stage.inputs.items()}
        built[stage.label] = ensure(stage, inputs, store).reference


def _said(steps: Sequence[Step]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(step.label, step.action, step.why) for step in steps]


WHOLE = ("reuse", ("whole in the store",))


def test_of_an_empty_store_runs_everything_and_writes_nothing(store: Store) -> None:
    steps = plan(_chain(), store)
    assert _said(steps) == [
        ("a", "run", ("never built",)),
        ("b", "run", ("never built",)),
        ("sum", "run", ("input a would be built anew", "input b would be built anew")),
    ]
    assert not store.root.exists()


def test_of_a_finished_study_reuses_everything(store: Store) -> None:
    _build(_chain(), store)
    assert _said(plan(_chain(), store)) == [("a", *WHOLE), ("b", *WHOLE), ("sum", *WHOLE)]


def test_names_the_key_of_what_is_reused(store: Store) -> None:
    _build(_chain(), store)
    assert all((store.root / step.stage / str(step.key)).is_dir() for step in plan(_chain(), store))


def test_names_the_setting_that_changed_and_what_follows(store: Store) -> None:
    _build(_chain(), store)
    assert _said(plan(_chain(value=7), store)) == [
        ("a", "run", ("setting value: 1 → 7",)),
        ("b", *WHOLE),
        ("sum", "run", ("input a would be built anew",)),
    ]


def test_names_both_a_setting_and_an_input(store: Store) -> None:
    _build(_chain(), store)
    assert plan(_chain(value=7, top=4), store)[-1].why == (
        "setting value: 3 → 4",
        "input a would be built anew",
    )


def test_names_the_seed(store: Store) -> None:
    _build(_chain(seed=1), store)
    assert plan(_chain(seed=2), store)[0].why == ("seed: 1 → 2",)


def test_names_a_library(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _build(_chain(), store)
    old = stages_module.library_versions()["numpy"]
    newer = {**stages_module.library_versions(), "numpy": "99.0"}
    monkeypatch.setattr(stages_module, "library_versions", lambda: newer)
    assert plan(_chain(), store)[0].why == (f"numpy: {old} → 99.0",)


def test_names_code(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _build(_chain(), store)
    monkeypatch.setattr(stages_module, "code_digests", lambda module: {module: "0" * 64})
    assert plan(_chain(), store)[0].why == ("code tests.support.toy changed",)


def test_runs_a_deleted_artifact_again(store: Store) -> None:
    _build(_chain(), store)
    shutil.rmtree(store.folder("number", str(plan(_chain(), store)[1].key)))
    assert [step.action for step in plan(_chain(), store)] == ["reuse", "run", "run"]


def test_runs_a_damaged_artifact_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    _build(_chain(), store)
    (store.folder("number", str(plan(_chain(), store)[0].key)) / "total.json").unlink()
    with caplog.at_level(logging.WARNING):
        steps = plan(_chain(), store)
    assert [step.action for step in steps] == ["run", "reuse", "run"]
    assert steps[0].why == ("damaged or deleted",)
    assert "set aside" in caplog.text


@pytest.mark.parametrize("order", [(1, 7), (7, 1)])
def test_compares_with_the_newest_artifact_of_a_label(
    store: Store, order: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for day, value in enumerate(order):
        monkeypatch.setattr(time, "strftime", lambda *_, day=day: f"2026-01-0{day + 1}T00:00:00Z")
        _build(_chain(value=value), store)
    assert plan(_chain(value=5), store)[0].why == (f"setting value: {order[1]} → 5",)
    assert plan(_chain(value=order[0]), store)[0].action == "reuse"


def test_of_several_data_sets_in_a_store_compares_with_the_same_one(store: Store) -> None:
    _build(_chain(value=1, top=3), store)
    _build(_chain(value=7, top=4), store)
    assert plan(_chain(value=1, top=9), store)[2].why == ("setting value: 3 → 9",)
    # Deleted, so that its content is no longer known: what it was made from still tells.
    [first] = [m for m in store.manifests() if m["material"]["config"] == {"value": 1}]
    (store.root / "number" / first["key"] / "total.json").unlink()
    steps = plan(_chain(value=1, top=9), store)
    assert steps[2].why == ("setting value: 3 → 9", "input a would be built anew")


def test_reuses_a_tolerant_stage_whose_optional_input_stays_away(store: Store) -> None:
    missing = number("weights", 1, optional=True, config={"problem": "missing"})
    b = number("b", 2)
    report = number("report", 0, missing, b, tolerant=True)
    references = {"weights": None, "b": ensure(b, {}, store).reference}
    ensure(report, references, store)
    steps = {step.label: step.action for step in plan([missing, b, report], store)}
    assert steps == {"weights": "run", "b": "reuse", "report": "reuse"}


@pytest.mark.parametrize("optional", [False, True])
def test_runs_a_tolerant_stage_whose_input_would_be_built(store: Store, optional: bool) -> None:
    weights = number("weights", 1, optional=True)
    features = number("features", 2, weights, optional=optional)
    report = number("report", 0, features, tolerant=True)
    ensure(weights, {}, store)
    ensure(report, {"features": None}, store)  # of a study in which the features failed
    assert _said(plan([weights, features, report], store)) == [
        ("weights", *WHOLE),
        ("features", "run", ("never built",)),
        ("report", "run", ("input features would be built anew",)),
    ]


def test_reuses_a_tolerant_stage_without_all_that_needs_what_stays_away(store: Store) -> None:
    weights = number("weights", 1, optional=True, config={"problem": "missing"})
    features = number("features", 2, weights, number("b", 2), optional=True)
    report = number("report", 0, weights, features, tolerant=True)
    ensure(features.inputs["b"], {}, store)
    ensure(report, {"weights": None, "features": None}, store)
    steps = plan([weights, features.inputs["b"], features, report], store)
    assert [step.action for step in steps] == ["run", "reuse", "run", "reuse"]


def test_survives_artifacts_of_another_make(store: Store) -> None:
    _build(_chain(), store)
    (store.root / "number" / "notes").mkdir()
    (store.root / "number" / "notes" / "manifest.json").write_text('{"stage": "number"}')
    assert [step.action for step in plan(_chain(), store)] == ["reuse"] * 3


OLD = {
    "config": {"svm": {"C": 1.0, "kernel": "rbf"}, "maps": ["a"]},
    "seed": 1,
    "version": 1,
    "inputs": {"rows": "1"},
    "code": {"m": "1"},
    "libraries": {"numpy": "2.3"},
}


class TestDifferences:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({}, []),
            (
                {"config": {"svm": {"C": 2.0, "kernel": "rbf"}, "maps": ["a"]}},
                ["setting svm.C: 1.0 → 2.0"],
            ),
            (
                {"config": {"svm": {"C": 1.0}, "maps": ["a", "b"]}},
                ["setting maps: ['a'] → ['a', 'b']", "setting svm.kernel: rbf → absent"],
            ),
            (
                {"config": {"svm": {"C": 1.0, "kernel": "rbf"}, "maps": ["a" * 300]}},
                ["setting maps changed"],
            ),
            ({"seed": None}, ["seed: 1 → None"]),
            ({"version": 2}, ["stage version: 1 → 2"]),
            ({"inputs": {"rows": "2"}}, ["input rows changed"]),
            ({"inputs": {"rows": "1", "more": "3"}}, ["input more changed"]),
            ({"code": {"m": "2"}}, ["code m changed"]),
            ({"libraries": {"numpy": "2.4"}}, ["numpy: 2.3 → 2.4"]),
        ],
    )
    def test_are_named(self, change: dict[str, object], message: list[str]) -> None:
        assert differences(OLD, {**OLD, **change}) == message
