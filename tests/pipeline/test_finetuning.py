"""Flow `finetune` at small size: a kill in phase B, predictions, a fine-tuned ensemble member."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.artifacts import Artifact, Store
from flowers17.config import (
    EnsembleDefinition,
    EnsembleSettings,
    FeatureMapSettings,
    FineTunedSettings,
    FineTuningSettings,
    HeadSettings,
    MemberSettings,
    RecipeSettings,
    RunOptions,
    StudySettings,
)
from flowers17.learners.images import scaled
from flowers17.prediction.attacked import AttackedModel
from flowers17.prediction.models import Loader, open_model
from flowers17.prediction.pictures import Block
from flowers17.profiles import PROFILES
from flowers17.request import request_from
from flowers17.robustness.fgsm import fgsm
from flowers17.stages import Stage, in_order
from flows import ensemble, finetune
from tests.support.builds import built as built_stages
from tests.support.builds import killed
from tests.support.tiny_backbone import BACKBONE

pytestmark = pytest.mark.slow

SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=12",
    "dataset.image_size=32",
    "splits.n_repeats=1",
    "features.weights=random",
    "learners.precision=float32",
    "fine_tuning.table=[]",
    f"fine_tuning.own=[{{maps: {{extractor: '{BACKBONE}', pooling: average}}, recipe: best}}]",
    f"fine_tuning.unfrozen={{'{BACKBONE}': block2}}",
    "fine_tuning.own_splits=1",
    "fine_tuning.own_layer_decay=0.5",
    "fine_tuning.units=16",
    "fine_tuning.own_phase_a.epochs=1",
    "fine_tuning.own_phase_a.batch_size=8",
    "fine_tuning.own_phase_b.epochs=3",
    "fine_tuning.own_phase_b.batch_size=8",
)
NAME = f"fine-tuning {BACKBONE}-average adam + batch norm + dropout, best"


def _stages(store: Path) -> list[Stage]:
    request = request_from(SETTINGS, store=store, device="cpu")
    return finetune.parts(request.settings, request.options)


def _artifacts(store: Path, stage: str) -> dict[str, Artifact]:
    """Artifacts of a stage by label."""
    manifests = [manifest for manifest in Store(store).manifests() if manifest["stage"] == stage]
    return {
        manifest["label"]: Artifact(store / stage / manifest["key"], manifest)
        for manifest in manifests
    }


def _loader(store: Path) -> Loader:
    return Loader(Store(store), device="cpu", own_learners=[BACKBONE])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    built_stages(_stages(store), store)
    return store


@pytest.fixture(scope="module")
def built(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which phase B was killed between two epochs, and then went on."""
    phase_b = _artifacts(undisturbed, "finetuning")[f"{NAME}, phase b, repeat-01 split"]
    store = tmp_path_factory.mktemp("killed") / "store"
    shutil.copytree(undisturbed, store, ignore=shutil.ignore_patterns(phase_b.path.name))
    killed(_stages(store), store, f"{NAME}, phase b, repeat-01 split", 2)
    assert list(_artifacts(store, "finetuning")) == [f"{NAME}, phase a, repeat-01 split"]
    built_stages(_stages(store), store)
    return store


def test_a_kill_in_phase_b_changes_no_byte(built: Path, undisturbed: Path) -> None:
    disturbed, expected = (
        {label: artifact.reference for label, artifact in _artifacts(store, "finetuning").items()}
        for store in (built, undisturbed)
    )
    assert len(disturbed) == 2
    assert disturbed == expected


def test_phase_b_begins_with_the_head_of_phase_a_and_trains_further_blocks(built: Path) -> None:
    a, b = (
        _artifacts(built, "finetuning")[f"{NAME}, phase {phase}, repeat-01 split"] for phase in "ab"
    )
    before, after = a.json("result"), b.json("result")
    assert b.manifest["inputs"]["phase-a"]["key"] == a.manifest["key"]
    assert before["n_trainable"] < after["n_trainable"] < after["n_parameters"]
    assert before["n_parameters"] == after["n_parameters"]
    assert (before["unfrozen_from"], after["unfrozen_from"]) == (None, "block2")
    assert (before["layer_decay"], after["layer_decay"]) == (1.0, 0.5)
    assert (after["activations"], after["augmentation"]) == ("stored", "mirrored")
    for network in (a, b):
        result, split = network.json("result"), _artifacts(built, "split")["repeat-01 split"]
        rows = split.array("validation")
        correct = network.array("proba")[rows].argmax(axis=1) == split.array("labels")[rows]
        assert result["n_correct"] == int(correct.sum())


def test_predictions_for_images_are_those_that_the_training_stored(built: Path) -> None:
    [images] = _artifacts(built, "images").values()
    pixels = images.array("images")
    for label, network in _artifacts(built, "finetuning").items():
        model = open_model(network.reference.to_json(), _loader(built))
        assert model.classes == tuple(network.json("result")["classes"])
        proba = model.answers(Block(("",) * len(pixels), {32: pixels})).proba
        np.testing.assert_array_equal(proba, network.array("proba"), err_msg=label)


