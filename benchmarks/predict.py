"""Predicting image files with models of a store, against their bare network or extractor.

All ways predict the same images in one process per repeat, after a warm-up. Images a second of
wall clock and of processor time, medians. Opening the model is timed apart.

  bare:      repeated `predict_on_batch` of the network, or of the first extractor of a classifier,
             on batches of 32 decoded before
  decoded:   ours on uint8 images decoded before: adds scaling, the classifier and our overhead
  files:     ours from files: adds decoding, cropping and resizing, beside the network

With --unlike, no times: how well the likeness of `predict` tells other images from held-out ones.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measuring import Timer, measured, medians, options_of
from sklearn.metrics import roc_auc_score

from flowers17.artifacts import Store
from flowers17.learners.images import scaled
from flowers17.prediction.catalogue import Catalogue
from flowers17.prediction.classifiers import Classifier
from flowers17.prediction.evidence import held_out, images_of
from flowers17.prediction.models import Loader, open_model, predictions
from flowers17.prediction.pictures import Block, blocks, image_paths
from flowers17.transfer.extractors import resized

BATCH_SIZE = 32


def sides(timer: Timer, options: argparse.Namespace, name: str) -> float:
    """Time every way once; return the largest difference between our probabilities."""
    store = Store(options.store)
    paths = list(image_paths([str(options.images)], [], print))
    with timer.step("opening"):
        loader = Loader(store, weights_dir=options.weights_dir, device="cpu")
        model: Any = open_model(Catalogue(store).named(name).manifest, loader)
        is_classifier = isinstance(model, Classifier)
        network: Any = model.maps[0].extractor if is_classifier else model.keras_model
        _ = model.network if is_classifier else None
    with timer.step("first answer"):
        next(predictions(model, paths[:BATCH_SIZE], print))
    decoded = list(blocks(paths, model.sizes, model.n_at_once, print, model.resize))
    size = model.maps[0].size if is_classifier else min(model.sizes)
    squares = np.concatenate([block.squares[size] for block in decoded])
    images = scaled(resized(squares, network.input_shape[1] or size))
    batches = np.array_split(images, max(1, len(images) // BATCH_SIZE))
    for batch in batches[:: len(batches) - 1 or 1]:  # the largest and the smallest
        network.predict_on_batch(batch)
    list(predictions(model, paths, print))
    with timer.step("bare"):
        for batch in batches:
            network.predict_on_batch(batch)
    with timer.step("decoded"):
        proba = [model.answers(block).proba for block in decoded]
    with timer.step("files"):
        rows = list(predictions(model, paths, print))
    by_file = np.array([list(prediction.uncalibrated.values()) for prediction in rows])
    return float(np.abs(np.concatenate(proba) - by_file).max())


def print_likeness(options: argparse.Namespace, name: str) -> None:
    """Print the area under the ROC curve of likeness, and the shares that are called unlike."""
    loader = Loader(Store(options.store), weights_dir=options.weights_dir, device="cpu")
    artifact = loader.artifact(Catalogue(loader.store).named(name).manifest)
    model: Any = open_model(artifact.manifest, loader)
    evidence: Any = model.evidence
    rows, images = held_out(artifact, loader).rows, images_of(artifact, loader)  # type: ignore[union-attr]
    known = Block(("",) * len(rows), {size: images[size][rows] for size in model.sizes})
    paths = image_paths([str(options.unlike)], [], print)
    others = blocks(paths, model.sizes, BATCH_SIZE, print, model.resize)
    sides = [known], others
    likeness = [[each for block in side for each in evidence.likeness(block)] for side in sides]
    is_other = np.repeat([False, True], [len(side) for side in likeness])
    area = roc_auc_score(is_other, [-each.share for side in likeness for each in side])
    print(f"{name}: area under the ROC curve of likeness {area:.4f}")
    for words, side in zip(("held-out", "other"), likeness, strict=True):
        print(f"{np.mean([e.is_unlike for e in side]):.1%} of {len(side)} {words} images unlike")


def main() -> None:
    """Measure each model, print medians and ratios."""
    options = options_of(
        __doc__,
        "repeats",
        words=("models", "models that `predict --list` shows"),
        store={"required": True, "help": "the store of a run"},
        images={"type": Path, "help": "a folder of images"},
        weights_dir={"type": Path, "help": "extractor weights"},
        unlike={"type": Path, "help": "a folder of other images; then no times are measured"},
    )
    if options.unlike:
        for name in options.models:
            print_likeness(options, name)
        return
    n_images = sum(path.is_file() for path in options.images.iterdir())
    for name in options.models:
        measurements = [measured(sides, options, name) for _ in range(options.repeats)]
        difference = max(measurement.value for measurement in measurements)
        print(f"probabilities differ by at most {difference:.1e}", file=sys.stderr)
        seconds = pd.DataFrame(list(medians(measurements)), index=["images/s", "of a core"]).T
        opening, first = seconds.loc[["opening", "first answer"], "images/s"]
        print(f"{name}: opened in {opening:.2f} s, first answer after {first:.2f} s")
        rates = n_images / seconds.loc[["bare", "decoded", "files"]]
        shares = (rates / rates.loc["bare"]).add_suffix(", of bare")
        print(pd.concat([rates, shares], axis=1).round(3).to_string())


if __name__ == "__main__":
    main()
