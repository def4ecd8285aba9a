"""Inputs and labels of a training, and their check against model and recipe."""

import hashlib
from dataclasses import dataclass

import keras
import numpy as np

from flowers17.config import AugmentationName, RecipeSettings
from flowers17.errors import InvalidInput, InvalidSettings


@dataclass(frozen=True)
class Examples:
    """Inputs and labels of a training.

    inputs: the whole data set: images, uint8 (n, size, size, 3), or activations of a frozen
    network, float32 (n, …). labels: int (n,) in 0..n_classes-1. train, validation: row indices of
    the two parts, int, disjoint. mirrored: activations of the mirrored images, as `inputs`; each
    epoch draws at random which of the two it uses for an image. class_weight: `balanced` lets every
    class count alike in the losses; None: every image.
    """

    inputs: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    n_classes: int
    mirrored: np.ndarray | None = None
    class_weight: str | None = None

    @property
    def are_images(self) -> bool:
        """Whether the inputs are images rather than activations."""
        return bool(self.inputs.dtype == np.uint8)

    def class_weights(self) -> np.ndarray | None:
        """Weight of a training image by its class, float32 (n_classes,); None: all count alike."""
        if not self.class_weight:
            return None
        from sklearn.utils.class_weight import compute_class_weight  # slow to import

        labels, classes = self.labels[self.train], np.arange(self.n_classes)
        weights = compute_class_weight(self.class_weight, classes=classes, y=labels)
        return np.asarray(weights, np.float32)

    def digests(self) -> dict[str, str]:
        """SHA-256 of each array."""
        return {
            name: hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
            for name, array in vars(self).items()
            if isinstance(array, np.ndarray)
        }


def check_examples(
    model: keras.Model, examples: Examples, recipe: RecipeSettings, augmentation: AugmentationName
) -> None:
    """Raise InvalidInput or InvalidSettings if model, examples and recipe don't fit together."""
    if examples.are_images:
        _check_images(model, examples, recipe)
    else:
        _check_activations(model, examples, recipe, augmentation)
    _check_parts(examples, recipe)
    if recipe.batch_size > len(examples.train):
        raise InvalidSettings(
            f"batch_size: expected at most the {len(examples.train)} training images, got "
            f"{recipe.batch_size}; lower it in the recipe of this training (learners.recipe, "
            "learners.best_recipe, or a phase's in fine_tuning), or add images"
        )
    if model.output_shape[-1] != examples.n_classes:
        raise InvalidInput(
            f"{model.name}: expected {examples.n_classes} outputs, got {model.output_shape[-1]}"
        )


def _check_images(model: keras.Model, examples: Examples, recipe: RecipeSettings) -> None:
    images = examples.inputs
    n_images, size = images.shape[:2] if images.ndim == 4 else (0, 0)
    if images.shape != (n_images, size, size, 3) or not n_images:
        raise InvalidInput(
            "images: expected uint8 (n, size, size, 3), at least one, got "
            f"{images.dtype} {images.shape}"
        )
    if examples.mirrored is not None:
        raise InvalidInput(
            "mirrored: expected none beside images, got one; flips are an augmentation of theirs"
        )
    input_size = model.input_shape[1]
    if input_size is not None and (input_size != size or set(recipe.resolutions) != {1.0}):
        raise InvalidSettings(
            f"{model.name}: expected images of {input_size} pixels at every epoch, got "
            f"{size} at resolutions {recipe.resolutions}; this learner takes one size"
        )
    smallest = max(1, round(min(recipe.resolutions) * size))
    try:
        model.compute_output_shape((1, smallest, smallest, 3))
    except ValueError as problem:
        raise InvalidSettings(
            f"{model.name}: expected images large enough for its pools at every epoch, got "
            f"{smallest} pixels at resolution {min(recipe.resolutions)}; raise one"
        ) from problem


def _check_activations(
    model: keras.Model, examples: Examples, recipe: RecipeSettings, augmentation: AugmentationName
) -> None:
    inputs, input_shape = examples.inputs, tuple(model.input_shape[1:])
    if inputs.dtype != np.float32 or inputs.shape[1:] != input_shape or not len(inputs):
        raise InvalidInput(
            "inputs: expected uint8 images, or float32 activations "
            f"(n, {', '.join(map(str, input_shape))}) as {model.name} takes them, got "
            f"{inputs.dtype} {inputs.shape}"
        )
    mirrored = examples.mirrored
    if mirrored is not None and (mirrored.dtype, mirrored.shape) != (inputs.dtype, inputs.shape):
        raise InvalidInput(
            f"mirrored: expected float32 {inputs.shape} as the inputs, got {mirrored.dtype} "
            f"{mirrored.shape}"
        )
    if augmentation != "none" or set(recipe.resolutions) != {1.0}:
        raise InvalidSettings(
            "activations: expected no augmentation and one resolution, since the images are not "
            f"seen again, got {augmentation!r} and {recipe.resolutions}; train the whole network "
            "for those"
        )


def _check_parts(examples: Examples, recipe: RecipeSettings) -> None:
    labels, n_images = examples.labels, len(examples.inputs)
    if labels.shape != (n_images,) or labels.dtype.kind not in "iu":
        raise InvalidInput(f"labels: expected int ({n_images},), got {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() >= examples.n_classes:
        raise InvalidInput(
            f"labels: expected 0 to {examples.n_classes - 1}, got {labels.min()} to {labels.max()}"
        )
    for name in ("train", "validation"):
        rows = getattr(examples, name)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise InvalidInput(f"{name}: expected rows, int (n,), got {rows.dtype} {rows.shape}")
        if not len(rows) or rows.min() < 0 or rows.max() >= n_images:
            raise InvalidInput(
                f"{name}: expected rows of {n_images} images, at least one, got "
                + (f"{rows.min()} to {rows.max()}" if len(rows) else "none")
            )
    shared = np.intersect1d(examples.train, examples.validation)
    # Trained on all images for a number of epochs, it has none left to validate, nor to choose by.
    is_of_all = len(shared) == len(examples.validation) and recipe.selection == "last"
    if len(shared) and not is_of_all:
        raise InvalidInput(
            f"train and validation: expected no image in both, got {len(shared)}, the first "
            f"{shared[0]}"
        )
