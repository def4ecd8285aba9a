"""The stages of flow `attacks` at small size: what they store is what the models say."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Store
from flowers17.errors import InvalidInput
from flowers17.learners.images import scaled
from flowers17.prediction.attacked import AT_ONCE, AttackedModel
from flowers17.prediction.models import Loader
from tests.support.made_attacks import artifacts, built, tables
from tests.support.tiny_training import prepared

pytestmark = pytest.mark.slow

NETWORK, STACKED = "tiny refit, clean split", "stacking of mixed, clean split"
ATTACKS = ("noise", "fgsm", "pgd", "targeted", "jsma", "one_pixel")
FOREST = "mixed by random_forest"


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    with prepared():
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with every attack on a network and on a stacked forest."""
    return built(tmp_path_factory.mktemp("attacks") / "store")


def _attack(store: Store, attack: str, model: str = "tiny") -> Artifact:
    return artifacts(store, "attack")[f"attack {attack} on {model}, clean split"]


def _opened(store: Store, stage: str, label: str, method: str | None = None) -> AttackedModel:
    return AttackedModel(artifacts(store, stage)[label], Loader(store, device="cpu"), method)


def _clean(store: Store, one: Artifact) -> np.ndarray:
    [images] = [
        found
        for found in artifacts(store, "images").values()
        if found.reference.key == one.manifest["inputs"]["images"]["key"]
    ]
    return np.asarray(images.array("images")[one.array("rows")])


def test_a_network_meets_every_attack_and_an_ensemble_the_one_without_gradients(
    store: Store,
) -> None:
    made = {(one.json("result")["model"], one.json("result")["attack"]) for one in _all(store)}
    assert made == {("tiny", one) for one in ATTACKS} | {(FOREST, "one_pixel")}


def _all(store: Store) -> list[Artifact]:
    return list(artifacts(store, "attack").values())


def test_only_held_out_images_are_attacked_the_same_by_all(store: Store) -> None:
    split = artifacts(store, "split")["clean split"]
    swept = [_attack(store, one).array("rows") for one in ("noise", "fgsm", "pgd")]
    for rows in (one.array("rows") for one in _all(store)):
        assert set(rows.tolist()) <= set(split.array("validation").tolist())
        assert set(rows.tolist()) <= set(swept[0].tolist())
    assert all(np.array_equal(rows, swept[0]) for rows in swept)
    assert len(swept[0]) == 9


@pytest.mark.parametrize("attack", ["jsma", "one_pixel"])
@pytest.mark.parametrize("model", ["tiny", FOREST])
def test_the_model_says_of_what_is_stored_what_the_attack_says(
    store: Store, attack: str, model: str
) -> None:
    if attack == "jsma" and model == FOREST:
        pytest.skip("a forest has no gradients")
    one = _attack(store, attack, model)
    stage, label, method = ("training", NETWORK, None)
    if model == FOREST:
        stage, label, method = ("stacking", STACKED, "random_forest")
    asked = _opened(store, stage, label, method)
    adversarial = scaled(one.array("adversarial"))
    assert np.array_equal(asked.proba(adversarial).argmax(axis=1), one.array("predicted")[:, 0])
    clean = scaled(_clean(store, one))
    assert np.array_equal(asked.proba(clean).argmax(axis=1), one.array("predicted_before"))


def test_kept_images_stay_within_the_budget(store: Store) -> None:
    for attack in ("noise", "fgsm", "pgd", "targeted"):
        one = _attack(store, attack)
        change = one.array("adversarial").astype(int) - _clean(store, one)
        assert 1 <= np.abs(change).max() <= 8, attack
    changed = _attack(store, "one_pixel").array("adversarial") != _clean(
        store, _attack(store, "one_pixel")
    )
    assert changed.any(axis=3).sum(axis=(1, 2)).max() <= 1


def test_transfer_to_the_source_itself_is_its_white_box(store: Store) -> None:
    [found] = artifacts(store, "transfer").values()
    result = found.json("result")
    assert [one["name"] for one in result["victims"]] == ["tiny", FOREST]
    assert [(one["model"], one["attack"]) for one in result["sources"]] == [
        ("tiny", "fgsm"),
        ("tiny", "pgd"),
    ]
    assert [one["image_size"] for one in result["sources"]] == [32, 32]
    fgsm = _attack(store, "fgsm")
    place = [run["epsilon"] for run in fgsm.json("result")["runs"]].index(8.0)
    assert np.array_equal(found.array("predicted")[0, 0], fgsm.array("predicted")[:, place])
    forest = _opened(store, "stacking", STACKED, "random_forest")
    said = forest.proba(scaled(fgsm.array("adversarial"))).argmax(axis=1)
    assert np.array_equal(found.array("predicted")[0, 1], said)


def test_images_that_repeat_the_last_are_asked_about_once(store: Store) -> None:
    asked = _opened(store, "training", NETWORK)
    images = scaled(_clean(store, _attack(store, "noise")))
    many = np.concatenate([images, np.repeat(images[-1:], 3 * AT_ONCE, axis=0)])
    calls: list[int] = []
    answer = asked._answered
    asked._answered = lambda pixels: calls.append(len(pixels)) or answer(pixels)  # type: ignore[method-assign, func-returns-value]
    found = asked.proba(many)
    assert calls == [AT_ONCE]
    assert found[: len(images)].tobytes() == asked.proba(images).tobytes()
    assert (found[len(images) :] == found[len(images) - 1]).all()


def test_an_unknown_method_or_one_of_a_single_model_is_refused(store: Store) -> None:
    with pytest.raises(InvalidInput, match=r"expected one of .*random_forest.*, got magic"):
        _opened(store, "stacking", STACKED, "magic")
    with pytest.raises(InvalidInput, match="got a single model; leave the method out"):
        _opened(store, "training", NETWORK, "average")


def test_every_table_and_figure_is_in_the_report(store: Store) -> None:
    found = tables(store)
    for number in ("C1", "C2", "C3", "C4", "C5"):
        assert found[number]["rows"], number
    assert [row["cells"]["budget"]["value"] for row in found["C1"]["rows"]] == [0, 2, 8, 128]
    assert {row["group"] for row in found["C5"]["rows"]} == {"Tiny"}
    [report] = artifacts(store, "study").values()
    drawn = {Path(name).name for name in report.manifest["files"] if name.startswith("figures/")}
    assert {"figure-c1.svg", "figure-c2.svg", "figure-c3.svg"} <= drawn


def test_the_stages_of_a_second_run_are_all_reused(store: Store) -> None:
    before = {one["key"]: one["created"] for one in store.manifests()}
    built(store.root)
    assert {one["key"]: one["created"] for one in store.manifests()} == before
