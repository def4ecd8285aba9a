"""Stage `finetuning`: one phase of one network on one split; resumes from its last epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from flowers17.config import (
    AugmentationName,
    FineTunedSettings,
    HeadSettings,
    Places,
    RecipeSettings,
    StudySettings,
)
from flowers17.learners.devices import device_in
from flowers17.stages import Job, Stage
from flowers17.transfer.weights import extractor_facts
from tasks import activations, features, trained, weights
from tasks.long_work import long_work

if TYPE_CHECKING:
    import keras

    from flowers17.learners.examples import Examples

Phase = Literal["a", "b"]


@dataclass(frozen=True)
class FineTuning:
    """Which network, how, and the number of its seed, from 1."""

    network: FineTunedSettings
    seed_number: int = 1


@dataclass(frozen=True)
class _Way:
    """What of a phase depends on its recipe."""

    recipe: RecipeSettings
    augmentation: AugmentationName
    stores: bool
    mirrors: bool
    layer_decay: float = 1.0


def _way(settings: StudySettings, one: FineTunedSettings, phase: Phase) -> _Way:
    ours = settings.fine_tuning
    if one.recipe == "report":
        recipe = ours.phase_a if phase == "a" else ours.phase_b
        recipe = recipe.model_copy(update={"optimizer": one.head.optimizer})
        return _Way(recipe, "none", ours.activations == "stored", mirrors=False)
    recipe = ours.own_phase_a if phase == "a" else ours.own_phase_b
    recipe = recipe.model_copy(update={"optimizer": one.head.optimizer})
    decay = ours.own_layer_decay if phase == "b" else 1.0
    if ours.own_augmentation == "mirrored":
        return _Way(recipe, "none", stores=True, mirrors=True, layer_decay=decay)
    plain = ours.own_augmentation == "none"
    stores = plain and ours.activations == "stored"
    return _Way(recipe, ours.own_augmentation, stores, mirrors=False, layer_decay=decay)


def chooses(settings: StudySettings, one: FineTunedSettings) -> bool:
    """Return whether images outside the training part choose an epoch of either phase."""
    recipes = [_way(settings, one, phase).recipe for phase in get_args(Phase)]
    return any(recipe.selection == "val_loss" for recipe in recipes)


def stage(
    settings: StudySettings,
    places: Places,
    what: FineTuning,
    split: Stage,
    phase: Phase = "b",
    *,
    refit_of: Sequence[Stage] = (),
) -> Stage:
    """Return the stage of one phase on a split, or on a fold in the form of one.

    Phase B begins with the head of phase A. refit_of: phases B on folds; each phase is trained for
    the mean number of epochs that theirs found, instead of choosing one.
    Raises InvalidSettings for a block to unfreeze that the extractor has not, or for images too
    small for it.
    """
    one, ours = what.network, settings.fine_tuning
    way, device = _way(settings, one, phase), device_in(places)
    block = getattr(ours.unfrozen, one.maps.extractor) if phase == "b" else None
    weights_from = weights.source(settings, places, one.maps.extractor)
    inputs = {"split": split, **weights_from.inputs}
    inputs |= _seen(settings, places, one, block, way)
    if phase == "b":
        before = [one.inputs["phase-a"] for one in refit_of]
        inputs["phase-a"] = stage(settings, places, what, split, "a", refit_of=before)
    inputs |= trained.fold_inputs(refit_of)
    refit = " refit" if refit_of else ""
    seed = f", seed {what.seed_number}" if what.seed_number > 1 else ""
    return Stage.of(
        "finetuning",
        f"fine-tuning {one.name}{refit}, phase {phase}, {split.label}{seed}",
        "tasks.finetuning:build",
        {
            **features.described(settings, one.maps, weights_from),
            "image_size": features.pictured_size(settings, one.maps),
            "name": one.name,
            "maps": one.maps.name,
            "configuration": one.head.name,
            "head": one.head.model_dump(mode="json"),
            "units": ours.units,
            "phase": phase,
            "unfrozen_from": block,
            "layer_decay": way.layer_decay,
            "way": "stored" if way.stores else "computed",
            "augmentation": "mirrored" if way.mirrors else way.augmentation,
            "recipe_name": one.recipe,
            "recipe": way.recipe.model_dump(mode="json"),
            "seed_number": what.seed_number,
            **trained.computation(settings, device),
        },
        seed=settings.seed,
        inputs=inputs,
        resources=weights_from.resources,
        optional=weights_from.optional,
        **long_work("training", device),
    )


def _seen(
    settings: StudySettings,
    places: Places,
    one: FineTunedSettings,
    block: str | None,
    way: _Way,
) -> dict[str, Stage]:
    """Return what a phase is trained on: images, or stored activations below the block."""
    if not way.stores:
        return {"images": features.pictures(settings, one.maps)}
    if block is None:
        whole = one.maps.model_copy(update={"pooling": "flatten"})
        found = {"activations": features.stage(settings, places, whole)}
    else:
        found = {"activations": activations.stage(settings, places, one.maps, below=block)}
    if way.mirrors:
        found["mirrored"] = activations.stage(
            settings, places, one.maps, below=block, mirrored=True
        )
    return found


def build(job: Job) -> Mapping[str, Any]:
    """Train, and evaluate the kept epoch on the split's validation images."""
    from flowers17.learners.devices import prepare
    from flowers17.seeds import derived_seed

    config, split = job.config, job.inputs["split"]
    named = split.json("split")["name"]
    what = (config["name"], config["configuration"], named, config["seed_number"])
    seed = derived_seed(job.seed, "head", *what)
    prepare(config["device"], config["precision"], seed)
    # The backend reads the device when it is imported, which the modules below do.
    from flowers17.learners.fast_layers import accelerate
    from flowers17.learners.training import train
    from flowers17.transfer.fine_tuning import head_of, over_images

    examples, recipe = _examples(job), trained.recipe(job)
    lower, network, rates = _networks(job, examples, seed)
    if config["device"] == "cpu":
        accelerate(network, convolutions=config["convolutions"] == "winograd")
    model = over_images(lower, network, config["extractor"]) if lower else network
    n_parameters = extractor_facts(config["extractor"]).n_parameters
    n_parameters += int(head_of(network).count_params())
    described = {
        **{name: value for name, value in config.items() if name not in ("head", "weights")},
        **config["head"],
        "recipe": recipe.model_dump(mode="json"),
        "n_parameters": n_parameters,
        "n_trainable": sum(int(np.prod(one.shape)) for one in network.trainable_weights),
        "random_weights": config["weights"]["kind"] == "random",
    }
    watched = trained.Watched(job, recipe.epochs)
    done = train(
        model,
        examples,
        recipe,
        config["augmentation"] if lower else "none",
        seed=derived_seed(seed, "phase", config["phase"]),
        folder=job.unfinished,
        watch=watched.after_batch,
        after_epoch=watched.after_epoch,
        rates=rates,
    )
    proba = _probabilities(model, examples, recipe)
    return trained.publish(job, described, network, done, proba)


