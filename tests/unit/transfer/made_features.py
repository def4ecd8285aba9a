"""Synthetic features: few rows, many columns, classes that overlap a little."""

from dataclasses import dataclass

import numpy as np

from flowers17.data.splits import Split


@dataclass(frozen=True)
class FeatureCase:
    """Feature maps of one set of images, labels and splits."""

    maps: list[np.ndarray]
    labels: np.ndarray
    splits: list[Split]


def feature_case(
    *, n_classes: int = 5, n_each: int = 16, widths: tuple[int, ...] = (600,)
) -> FeatureCase:
    """Feature maps like those of rectified units, with most columns zero, and two splits."""
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(n_classes), n_each)
    maps = []
    for width in widths:
        centres = rng.standard_normal((n_classes, width)) * 0.6
        noise = rng.standard_normal((len(labels), width)) * 2
        maps.append(np.maximum(centres[labels] + noise - 0.5, 0).astype(np.float32))
    splits = []
    for name in ("report", "clean"):
        order = np.concatenate(
            [rng.permutation(np.flatnonzero(labels == label)) for label in range(n_classes)]
        ).reshape(n_classes, n_each)
        validation_rows, train_rows = (
            order[:, : n_each // 4].ravel(),
            order[:, n_each // 4 :].ravel(),
        )
        splits.append(Split(name, name, 1, np.sort(train_rows), np.sort(validation_rows)))  # type: ignore[arg-type]
    return FeatureCase(maps, labels, splits)
