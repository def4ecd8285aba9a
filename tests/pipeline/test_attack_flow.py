"""The stages of flow `attacks` at small size: stored predictions are those of the models."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Store
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.learners.images import scaled
from flowers17.prediction.attacked import AT_ONCE, AttackedModel
from flowers17.prediction.models import Loader
from flowers17.stages import Job
from tasks import exploratory
from tests.support.attack_study import artifacts, built, tables
from tests.support.tiny_backbone import BACKBONE
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
    """Store with every attack on a network and on a stacked forest."""
    return built(tmp_path_factory.mktemp("attacks") / "store")


def _attack(store: Store, attack: str, model: str = "tiny") -> Artifact:
    return artifacts(store, "attack")[f"attack {attack} on {model}, clean split"]


def _victim(store: Store, stage: str, label: str, method: str | None = None) -> AttackedModel:
    loader = Loader(store, device="cpu", own_learners=[BACKBONE])
    return AttackedModel(artifacts(store, stage)[label], loader, method)


def _clean(store: Store, attack: Artifact) -> np.ndarray:
    [images] = [
        artifact
        for artifact in artifacts(store, "images").values()
        if artifact.reference.key == attack.manifest["inputs"]["images"]["key"]
    ]
    return np.asarray(images.array("images")[attack.array("rows")])


def test_a_network_meets_every_attack_and_an_ensemble_the_one_without_gradients(
    store: Store,
) -> None:
    results = [artifact.json("result") for artifact in _attacks(store)]
    pairs = {(result["model"], result["attack"]) for result in results}
    assert pairs == {("tiny", attack) for attack in ATTACKS} | {(FOREST, "one_pixel")}


def _attacks(store: Store) -> list[Artifact]:
    return list(artifacts(store, "attack").values())


def test_only_held_out_images_are_attacked_the_same_by_all(store: Store) -> None:
    split = artifacts(store, "split")["clean split"]
    swept = [_attack(store, attack).array("rows") for attack in ("noise", "fgsm", "pgd")]
    for rows in (artifact.array("rows") for artifact in _attacks(store)):
        assert set(rows.tolist()) <= set(split.array("validation").tolist())
        assert set(rows.tolist()) <= set(swept[0].tolist())
    assert all(np.array_equal(rows, swept[0]) for rows in swept)
    assert len(swept[0]) == 9


@pytest.mark.parametrize("attack", ["jsma", "one_pixel"])
@pytest.mark.parametrize("model", ["tiny", FOREST])
def test_stored_images_have_the_predictions_that_the_attack_stored(
    store: Store, attack: str, model: str
) -> None:
    if attack == "jsma" and model == FOREST:
        pytest.skip("a forest has no gradients")
    artifact = _attack(store, attack, model)
    stage, label, method = ("training", NETWORK, None)
    if model == FOREST:
        stage, label, method = ("stacking", STACKED, "random_forest")
    victim = _victim(store, stage, label, method)
    adversarial = scaled(artifact.array("adversarial"))
    assert np.array_equal(
        victim.proba(adversarial).argmax(axis=1), artifact.array("predicted")[:, 0]
    )
    clean = scaled(_clean(store, artifact))
    assert np.array_equal(victim.proba(clean).argmax(axis=1), artifact.array("predicted_before"))


def test_stored_images_stay_within_the_budget(store: Store) -> None:
    for attack in ("noise", "fgsm", "pgd", "targeted"):
        artifact = _attack(store, attack)
        change = artifact.array("adversarial").astype(int) - _clean(store, artifact)
        assert 1 <= np.abs(change).max() <= 8, attack
    changed = _attack(store, "one_pixel").array("adversarial") != _clean(
        store, _attack(store, "one_pixel")
    )
    assert changed.any(axis=3).sum(axis=(1, 2)).max() <= 1


def test_transfer_to_the_source_itself_is_its_white_box(store: Store) -> None:
    [transfer] = artifacts(store, "transfer").values()
    result = transfer.json("result")
    assert [victim["name"] for victim in result["victims"]] == ["tiny", FOREST]
    assert [(source["model"], source["attack"]) for source in result["sources"]] == [
        ("tiny", "fgsm"),
        ("tiny", "pgd"),
    ]
    assert [source["image_size"] for source in result["sources"]] == [32, 32]
    fgsm = _attack(store, "fgsm")
    run_index = [run["epsilon"] for run in fgsm.json("result")["runs"]].index(8.0)
    assert np.array_equal(transfer.array("predicted")[0, 0], fgsm.array("predicted")[:, run_index])
    forest = _victim(store, "stacking", STACKED, "random_forest")
    predicted = forest.proba(scaled(fgsm.array("adversarial"))).argmax(axis=1)
    assert np.array_equal(transfer.array("predicted")[0, 1], predicted)


@pytest.mark.parametrize("model", ["tiny", FOREST])
def test_a_surrogate_learns_from_images_that_nobody_was_trained_on_or_is_measured_by(
    store: Store, model: str
) -> None:
    label = f"attack exploratory on {model}, clean split"
    artifact = artifacts(store, "exploratory")[label]
    split = artifacts(store, "split")["clean split"]
    rows, result = artifact.array("rows"), artifact.json("result")
    assert np.array_equal(rows, _attack(store, "pgd").array("rows")[: len(rows)])
    assert len(rows) == len(split.array("validation")) - 3, "the adversary has three of its own"
    assert result["n_queries"] == [3, 6, 10]
    assert artifact.array("learned").shape == (len(rows), 3)
    victim = _victim(store, "training", NETWORK)
    if model == FOREST:
        victim = _victim(store, "stacking", STACKED, "random_forest")
    predicted = artifact.array("predicted")
    assert predicted.shape == (len(rows), 1 + 2 * 2 + 1, 2)
    clean = scaled(_clean(store, artifact))
    assert np.array_equal(victim.proba(clean).argmax(axis=1), predicted[:, 0, 0])
    assert np.array_equal(artifact.array("learned")[:, -1], predicted[:, 0, 1])
    assert (predicted[:3, -1] >= 0).all()
    assert (predicted[3:, -1] == -1).all(), "JSMA attacks as many images as its settings say"


def test_more_images_of_the_adversary_than_there_are_leave_none_to_attack(store: Store) -> None:
    [label] = [name for name in artifacts(store, "exploratory") if "on tiny" in name]
    artifact = artifacts(store, "exploratory")[label]
    config = artifact.manifest["material"]["config"]
    config["settings"]["exploratory"]["n_seeds"] = 9
    inputs = {name: artifacts(store, name)[of] for name, of in (("split", "clean split"),)}
    inputs["images"] = next(iter(artifacts(store, "images").values()))
    job = Job(config, 1, inputs, {}, store, store.root, store.root)
    with pytest.raises(InvalidSettings, match="n_seeds: expected fewer than the 9 validation"):
        exploratory.build(job)


def test_images_that_repeat_the_last_one_are_predicted_once(store: Store) -> None:
    victim = _victim(store, "training", NETWORK)
    images = scaled(_clean(store, _attack(store, "noise")))
    padded = np.concatenate([images, np.repeat(images[-1:], 3 * AT_ONCE, axis=0)])
    calls: list[int] = []
    answered = victim._proba_at_once
    victim._proba_at_once = lambda pixels: calls.append(len(pixels)) or answered(pixels)  # type: ignore[method-assign, func-returns-value]
    proba = victim.proba(padded)
    assert calls == [AT_ONCE]
    assert proba[: len(images)].tobytes() == victim.proba(images).tobytes()
    assert (proba[len(images) :] == proba[len(images) - 1]).all()


def test_an_unknown_method_or_one_of_a_single_model_is_refused(store: Store) -> None:
    with pytest.raises(InvalidInput, match=r"expected one of .*random_forest.*, got magic"):
        _victim(store, "stacking", STACKED, "magic")
    with pytest.raises(InvalidInput, match="got a single model; leave the method out"):
        _victim(store, "training", NETWORK, "average")


def test_every_table_and_figure_is_in_the_report(store: Store) -> None:
    by_number = tables(store)
    for number in ("C1", "C2", "C3", "C4", "C5", "C9", "C10"):
        assert by_number[number]["rows"], number
    assert [row["cells"]["budget"]["value"] for row in by_number["C1"]["rows"]] == [0, 2, 8, 128]
    assert {row["group"] for row in by_number["C5"]["rows"]} == {"Tiny"}
    [report] = artifacts(store, "study").values()
    drawn = {Path(name).name for name in report.manifest["files"] if name.startswith("figures/")}
    assert {"figure-c1.svg", "figure-c2.svg", "figure-c3.svg", "figure-c4.svg"} <= drawn


def test_the_stages_of_a_second_run_are_all_reused(store: Store) -> None:
    before = {manifest["key"]: manifest["created"] for manifest in store.manifests()}
    built(store.root)
    assert {manifest["key"]: manifest["created"] for manifest in store.manifests()} == before
