"""What a store says of a model's predictions: the images that measured it, and likeness to them.

A model names a class for any image, a plain blue square included. How far the image is from the
nearest training image, held against the same distance of images that were held out, tells whether
the answer means anything. It is measured by the features that a model reads, and by colours and
edges, since features of random weights tell little: at most 2 % of images like the held-out ones
are called unlike. Source: Sun et al. 2022, arXiv:2204.06507; the share is a conformal p-value
(Laxhammar & Falkman 2011).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.ensemble.calibration import temperature, tempered
from flowers17.learners.images import resized
from flowers17.manifests import by_id, family
from flowers17.prediction.catalogue import refitted_scheme
from flowers17.prediction.models import Loader, Model
from flowers17.prediction.pictures import Block
from flowers17.small_data.conformal import class_thresholds, prediction_sets
from flowers17.transfer.rowspace import one_thread, side_by_side

UNLIKE_SHARE = 0.01
N_NEAREST = 6
FEATURES, COLOURS = "the features that the model reads", "colours and edges"
_SIDE, _LEVELS, _ANGLES = 32, 4, 8
_CONTRASTS = (0.01, 0.03, 0.06, 0.12, 0.25)  # between neighbours, of values from 0 to 1


@dataclass(frozen=True)
class HeldOut:
    """Validation images of a model, their labels and the model's stored probabilities.

    rows: of the data set, int64 (n,). labels: int64 (n,). proba: float (n, c); an ensemble's are
    those of its refitted members, calibrated. train, train_labels: those that what was measured was
    trained on.
    """

    rows: np.ndarray
    labels: np.ndarray
    proba: np.ndarray
    train: np.ndarray
    train_labels: np.ndarray


def held_out(artifact: Artifact, loader: Loader) -> HeldOut | None:
    """Stored predictions of the images that measured a model; None if its split is not known.

    A model fitted on all images was measured by others of its kind, whose predictions these are.
    """
    inputs = artifact.manifest["inputs"]
    measured = artifact.json("result").get("measured")
    if measured and "fold-01" in inputs:
        return held_out(loader.artifact(inputs["fold-01"]), loader)
    if measured:
        measures = loader.artifact(inputs["measures"])
        splits = loader.artifact(measures.manifest["inputs"]["splits"])
        labels, name = splits.array("labels"), measured["split"]
        [(rows, train)] = [
            (np.array(split["validation"], np.int64), np.array(split["train"], np.int64))
            for split in splits.json("splits")["splits"]
            if split["name"] == name
        ]
        proba = measures.array(f"{name}-proba")
        return HeldOut(rows, labels[rows], proba, train, labels[train])
    return own_predictions(artifact, loader)


def own_predictions(artifact: Artifact, loader: Loader) -> HeldOut | None:
    """A model's own stored predictions of the images that measured it; None as in `held_out`.

    They are no measure of a model that was fitted on all images, these among them.
    """
    inputs = artifact.manifest["inputs"]
    if artifact.reference.stage == "stacking":
        out_of_fold = loader.artifact(inputs["out_of_fold"])
        rows, scheme = out_of_fold.array("validation"), refitted_scheme(artifact.json("result"))
        proba = artifact.array(f"{scheme['method']}-{scheme['by']}-proba")
        train, labels = out_of_fold.array("folds") >= 0, out_of_fold.array("labels")
        calibrated = tempered(proba, scheme["temperature"])
        return HeldOut(rows, labels[rows], calibrated, np.flatnonzero(train), labels[train])
    if "split" not in inputs:
        return None
    split = loader.artifact(inputs["split"])
    rows, train, labels = (split.array(name) for name in ("validation", "train", "labels"))
    return HeldOut(rows, labels[rows], artifact.array("proba")[rows], train, labels[train])


def images_of(artifact: Artifact, loader: Loader) -> dict[int, np.ndarray]:
    """The data set's images from which a model was made: uint8 (n, s, s, 3), by side s."""
    origins = family(artifact.manifest, by_id(loader.store.manifests()))
    artifacts = {
        manifest["material"]["config"]["size"]: loader.artifact(manifest)
        for manifest in origins
        if manifest["stage"] == "images"
    }
    return {size: images.mapped("images") for size, images in artifacts.items()}


@dataclass(frozen=True)
class Neighbour:
    """A training image: its row in the data set, its label, and how far it is, from 0 to √2."""

    row: int
    label: int
    distance: float


@dataclass(frozen=True)
class Likeness:
    """Nearest training images of an image, and how unusual its distance from them is.

    nearest: the nearest first, by the features of a model that reads some. share: of the n_held_out
    held-out images, those at least as far from their nearest training image, by `basis`: features,
    or colours and edges, whichever has the smaller share.
    """

    nearest: tuple[Neighbour, ...]
    share: float
    n_held_out: int
    basis: str

    @property
    def is_unlike(self) -> bool:
        """Whether it is farther from all training images than 99 % of the held-out images."""
        return self.share < UNLIKE_SHARE

    @property
    def words(self) -> str:
        """What the distance says."""
        others = f"the {self.n_held_out} images that were held out"
        if self.is_unlike:
            extent = "99 %" if self.share else "every one"
            return f"farther from all training images than {extent} of {others}, by {self.basis}"
        share = f"{self.share:.0%}".replace("%", " %")
        return f"like the training images: {share} of {others} are as far from them, or farther"


