"""Stage `finetuning`: one phase of a network on one split; resumes from its last epoch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from flowers17.backbones.facts import backbone_of
from flowers17.config import (
    FineTunedSettings,
    HeadSettings,
    RecipeSettings,
    RunOptions,
    StudySettings,
)
from flowers17.learners.devices import device_in
from flowers17.stages import Job, Stage
from tasks import activations, features, network_training, weights
from tasks.long_work import long_work

if TYPE_CHECKING:
    import keras

    from flowers17.learners.examples import Examples

Phase = Literal["a", "b"]


class FineTuning(NamedTuple):
    """A network to fine-tune, and the number of its seed, from 1."""

    network: FineTunedSettings
    seed_number: int = 1


def _recipe(settings: StudySettings, network: FineTunedSettings, phase: Phase) -> RecipeSettings:
    """Recipe of a phase: the study's or our own, with the optimizer of the head."""
    name = f"own_phase_{phase}" if network.recipe == "best" else f"phase_{phase}"
    recipe: RecipeSettings = getattr(settings.fine_tuning, name)
    return recipe.model_copy(update={"optimizer": network.head.optimizer})


def selects_epoch(settings: StudySettings, network: FineTunedSettings) -> bool:
    """Whether validation images select the epoch of either phase."""
    recipes = (_recipe(settings, network, phase) for phase in get_args(Phase))
    return any(recipe.selection == "val_loss" for recipe in recipes)


def stage(
    settings: StudySettings,
    options: RunOptions,
    fine_tuning: FineTuning,
    split: Stage,
    phase: Phase = "b",
    *,
    refit_of: Sequence[Stage] = (),
) -> Stage:
    """Stage of a phase on a split or on a fold, which has the form of a split.

    Phase B starts from the head of phase A. refit_of: phases B on folds; each phase of the refit
    trains for the mean of the best epochs on the folds.
    Raises InvalidSettings for an unknown block to unfreeze, or images too small for the extractor.
    """
    network, tuning = fine_tuning.network.in_phase(phase), settings.fine_tuning
    default = {"extractor_norms"} if network == network.in_phase("a") else None
    device, extractor = device_in(options), network.maps.extractor
    is_own = network.recipe == "best"
    augmentation = tuning.own_augmentation if is_own else "none"
    is_stored = augmentation == "none" and tuning.activations == "stored"
    is_stored |= augmentation == "mirrored"
    block, facts = None, backbone_of(extractor).facts
    if phase == "b":
        block = tuning.unfrozen.of(extractor)
        block = facts.cuts.name_of(extractor, block) if facts else block
    weights_from = weights.source(settings, options, network.maps)
    inputs = {"split": split, **weights_from.inputs}
    if not is_stored:
        inputs["images"] = features.image_stage(settings, network.maps)
    elif block is None:
        unpooled = network.maps.model_copy(update={"pooling": "flatten"})
        inputs["activations"] = features.stage(settings, options, unpooled)
    else:
        inputs["activations"] = activations.stage(settings, options, network.maps, below=block)
    if augmentation == "mirrored":
        inputs["mirrored"] = activations.stage(
            settings, options, network.maps, below=block, mirrored=True
        )
    if phase == "b":
        phase_a_folds = [fold.inputs["phase-a"] for fold in refit_of]
        inputs["phase-a"] = stage(
            settings, options, fine_tuning, split, "a", refit_of=phase_a_folds
        )
    inputs |= network_training.fold_inputs(refit_of)
    refit = " refit" if refit_of else ""
    seed = f", seed {fine_tuning.seed_number}" if fine_tuning.seed_number > 1 else ""
    return Stage.of(
        "finetuning",
        f"fine-tuning {network.name}{refit}, phase {phase}, {split.label}{seed}",
        config={
            **features.configuration(settings, network.maps, weights_from),
            "image_size": features.image_size(settings, network.maps),
            "name": network.name,
            "maps": network.maps.name,
            "configuration": network.head.name,
            "head": network.head.model_dump(mode="json", exclude=default),
            "units": tuning.units,
            "phase": phase,
            "unfrozen_from": block,
            "layer_decay": tuning.own_layer_decay if is_own and phase == "b" else 1.0,
            "activations": "stored" if is_stored else "computed",
            "augmentation": augmentation,
            "recipe_name": network.recipe,
            "recipe": _recipe(settings, network, phase).model_dump(mode="json"),
            "seed_number": fine_tuning.seed_number,
            **network_training.computation(settings, device),
        },
        seed=settings.seed,
        inputs=inputs,
        resources=weights_from.resources,
        **long_work("training", device),
    )


