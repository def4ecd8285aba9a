"""Stage `training`: training of one learner on one split; resumes from its last epoch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowers17.config import (
    AdversarySettings,
    AugmentationName,
    LearnerDefinition,
    MemberSettings,
    RecipeSettings,
    RunOptions,
    StudySettings,
)
from flowers17.digests import file_sha256
from flowers17.errors import InvalidSettings
from flowers17.learners.devices import device_in
from flowers17.learners.networks import check_size, known_builder
from flowers17.learners.own_modules import check_function
from flowers17.stages import Job, Stage
from tasks import network_training
from tasks.long_work import long_work


def augmentation_and_recipe(
    settings: StudySettings, network: MemberSettings
) -> tuple[AugmentationName, RecipeSettings]:
    """How a network from scratch is trained: as in the study, or by the recipe `best`.

    The study's recipe has more epochs under augmentation.
    """
    learners = settings.learners
    if network.recipe == "best":
        return learners.best_augmentation, learners.best_recipe
    if network.augmentation == "none":
        return "none", learners.recipe
    longer = learners.recipe.model_copy(update={"epochs": learners.augmented_epochs})
    return network.augmentation, longer


def stage(
    settings: StudySettings,
    options: RunOptions,
    network: MemberSettings,
    images: Stage,
    split: Stage,
    *,
    adversary: AdversarySettings | None = None,
    refit_of: Sequence[Stage] = (),
) -> Stage:
    """Stage of a training on a split or on a fold, which has the form of a split.

    network: from scratch. adversary: its examples are in every batch, if there is one.
    refit_of: trainings on folds; the refit trains for the mean of their best epochs, since its
    held-out images may not select an epoch. Raises InvalidInput and InvalidSettings for a learner
    that cannot be trained on images of the settings' size.
    """
    learner, device = str(network.learner), device_in(options)
    augmentation, recipe = augmentation_and_recipe(settings, network)
    adversary = adversary or recipe.adversary
    definition = known_builder(learner, settings.learners.definitions)
    # Raised before the run starts, since the stage itself may start hours later.
    size = settings.dataset.image_size
    check_size(learner, definition, size, size)
    if isinstance(definition, LearnerDefinition) and set(recipe.resolutions) != {1.0}:
        shares = ", ".join(f"{share:g}" for share in recipe.resolutions)
        raise InvalidSettings(
            f"learner {learner}: expected a recipe of one image size, since its head "
            f"reads a flattened map, got resolutions {shares}; set `resolutions` of its recipe to "
            "[1.0], or choose `residual`"
        )
    # Of the network: its definition, or the digest of a user's own module, which is not run.
    identity: Any = None if definition else {"sha256": file_sha256(check_function(learner))}
    if isinstance(definition, LearnerDefinition):
        identity = definition.model_dump(mode="json")
    resources = {"tensorboard": str(options.tensorboard)} if options.tensorboard else {}
    return Stage.of(
        "training",
        f"{network.name}{' refit' if refit_of else ''}, {split.label}",
        "tasks.adversarial_training:build" if adversary else "tasks.training:build",
        {
            "learner": learner,
            "definition": identity,
            "augmentation": augmentation,
            "recipe_name": network.recipe,
            "recipe": recipe.model_copy(update={"adversary": adversary}).model_dump(mode="json"),
            **network_training.computation(settings, device),
        },
        seed=settings.seed,
        inputs={"images": images, "split": split, **network_training.fold_inputs(refit_of)},
        resources=resources,
        **long_work("training", device),
    )


def build(job: Job, adversary: Callable[..., Any] | None = None) -> Mapping[str, Any]:
    """Train, and evaluate the best epoch on the split's validation images.

    adversary: called with the model, the recipe's adversary and the seed; returns a perturbation.
    """
    from flowers17.learners.devices import prepare
    from flowers17.seeds import derived_seed

    config, split = job.config, job.inputs["split"]
    identity = (config["learner"], config["augmentation"], config["recipe_name"])
    seed = derived_seed(job.seed, "learner", *identity, split.json("split")["name"])
    prepare(config["device"], config["precision"], seed)
    # The backend reads the device at import, and the modules below import it.
    from flowers17.learners.evaluation import probabilities
    from flowers17.learners.fast_layers import accelerate
    from flowers17.learners.networks import build as network
    from flowers17.learners.networks import layer_table, n_operations
    from flowers17.learners.training import train

    images = job.inputs["images"].array("images")
    n_classes, size = len(split.json("classes")), images.shape[1]
    recipe = network_training.recipe(job)
    definition = config["definition"] or {}
    definitions = (LearnerDefinition.model_validate(definition),) if "blocks" in definition else ()
    takes_any_size = set(recipe.resolutions) != {1.0}
    model = network(
        config["learner"],
        (None, None, 3) if takes_any_size else (size, size, 3),
        n_classes,
        definitions=definitions,
        seed=seed,
    )
    # Before training, since building raises if the images are too small.
    fixed_size_model = network(
        config["learner"], (size, size, 3), n_classes, definitions=definitions
    )
    layers, operations = layer_table(fixed_size_model), n_operations(fixed_size_model)
    del fixed_size_model
    if config["device"] == "cpu":
        accelerate(model, convolutions=config["convolutions"] == "winograd")
    progress = network_training.TrainingProgress(job, recipe.epochs)
    result = train(
        model,
        network_training.examples(job, images),
        recipe,
        config["augmentation"],
        seed=seed,
        folder=job.unfinished,
        after_batch=progress.after_batch,
        after_epoch=progress.after_epoch,
        perturb=adversary(model, recipe.adversary, seed) if adversary else None,
    )
    details = {
        **{name: value for name, value in config.items() if name != "definition"},
        "recipe": recipe.model_dump(mode="json"),
        "n_parameters": int(model.count_params()),
        "n_operations": operations,
        "image_size": size,
    }
    job.save_json("layers", layers)
    proba = probabilities(model, images, flips=recipe.flips_at_test)
    return network_training.publish(job, details, model, result, proba)