class Evidence:
    """What a model's own images say of its predictions: their likeness, and a temperature."""

    def __init__(self, artifact: Artifact, model: Model, loader: Loader, own: HeldOut) -> None:
        self._artifact, self._model, self._loader, self._own = artifact, model, loader, own

    @cached_property
    def images(self) -> np.ndarray:
        """The data set's images: uint8 (n, s, s, 3)."""
        return images_of(self._artifact, self._loader)[max(self._model.sizes)]

    @cached_property
    def temperature(self) -> float:
        """Temperature that calibrates the model's probabilities, fitted on its held-out images.

        1 for an ensemble, whose probabilities are calibrated.
        """
        is_ensemble = self._artifact.reference.stage == "stacking"
        return 1.0 if is_ensemble else temperature(self._own.proba, self._own.labels)

    def sets(self, proba: np.ndarray, coverage: float) -> list[np.ndarray]:
        """Labels in the conformal set of each image, the most probable first.

        proba: the model's, float (n, c). Calibrated on the held-out images: see `small_data`.
        """
        thresholds = class_thresholds(self._own.proba, self._own.labels, coverage)
        order = np.argsort(-proba, axis=1, kind="stable")
        members = np.take_along_axis(prediction_sets(proba, thresholds), order, axis=1)
        return [labels[inside] for labels, inside in zip(order, members, strict=True)]

    def likeness(self, block: Block) -> list[Likeness]:
        """Likeness of each image of a block."""
        new = {COLOURS: descriptors(block.squares[max(self._model.sizes)])}
        if self._model.maps:
            new = {FEATURES: side_by_side([map_.of(block) for map_ in self._model.maps]), **new}
        distances = {basis: _distances(rows, self._train[basis]) for basis, rows in new.items()}
        return [
            self._judged({basis: rows[index] for basis, rows in distances.items()})
            for index in range(len(block.paths))
        ]

    def _judged(self, distances: Mapping[str, np.ndarray]) -> Likeness:
        """Likeness of an image by its distances from the training images, by basis."""
        train, labels = self._own.train, self._own.train_labels
        shares = {
            basis: float(np.mean(self._usual[basis] >= row.min()))
            for basis, row in distances.items()
        }
        basis, first = min(shares, key=shares.__getitem__), next(iter(distances.values()))
        columns = np.argsort(first, kind="stable")[:N_NEAREST]
        nearest = (Neighbour(int(train[c]), int(labels[c]), float(first[c])) for c in columns)
        return Likeness(tuple(nearest), shares[basis], len(self._own.rows), basis)

    @cached_property
    def _usual(self) -> dict[str, np.ndarray]:
        """Distance of each held-out image from its nearest training image, by basis."""
        return {
            basis: _distances(rows[self._own.rows], self._train[basis]).min(axis=1)
            for basis, rows in self._embedded.items()
        }

    @cached_property
    def _train(self) -> dict[str, np.ndarray]:
        """The training images by basis: float (n, d)."""
        return {basis: rows[self._own.train] for basis, rows in self._embedded.items()}

    @cached_property
    def _embedded(self) -> dict[str, np.ndarray]:
        """The data set's images by basis: float (n, d)."""
        stored = [feature_map.stored() for feature_map in self._model.maps]
        features = {FEATURES: side_by_side(stored)} if stored else {}
        return {**features, COLOURS: descriptors(self.images)}


def descriptors(images: np.ndarray) -> np.ndarray:
    """Histograms of colours, edges and contrasts: float64 (n, d), rows of at most unit length.

    images: uint8 (n, h, w, 3). Colours are counted in 64 bins, edges by direction in each quarter,
    weighted by contrast. Distances of the square roots are Hellinger's, from 0 to √2.
    Sources: Swain & Ballard 1991, "Color indexing"; Dalal & Triggs 2005, "Histograms of oriented
    gradients"; Arandjelović & Zisserman 2012, section 3, on the square roots.
    """
    pixels = resized(images, _SIDE)
    levels = pixels.astype(np.intp) * _LEVELS // 256
    colours = levels @ (_LEVELS**2, _LEVELS, 1)
    down, right = np.gradient(pixels.mean(axis=3) / 255, axis=(1, 2))
    contrast = np.hypot(down, right)
    angles = (np.arctan2(down, right) % np.pi * _ANGLES / np.pi).astype(np.intp)
    half = np.arange(_SIDE) * 2 // _SIDE
    edges = np.minimum(angles, _ANGLES - 1) + _ANGLES * (2 * half[:, None] + half)
    pixel = np.ones_like(contrast)
    histograms = [
        _roots(colours, pixel, _LEVELS**3),
        _roots(edges, contrast, _ANGLES * 4),
        _roots(np.digitize(contrast, _CONTRASTS), pixel, len(_CONTRASTS) + 1),
    ]
    return np.hstack(histograms) / np.sqrt(len(histograms))


def _roots(bins: np.ndarray, weights: np.ndarray, n_bins: int) -> np.ndarray:
    """Square roots of the images' histograms, each of sum 1, or 0 without any weight."""
    pairs = zip(bins, weights, strict=True)
    sums = np.stack([np.bincount(row.ravel(), weight.ravel(), n_bins) for row, weight in pairs])
    totals = sums.sum(axis=1, keepdims=True)
    return np.sqrt(sums / np.where(totals > 0, totals, 1))


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distances between rows: (n, m)."""
    with one_thread():  # another would spin for 25 ms after it, on a core that networks could use
        squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))