def test_an_attack_sees_what_predictions_say_and_the_gradient_of_it(built: Path) -> None:
    [images] = _artifacts(built, "images").values()
    pixels = images.array("images")[:4]
    network = _artifacts(built, "finetuning")[f"{NAME}, phase b, repeat-01 split"]
    attacked = AttackedModel(network, _loader(built))
    inputs = scaled(pixels)
    np.testing.assert_allclose(attacked.proba(inputs), network.array("proba")[:4], atol=1e-6)
    assert attacked.network is not None
    np.testing.assert_allclose(
        np.asarray(attacked.network(inputs)), network.array("proba")[:4], atol=1e-5
    )
    labels = attacked.proba(inputs).argmax(axis=1)
    [result] = fgsm(attacked.network, inputs, labels, epsilons=[4 / 255])
    assert (result.confidence_after < result.confidence_before).all()


def test_discriminative_rates_matter_to_phase_b_of_our_own_recipe_alone() -> None:
    """Stages only: what they compute is tested above."""

    def configs(decay: float) -> dict[str, Any]:
        maps = FeatureMapSettings(extractor="mobilenet")
        fine_tuning = FineTuningSettings(
            table=(maps,), own=(FineTunedSettings(maps=maps, recipe="best"),), own_layer_decay=decay
        )
        parts = finetune.parts(StudySettings(fine_tuning=fine_tuning), RunOptions(device="cpu"))
        return {stage.label: stage.config for stage in in_order(parts)}

    equal, decaying = configs(1.0), configs(0.5)
    assert equal.keys() == decaying.keys()
    changed = [label for label in equal if equal[label] != decaying[label]]
    assert len(changed) == 8
    assert all(", best, phase b, repeat-" in label for label in changed)


def test_norms_in_inference_mode_are_a_phase_b_of_their_own_after_the_same_phase_a() -> None:
    """Stages only: what they compute is tested in `unit/transfer/test_fine_tuning.py`."""
    heads = tuple(
        HeadSettings.model_validate({"optimizer": "sgd", **norms})
        for norms in ({}, {"extractor_norms": "inference"})
    )
    tuning = FineTuningSettings(table=(FeatureMapSettings(extractor="mobilenet"),), heads=heads)
    parts = finetune.parts(StudySettings(fine_tuning=tuning), RunOptions(device="cpu"))
    training, inference = (json.loads(stage.config) for stage in parts)
    assert parts[0].inputs["phase-a"] == parts[1].inputs["phase-a"]
    assert len([stage for stage in in_order(parts) if stage.name == "finetuning"]) == 3
    changed = {name: inference[name] for name in training if training[name] != inference[name]}
    assert changed == {
        "name": "mobilenet sgd + extractor norms in inference mode",
        "configuration": "sgd + extractor norms in inference mode",
        "head": {**training["head"], "extractor_norms": "inference"},
    }
    # As before there were two modes, so that networks trained then are reused.
    assert training["head"] == {"optimizer": "sgd", "batch_norm": False, "dropout": 0.0}


def test_the_report_profile_shows_both_modes_under_sgd_where_there_is_batch_norm() -> None:
    networks = PROFILES["report"].fine_tuning.networks
    sgd = [network for network in networks if network.head.name.startswith("sgd")]
    for extractor in ("mobilenet", "xception"):
        names = {network.head.name for network in sgd if network.maps.extractor == extractor}
        assert {"sgd", "sgd + extractor norms in inference mode"} <= names
    assert not [n for n in networks if n.maps.extractor == "vgg16" and "norms" in n.head.name]
    assert len(networks) == 16 + 3


class TestEnsembleMember:
    """Stages only: what they compute is tested above."""

    NETWORK = FineTunedSettings(maps=FeatureMapSettings(extractor="mobilenet"))

    def _labels(self, **rest: Any) -> list[str]:
        members = (
            MemberSettings(fine_tuned=self.NETWORK.model_copy(update=rest)),
            MemberSettings(learner="baseline"),
        )
        settings = StudySettings(
            fine_tuning=FineTuningSettings(phase_a=RecipeSettings(epochs=2)),
            ensemble=EnsembleSettings(
                ensembles=(EnsembleDefinition(name="two", members=members),), n_folds=2
            ),
        ).model_copy(deep=True)
        parts = ensemble.parts(settings, RunOptions(device="cpu"))
        return [stage.label for stage in in_order(parts) if stage.name == "finetuning"]

    def test_is_trained_on_each_fold_and_refitted_for_as_long_as_they_took(self) -> None:
        name = "fine-tuning mobilenet adam + batch norm + dropout"
        assert self._labels() == [
            f"{name}{suffix}, phase {phase}, {split}"
            for suffix, split in (
                ("", "clean fold 1"),
                ("", "clean fold 2"),
                (" refit", "clean split"),
            )
            for phase in "ab"
        ]

    def test_that_chooses_no_epoch_is_fitted_on_the_whole_training_part(self) -> None:
        labels = self._labels(recipe="best")
        assert [label for label in labels if "refit" in label] == []
        name = "fine-tuning mobilenet adam + batch norm + dropout, best"
        assert f"{name}, phase b, clean split" in labels