def _networks(
    job: Job, examples: "Examples", seed: int
) -> tuple["keras.Model | None", "keras.Model", tuple[float, ...]]:
    """Return the frozen part, None where what it gives is stored, the network to train, its rates.

    Phase B begins with phase A's head.
    """
    from flowers17.learners.stored import load
    from flowers17.transfer.fine_tuning import cut, head_of, network, rates_by_block

    config = job.config
    computes = config["way"] == "computed"
    lower = upper = None
    map_shape = tuple(examples.inputs.shape[1:])
    if computes or config["unfrozen_from"]:
        extractor = weights.extractor(job)
        map_shape = tuple(extractor.output_shape[1:])
        lower, upper = cut(extractor, config["extractor"], config["unfrozen_from"])
    made = network(
        upper,
        map_shape,
        examples.n_classes,
        pooling=config["pooling"],
        units=config["units"],
        head=HeadSettings.model_validate(config["head"]),
        seed=seed,
        name=config["extractor"],
    )
    if "phase-a" in job.inputs:
        load(head_of(made), job.inputs["phase-a"], "run finetune")
    rates: tuple[float, ...] = ()
    if config["layer_decay"] < 1:  # in phase B alone, which has an extractor
        block, decay = config["unfrozen_from"], config["layer_decay"]
        rates = rates_by_block(made, extractor, config["extractor"], block, decay=decay)
    return lower if computes else None, made, rates


def _examples(job: Job) -> "Examples":
    """Return what is trained on: images of the network's input size, or activations."""
    from flowers17.learners.examples import Examples
    from flowers17.transfer.extractors import resized

    split = job.inputs["split"]
    mirrored = None
    if job.config["way"] == "computed":
        inputs = resized(job.inputs["images"].array("images"), job.config["input_size"])
    else:
        inputs = _stored(job, "activations")
        mirrored = _stored(job, "mirrored") if "mirrored" in job.inputs else None
    return Examples(
        inputs,
        split.array("labels"),
        split.array("train"),
        split.array("validation"),
        len(split.json("classes")),
        mirrored,
    )


def _stored(job: Job, role: str) -> np.ndarray:
    """Return activations float32 (n, h, w, c), of either stage that has them."""
    artifact = job.inputs[role]
    if artifact.reference.stage == "activations":
        return artifact.array("activations")
    flat = artifact.array("features")
    return flat.reshape(len(flat), *artifact.json("extractor")["map_shape"])


def _probabilities(
    model: "keras.Model", examples: "Examples", recipe: RecipeSettings
) -> np.ndarray:
    """Return class probabilities of all images, float32 (n, n_classes)."""
    from flowers17.learners.evaluation import probabilities

    if examples.mirrored is None:
        flips = recipe.flips_at_test and examples.are_images
        return probabilities(model, examples.inputs, flips=flips)
    found = probabilities(model, examples.inputs)
    if not recipe.flips_at_test:
        return found
    return (found + probabilities(model, examples.mirrored)) / np.float32(2)