def build(job: Job) -> Mapping[str, Any]:
    """Train, and evaluate the best epoch on the split's validation images."""
    from flowers17.learners.devices import prepare
    from flowers17.seeds import derived_seed

    config, split = job.config, job.inputs["split"]
    split_name = split.json("split")["name"]
    # Of phase A, which both modes of the extractor's norms share, so that they draw alike.
    base = job.inputs["phase-a"].json("result") if "phase-a" in job.inputs else config
    identity = (base["name"], base["configuration"], split_name, config["seed_number"])
    seed = derived_seed(job.seed, "head", *identity)
    prepare(config["device"], config["precision"], seed)
    # The backend reads the device at import, and the modules below import it.
    from flowers17.learners.fast_layers import accelerate
    from flowers17.learners.training import train
    from flowers17.transfer.fine_tuning import image_network

    examples, recipe = _examples(job), network_training.recipe(job)
    lower, network, rates, n_parameters = _networks(job, examples, seed)
    if config["device"] == "cpu":
        accelerate(network, convolutions=config["convolutions"] == "winograd")
    model = image_network(lower, network, config["extractor"]) if lower else network
    n_parameters += int(network.get_layer("head").count_params())
    configuration = {
        **{name: value for name, value in config.items() if name not in ("head", "weights")},
        **config["head"],
        "recipe": recipe.model_dump(mode="json"),
        "n_parameters": n_parameters,
        "n_trainable": sum(int(np.prod(weight.shape)) for weight in network.trainable_weights),
        "random_weights": config["weights"]["kind"] == "random",
    }
    progress = network_training.TrainingProgress(job, recipe.epochs)
    result = train(
        model,
        examples,
        recipe,
        config["augmentation"] if lower else "none",
        seed=derived_seed(seed, "phase", config["phase"]),
        folder=job.unfinished,
        after_batch=progress.after_batch,
        after_epoch=progress.after_epoch,
        rates=rates,
    )
    proba = _probabilities(model, examples, recipe)
    return network_training.publish(job, configuration, network, result, proba)


def _networks(
    job: Job, examples: "Examples", seed: int
) -> tuple["keras.Model | None", "keras.Model", tuple[float, ...], int]:
    """Frozen part, or None if its activations are stored; trainable network; learning rates.

    And the number of the extractor's parameters.

    Phase B starts from phase A's head.
    """
    from flowers17.learners.networks import load_weights
    from flowers17.transfer.fine_tuning import cut, rates_by_block, trainable_network

    config = job.config
    head = HeadSettings.model_validate(config["head"])
    computes = config["activations"] == "computed"
    lower = upper = None
    map_shape = tuple(examples.inputs.shape[1:])
    if computes or config["unfrozen_from"]:
        extractor = weights.extractor(job)
        map_shape = tuple(extractor.output_shape[1:])
        n_parameters = extractor.count_params()
        block, norms = config["unfrozen_from"], head.extractor_norms
        lower, upper = cut(extractor, config["extractor"], block, norms=norms)
    else:
        n_parameters = job.inputs["activations"].json("extractor")["n_values"]
    trainable = trainable_network(
        upper,
        map_shape,
        examples.n_classes,
        pooling=config["pooling"],
        units=config["units"],
        head=head,
        seed=seed,
        name=config["extractor"],
    )
    if "phase-a" in job.inputs:
        load_weights(trainable.get_layer("head"), job.inputs["phase-a"], "run finetune")
    rates: tuple[float, ...] = ()
    if config["layer_decay"] < 1:  # in phase B alone, which has an extractor
        decay = config["layer_decay"]
        rates = rates_by_block(trainable, extractor, config["extractor"], block, decay=decay)
    return lower if computes else None, trainable, rates, n_parameters


def _examples(job: Job) -> "Examples":
    """Training inputs: images of the network's input size, or activations."""
    from flowers17.transfer.extractors import resized

    if job.config["activations"] == "computed":
        images = job.inputs["images"].array("images")
        return network_training.examples(job, resized(images, job.config["input_size"]))
    mirrored = _stored(job, "mirrored") if "mirrored" in job.inputs else None
    return network_training.examples(job, _stored(job, "activations"), mirrored)


def _stored(job: Job, role: str) -> np.ndarray:
    """Activations float32 (n, h, w, c), from the stage `activations` or `features`."""
    artifact = job.inputs[role]
    if artifact.reference.stage == "activations":
        return artifact.array("activations")
    rows = artifact.array("features")
    return rows.reshape(len(rows), *artifact.json("extractor")["map_shape"])


def _probabilities(
    model: "keras.Model", examples: "Examples", recipe: RecipeSettings
) -> np.ndarray:
    """Class probabilities of all images: float32 (n, n_classes)."""
    from flowers17.learners.evaluation import probabilities

    if examples.mirrored is None:
        flips = recipe.flips_at_test and examples.are_images
        return probabilities(model, examples.inputs, flips=flips)
    proba = probabilities(model, examples.inputs)
    if not recipe.flips_at_test:
        return proba
    return (proba + probabilities(model, examples.mirrored)) / np.float32(2)
