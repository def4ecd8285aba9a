"""What a training sees, and whether model, recipe and examples fit together."""

import hashlib
from dataclasses import dataclass

import keras
import numpy as np

from flowers17.config import RecipeSettings
from flowers17.errors import InvalidInput, InvalidSettings


@dataclass(frozen=True)
class Examples:
    """What a training sees.

    images: uint8 (n, size, size, 3), the whole data set. labels: int (n,) in 0..n_classes-1.
    train, validation: rows of the two parts, int, none in both.
    """

    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    n_classes: int

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each array."""
        arrays = {name: one for name, one in vars(self).items() if isinstance(one, np.ndarray)}
        return {
            name: hashlib.sha256(np.ascontiguousarray(one).data).hexdigest()
            for name, one in arrays.items()
        }


def check(model: keras.Model, examples: Examples, recipe: RecipeSettings) -> None:
    """Raise InvalidInput or InvalidSettings if model, examples and recipe don't fit together."""
    images, labels = examples.images, examples.labels
    n_images, size = images.shape[:2] if images.ndim == 4 else (0, 0)
    if images.dtype != np.uint8 or images.shape != (n_images, size, size, 3) or not n_images:
        raise InvalidInput(
            "images: expected uint8 (n, size, size, 3), at least one, got "
            f"{images.dtype} {images.shape}"
        )
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise InvalidInput(
            f"labels: expected int ({len(images)},), got {labels.dtype} {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= examples.n_classes:
        raise InvalidInput(
            f"labels: expected 0 to {examples.n_classes - 1}, got {labels.min()} to {labels.max()}"
        )
    for name in ("train", "validation"):
        rows = getattr(examples, name)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise InvalidInput(f"{name}: expected rows, int (n,), got {rows.dtype} {rows.shape}")
        if not len(rows) or rows.min() < 0 or rows.max() >= len(images):
            raise InvalidInput(
                f"{name}: expected rows of {len(images)} images, at least one, got "
                + (f"{rows.min()} to {rows.max()}" if len(rows) else "none")
            )
    both = np.intersect1d(examples.train, examples.validation)
    if len(both):
        raise InvalidInput(
            f"train and validation: expected no image in both, got {len(both)}, the first {both[0]}"
        )
    if recipe.batch_size > len(examples.train):
        raise InvalidSettings(
            f"batch_size: expected at most the {len(examples.train)} training images, got "
            f"{recipe.batch_size}; lower it"
        )
    taken = model.input_shape[1]
    if taken is not None and (taken != size or set(recipe.resolutions) != {1.0}):
        raise InvalidSettings(
            f"{model.name}: expected images of {taken} pixels at every epoch, got "
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
    if model.output_shape[-1] != examples.n_classes:
        raise InvalidInput(
            f"{model.name}: expected {examples.n_classes} outputs, got {model.output_shape[-1]}"
        )
