"""Stage `training`: one learner, trained on one split; resumes from its last epoch."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowers17.config import (
    AugmentationName,
    LearnerDefinition,
    MemberSettings,
    Places,
    RecipeSettings,
    StudySettings,
)
from flowers17.digests import file_sha256
from flowers17.errors import InvalidSettings
from flowers17.learners.devices import device_in
from flowers17.learners.networks import Builder, builder_of, check_size
from flowers17.stages import Job, Stage
from tasks import trained
from tasks.long_work import long_work


@dataclass(frozen=True)
class Training:
    """Which learner, and how."""

    learner: str
    augmentation: AugmentationName
    recipe_name: str
    recipe: RecipeSettings

    @property
    def name(self) -> str:
        """How people call it, e.g. `mk-2 wide`."""
        how = self.recipe_name if self.recipe_name == "best" else self.augmentation
        return self.learner if how == "none" else f"{self.learner} {how}"


def as_in_the_study(
    settings: StudySettings, learner: str, augmentation: AugmentationName
) -> Training:
    """Return a training by the study's recipe, which is longer under augmentation."""
    ours = settings.learners
    longer = ours.recipe.model_copy(update={"epochs": ours.augmented_epochs})
    recipe = ours.recipe if augmentation == "none" else longer
    return Training(learner, augmentation, "report", recipe)


def by_our_recipe(settings: StudySettings, learner: str) -> Training:
    """Return a training by our own recipe."""
    ours = settings.learners
    return Training(learner, ours.best_augmentation, "best", ours.best_recipe)


def of_member(settings: StudySettings, member: MemberSettings) -> Training:
    """Return the training of an ensemble's network."""
    learner = str(member.learner)
    if member.recipe == "best":
        return by_our_recipe(settings, learner)
    return as_in_the_study(settings, learner, member.augmentation)


def stage(
    settings: StudySettings,
    places: Places,
    one: Training,
    images: Stage,
    split: Stage,
    *,
    refit_of: Sequence[Stage] = (),
) -> Stage:
    """Return the stage of one training, on a split or on a fold in the form of one.

    refit_of: trainings on folds, whose mean number of epochs it is trained for, instead of
    choosing one on images that are to choose nothing. Raises InvalidInput and InvalidSettings for
    a learner that cannot be trained on images of the settings' size.
    """
    device = device_in(places)
    definition = builder_of(one.learner, settings.learners.definitions)
    _check_sizes(one, definition, settings.dataset.image_size)
    resources = {"tensorboard": str(places.tensorboard)} if places.tensorboard else {}
    return Stage.of(
        "training",
        f"{one.name}{' refit' if refit_of else ''}, {split.label}",
        "tasks.adversarial_training:build" if one.recipe.adversary else "tasks.training:build",
        {
            "learner": one.learner,
            "definition": _identity(one.learner, definition),
            "augmentation": one.augmentation,
            "recipe_name": one.recipe_name,
            "recipe": one.recipe.model_dump(mode="json"),
            **trained.computation(settings, device),
        },
        seed=settings.seed,
        inputs={"images": images, "split": split, **trained.fold_inputs(refit_of)},
        resources=resources,
        **long_work("training", device),
    )


def _check_sizes(one: Training, found: LearnerDefinition | Builder, size: int) -> None:
    """Refuse before anything runs what would be refused hours later, when its turn comes."""
    check_size(one.learner, found, size, size)
    if isinstance(found, LearnerDefinition) and set(one.recipe.resolutions) != {1.0}:
        parts = ", ".join(f"{part:g}" for part in one.recipe.resolutions)
        raise InvalidSettings(
            f"learner {one.learner}: expected a recipe of one image size, since its head reads "
            f"a flattened map, got resolutions {parts}; set `resolutions` of its recipe to [1.0], "
            "or choose `residual`"
        )


def _identity(name: str, found: object) -> Any:
    """Return what decides a learner's network and is not code of ours, as JSON."""
    if isinstance(found, LearnerDefinition):
        return found.model_dump(mode="json")
    module = name.partition(":")[0]
    spec = importlib.util.find_spec(module) if ":" in name else None
    return {"sha256": file_sha256(Path(spec.origin))} if spec and spec.origin else None


def build(job: Job, adversary: Callable[..., Any] | None = None) -> Mapping[str, Any]:
    """Train, and evaluate the kept epoch on the split's validation images.

    adversary: called with the model, the recipe's adversary and the seed; returns a perturbation.
    """
    from flowers17.learners.devices import prepare
    from flowers17.seeds import derived_seed

    config, split = job.config, job.inputs["split"]
    what = (config["learner"], config["augmentation"], config["recipe_name"])
    seed = derived_seed(job.seed, "learner", *what, split.json("split")["name"])
    prepare(config["device"], config["precision"], seed)
    # The backend reads the device when it is imported, which the modules below do.
    from flowers17.learners.description import layer_table, n_operations
    from flowers17.learners.evaluation import probabilities
    from flowers17.learners.fast_layers import accelerate
    from flowers17.learners.networks import build as network
    from flowers17.learners.training import Examples, train

    images = job.inputs["images"].array("images")
    labels, validation = split.array("labels"), split.array("validation")
    n_classes, size = len(split.json("classes")), images.shape[1]
    recipe = trained.recipe(job)
    definition = config["definition"] or {}
    own = (LearnerDefinition.model_validate(definition),) if "blocks" in definition else ()
    any_size = set(recipe.resolutions) != {1.0}
    model = network(
        config["learner"],
        (None, None, 3) if any_size else (size, size, 3),
        n_classes,
        definitions=own,
        seed=seed,
    )
    # Before the long part, since it is refused for images that are too small.
    sized = network(config["learner"], (size, size, 3), n_classes, definitions=own)
    layers, operations = layer_table(sized), n_operations(sized)
    del sized
    if config["device"] == "cpu":
        accelerate(model, convolutions=config["convolutions"] == "winograd")
    watched = trained.Watched(job, recipe.epochs)
    done = train(
        model,
        Examples(images, labels, split.array("train"), validation, n_classes),
        recipe,
        config["augmentation"],
        seed=seed,
        folder=job.unfinished,
        watch=watched.after_batch,
        after_epoch=watched.after_epoch,
        perturb=adversary(model, recipe.adversary, seed) if adversary else None,
    )
    described = {
        **{name: value for name, value in config.items() if name != "definition"},
        "recipe": recipe.model_dump(mode="json"),
        "n_parameters": int(model.count_params()),
        "n_operations": operations,
        "image_size": size,
    }
    job.save_json("layers", layers)
    proba = probabilities(model, images, flips=recipe.flips_at_test)
    return trained.publish(job, described, model, done, proba)
