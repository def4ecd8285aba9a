"""Predicting image files with Mk-2: ours against the bare `predict_on_batch` of the same model.

All variants predict the same images at 128 pixels in batches of 64, in one process per repeat,
after a warm-up. The first two take turns batch by batch. Images a second of wall clock and of
processor time, medians. Loading the model is timed apart, since every variant needs it.

  bare:      repeated `predict_on_batch` on float32 arrays, decoded and scaled before
  decoded:   ours on uint8 images decoded before: adds scaling and our overhead
  files:     ours from JPEG files: adds decoding, cropping and resizing, beside the network

`decoding` is the time of the decoding in `files` when nothing else runs.
"""

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import SEED, Timer, measured, median, print_machine

SIZE, N_CLASSES, LEARNER = 128, 17, "mk-2"


@dataclass(frozen=True)
class Folders:
    """Where the store and the image files lie."""

    store: Path
    images: Path


def written(dataset: str, folder: Path, n_images: int) -> int:
    """Write the data set's first images as files, in turn if there are fewer; return how many."""
    from flowers17.data.source import encoded_images, source_from

    every = [image.data for image in encoded_images(source_from(dataset))]
    for number in range(n_images):
        (folder / f"{number:05d}.jpg").write_bytes(every[number % len(every)])
    return n_images


def published(root: Path) -> None:
    """Publish an untrained network as its training would: weights do not change the rate."""
    from flowers17.artifacts import Store
    from flowers17.config import RecipeSettings
    from flowers17.digests import canonical_json, sha256_of
    from flowers17.learners.networks import STUDY, build

    store = Store(root)
    model = build(LEARNER, (SIZE, SIZE, 3), N_CLASSES, seed=SEED)
    config = {
        "learner": LEARNER,
        "definition": STUDY[LEARNER].model_dump(mode="json"),
        "precision": "float32",
    }
    material = {"config": config, "seed": SEED, "inputs": {}, "code": {}, "libraries": {}}
    manifest = {"stage": "training", "key": sha256_of(material), "label": LEARNER, "inputs": {}}
    manifest |= {"material": material, "metrics": {}, "machine": {}, "duration_s": 0.0}
    manifest |= {"created": "2026-01-01T00:00:00Z"}
    result = {
        "classes": [f"class {number}" for number in range(N_CLASSES)],
        "image_size": SIZE,
        "recipe": RecipeSettings().model_dump(mode="json"),
    }
    with store.writing("training", sha256_of(material)) as folder:
        (folder / "weights").mkdir()
        for index, variable in enumerate(model.weights):
            np.save(folder / f"weights/{index:03d}.npy", variable.numpy(), allow_pickle=False)
        (folder / "result.json").write_text(canonical_json(result))
        store.publish(folder, manifest)


def sides(timer: Timer, folders: Folders) -> float:
    """Time every side once; return the largest difference between their probabilities."""
    from flowers17.artifacts import Store
    from flowers17.learners.images import scaled
    from flowers17.prediction.models import Loader
    from flowers17.prediction.networks import BATCH_SIZE, Network
    from flowers17.prediction.pictures import blocks, image_paths
    from flowers17.prediction.predicting import open_model, predictions

    [manifest] = Store(folders.store).manifests()
    model = open_model(manifest, Loader(Store(folders.store), device="cpu"))
    if not isinstance(model, Network):
        raise TypeError(f"expected a network, got {model!r}")

    def paths() -> Iterator[str]:
        return image_paths([str(folders.images)], io.BytesIO(), print)

    with timer.step("decoding"):
        decoded = list(blocks(paths(), model.sizes, BATCH_SIZE, print))
    batches = [scaled(block.squares[SIZE]) for block in decoded]
    with timer.step("loading, first batch"):
        model.answers(decoded[0])
    network: Any = model.keras_model
    network.predict_on_batch(batches[-1])  # a last batch that is not full, compiled beforehand
    bare, predicted = [], []
    for batch, block in zip(batches, decoded, strict=True):
        bare.append(_timed(timer, "bare", lambda batch=batch: network.predict_on_batch(batch)))
        predicted.append(_timed(timer, "decoded", lambda block=block: model.answers(block).proba))
    from_files = _timed(timer, "files", lambda: list(predictions(model, paths(), print)))
    expected = np.concatenate(bare)
    by_file = np.array([list(prediction.proba.values()) for prediction in from_files])
    probas = (np.concatenate(predicted), by_file)
    return float(max(np.abs(proba - expected).max() for proba in probas))


def _timed(timer: Timer, name: str, work: Callable[[], Any]) -> Any:
    """The result of `work`; its time on the wall clock and on the processor is counted."""
    before = time.process_time()
    with timer.step(name):
        result = work()
    key = f"{name}, processor"
    timer.seconds[key] = timer.seconds.get(key, 0.0) + time.process_time() - before
    return result


def main() -> None:
    """Measure, print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="the archive 17flowers.tgz, or a folder")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each way")
    parser.add_argument("--images", type=int, default=1000, help="images that are predicted")
    options = parser.parse_args()
    print_machine()
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folders = Folders(Path(name) / "store", Path(name) / "images")
        folders.images.mkdir()
        n_images = written(options.dataset, folders.images, options.images)
        published(folders.store)
        for _ in range(options.repeats):
            measurement = measured(sides, folders)
            print(f"probabilities differ by at most {measurement.value:.1e}", file=sys.stderr)
            for step, duration in measurement.seconds.items():
                seconds.setdefault(step, []).append(duration)
    medians = {step: median(values) for step, values in seconds.items()}
    print(f"{'':8} images/s  of bare  images/s of a core  of bare")
    for step in ("bare", "decoded", "files"):
        rates = [n_images / medians[step + clock] for clock in ("", ", processor")]
        shares = [medians["bare" + clock] / medians[step + clock] for clock in ("", ", processor")]
        print(f"{step:8} {rates[0]:8.1f} {shares[0]:8.1%} {rates[1]:19.1f} {shares[1]:8.1%}")
    for step in ("loading, first batch", "decoding"):
        print(f"{step}: {medians[step]:.2f} s")


if __name__ == "__main__":
    main()
