"""Fine-tuned networks written by hand: known histories and predictions, beside a study's."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowers17.config import (
    FeatureMapSettings,
    FineTunedSettings,
    FineTuningSettings,
    HeadSettings,
    RecipeSettings,
    StudySettings,
)
from flowers17.reporting.finetuning.records import Phase
from flowers17.reporting.inputs import ReportInputs

from .made_trainings import history
from .maker import Maker, absent_stage

VGG16, MOBILENET = (FeatureMapSettings(extractor=name) for name in ("vgg16", "mobilenet"))
XCEPTION = FeatureMapSettings(
    extractor="xception", input_size=299, pixels="original", pooling="average"
)
REPEATED = FineTunedSettings(maps=MOBILENET)
OWN = FineTunedSettings(maps=XCEPTION, recipe="best")
N_SEEDS, OWN_SPLITS = 3, 2
N_HEAD, N_BLOCKS, N_FROZEN = 600_000, 1_500_000, 2_000_000
BOUNDARY = (4, 4, 8)


def n_wrong(network: FineTunedSettings, phase: Phase, seed_number: int, index: int) -> int:
    """Number of the first of 12 held-out images that a network gets wrong.

    Under SGD all, but 2 with the extractor's norms in inference mode; under Adam 3 in phase A, and
    1 in phase B, with dropout none; one more for each further seed, and on every second split.
    """
    if network.head.optimizer == "sgd":
        return 2 if network.head.extractor_norms == "inference" else 12
    wrong = 3 if phase == "a" else 0 if network.head.dropout else 1
    return wrong + seed_number - 1 + index % 2


def settings_of(
    settings: StudySettings, *, epochs: int | None = None, **changes: Any
) -> StudySettings:
    """Settings with all of Table 9, three seeds of one network, another on two splits."""
    short = {} if epochs is None else {"epochs": epochs}
    defaults = FineTuningSettings()
    fine_tuning = defaults.model_copy(
        update={
            "repeated": (REPEATED,),
            "n_seeds": N_SEEDS,
            "own": (OWN,),
            "own_splits": OWN_SPLITS,
            "phase_a": defaults.phase_a.model_copy(update=short),
            "phase_b": defaults.phase_b.model_copy(update=short),
            **changes,
        }
    )
    return settings.model_copy(update={"fine_tuning": fine_tuning})


def with_fine_tunings(
    inputs: ReportInputs,
    *,
    missing: Mapping[str, str] | None = None,
    computed: bool = False,
    changed: Mapping[str, Any] | None = None,
    **settings: Any,
) -> ReportInputs:
    """A study with every network that `settings_of` asks for but the missing.

    missing: why, by label. computed: whether the frozen part is computed at each step. changed: in
    every result.
    """
    study, absent = settings_of(inputs.study, **settings), [*inputs.absent]
    maker = Maker(inputs.artifacts["splits"].path.parents[1])
    maker.artifacts = dict(inputs.artifacts)
    blocks = study.fine_tuning.unfrozen
    _activations(maker, f"activations mobilenet below {blocks.mobilenet}", inputs)
    for network, number, index in _networks(study):
        split = inputs.divided[index]["name"]
        ending = f", seed {number}" if number > 1 else ""
        for phase in ("a", "b"):
            trained = network.in_phase(phase)
            label = f"fine-tuning {trained.name}, phase {phase}, {split} split{ending}"
            if label in maker.artifacts:  # phase A that two networks share
                continue
            if missing and label in missing:
                identity = {"name": trained.name, "phase": phase, "seed_number": number}
                reason = missing[label]
                absent.append(absent_stage("b2", "finetuning", label, reason, split, **identity))
            else:
                _publish(
                    maker, inputs, study, trained, phase, number, index, label, computed, changed
                )
    return ReportInputs(maker.artifacts, absent, study.model_dump(mode="json"))


def _networks(settings: StudySettings) -> list[tuple[FineTunedSettings, int, int]]:
    """Each network, the number of its seed, and the index of its split."""
    tuning = settings.fine_tuning
    return [
        *((network, 1, 0) for network in tuning.networks),
        *((network, n, 0) for network in tuning.repeated for n in range(2, tuning.n_seeds + 1)),
        *((network, 1, 2 + index) for network in tuning.own for index in range(tuning.own_splits)),
    ]


def _activations(maker: Maker, label: str, inputs: ReportInputs) -> None:
    stored = np.zeros((len(inputs.labels), *BOUNDARY), np.float32)
    reads = {"images": maker.artifacts["images@128"]} if "images@128" in maker.artifacts else {}
    maker.publish("activations", label, reads, {"activations": stored}, {})


def _publish(
    maker: Maker,
    inputs: ReportInputs,
    settings: StudySettings,
    network: FineTunedSettings,
    phase: Phase,
    number: int,
    index: int,
    label: str,
    computed: bool,
    changed: Mapping[str, Any] | None,
) -> None:
    tuning = settings.fine_tuning
    recipes = {
        ("report", "a"): tuning.phase_a,
        ("report", "b"): tuning.phase_b,
        ("best", "a"): tuning.own_phase_a,
        ("best", "b"): tuning.own_phase_b,
    }
    recipe = recipes[network.recipe, phase].model_copy(update={"optimizer": network.head.optimizer})
    block = getattr(tuning.unfrozen, network.maps.extractor) if phase == "b" else None
    is_own_b = (network.recipe, phase) == ("best", "b")
    result, arrays = _outcome(inputs, network, phase, number, index, recipe)
    values = {
        "result": {
            **result,
            "unfrozen_from": block,
            "layer_decay": tuning.own_layer_decay if is_own_b else 1.0,
            "activations": "computed" if computed else "stored",
            "augmentation": "mirrored" if network.recipe == "best" else "none",
            "random_weights": settings.features.weights == "random",
            "units": tuning.units,
            **(changed or {}),
        },
        "history": {"epochs": history(recipe.epochs)},
    }
    key = f"activations {network.maps.name} below {block}"
    if phase == "a":
        key = f"features {network.maps.name}"
    reads = {"activations": maker.artifacts[key]} if key in maker.artifacts else {}
    maker.publish("finetuning", label, reads, arrays, values)


def _outcome(
    inputs: ReportInputs,
    network: FineTunedSettings,
    phase: Phase,
    number: int,
    index: int,
    recipe: RecipeSettings,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    split, labels, n_classes = inputs.divided[index], inputs.labels, len(inputs.class_names)
    held = np.asarray(split["validation"])
    proba = np.full((len(labels), n_classes), 0.1 / (n_classes - 1), np.float32)
    answers = labels.copy()
    wrong = n_wrong(network, phase, number, index)
    answers[held[:wrong]] = (answers[held[:wrong]] + 1) % n_classes
    proba[np.arange(len(labels)), answers] = 0.9
    epochs = history(recipe.epochs)
    last = recipe.selection == "last"
    epoch = epochs[-1] if last else min(epochs, key=lambda epoch: epoch["val_loss"])
    head: HeadSettings = network.head
    n_trainable = N_HEAD + (N_BLOCKS if phase == "b" else 0)
    result = {
        "name": network.name,
        "maps": network.maps.name,
        "extractor": network.maps.extractor,
        "input_size": network.maps.input_size or inputs.study.dataset.image_size,
        "pixels": network.maps.pixels,
        "pooling": network.maps.pooling,
        "configuration": head.name,
        **head.model_dump(mode="json"),
        "phase": phase,
        "recipe_name": network.recipe,
        "recipe": recipe.model_dump(mode="json"),
        "seed_number": number,
        "split": split["name"],
        "kind": split["kind"],
        "classes": list(inputs.class_names),
        "n_train": len(split["train"]),
        "n_validation": len(held),
        "n_parameters": N_FROZEN + N_BLOCKS + N_HEAD,
        "n_trainable": n_trainable,
        "epochs": recipe.epochs,
        "best_epoch": epoch["epoch"],
        "train_loss": epoch["loss"],
        "train_accuracy": epoch["accuracy"],
        "validation_loss": epoch["val_loss"],
        "validation_accuracy": (len(held) - wrong) / len(held),
        "n_correct": len(held) - wrong,
        "accuracy": (len(held) - wrong) / len(held),
        "precision": "float32",
        "backend": "tensorflow",
    }
    return result, {"validation-predicted": answers[held].astype(np.int64), "proba": proba}
