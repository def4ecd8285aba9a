"""A folder of 100,000 labelled images through dataset, features and classifiers.

The folder is created first, unless it exists: rendered flowers at 128 pixels as JPEG files in 17
class folders. Every tenth is drawn, the nine after it are augmented views of it, because rendering
takes 15 ms of a core. `flowers17 run features` then reads the folder like anybody's own, with
MobileNet averaged at 128 pixels, a forest of 50 trees and no repeated splits. Memory is that of the
largest process, pages of mapped files included. The bare extractor is measured before and after.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from measuring import SEED, Timer, measured, options_of, study_extractor

SIZE, VIEWS, BATCH, N_BARE, N_CLASSES = 128, 10, 32, 1024, 17
CLASSIFIERS = ("naive_bayes", "knn", "svm", "logistic_regression", "random_forest")


def write_class(root: Path, label: int, n_images: int) -> None:
    """Write a class folder of rendered flowers and augmented views of them."""
    from PIL import Image

    from flowers17.data import oxford17
    from flowers17.data.augmentation import augmented
    from flowers17.data.rendered import flower

    name = oxford17.CLASS_NAMES[label]
    folder = root / name
    folder.mkdir(parents=True)
    drawn = np.empty(0)
    for index in range(n_images):
        if index % VIEWS == 0:
            drawn = flower(name, index, size=SIZE, seed=SEED)
        view = augmented(drawn, "wide", index) if index % VIEWS else drawn
        Image.fromarray(view).save(folder / f"{index:05d}.jpg", quality=90)


def bare(timer: Timer, weights_dir: Path) -> float:
    """Return images a second of the extractor alone, on one batch in memory."""
    from keras.applications.mobilenet import preprocess_input

    model = study_extractor("mobilenet", weights_dir)
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3))
    batch = preprocess_input(pixels.astype(np.float32))
    model.predict_on_batch(batch)
    with timer.step("bare"):
        for _ in range(N_BARE // BATCH):
            model.predict_on_batch(batch)
    return N_BARE / timer.seconds["bare"]


def main() -> None:
    """Make the folder, run the flow on it, and print what it took."""
    options = options_of(
        __doc__,
        "weights_dir",
        folder={"required": True, "type": Path, "help": "of the images; made if absent"},
        store={"required": True, "type": Path, "help": "an empty store"},
        images={"default": 100_000, "help": "images to make"},
        classifiers={"nargs": "*", "default": CLASSIFIERS, "help": "which of the five"},
    )
    if not options.folder.exists():
        started = time.monotonic()
        smallest, n_larger = divmod(options.images, N_CLASSES)
        sizes = [smallest + (label < n_larger) for label in range(N_CLASSES)]
        with ProcessPoolExecutor() as pool:
            list(pool.map(write_class, [options.folder] * N_CLASSES, range(N_CLASSES), sizes))
        print(f"folder of {options.images:,} images made in {time.monotonic() - started:.0f} s")
    weights_dir = options.weights_dir.absolute()
    rates = [measured(bare, weights_dir).value]
    settings = {
        "features.table": [{"extractor": "mobilenet", "pooling": "average"}],
        "features.combinations": [],
        "features.classifiers.names": list(options.classifiers),
        "features.classifiers.random_forest.n_estimators": 50,
        "splits.n_repeats": 0,
    }
    command = [sys.executable, "-c", "from flowers17.cli import main; main()", "run", "features"]
    command += ["--profile", "report", "--dataset", str(options.folder)]
    command += ["--weights-dir", str(weights_dir), "--store", str(options.store)]
    command += [f"--set={name}={json.dumps(value)}" for name, value in settings.items()]
    with tempfile.TemporaryDirectory() as home:
        started = time.monotonic()
        code = subprocess.call(command, env={**os.environ, "PREFECT_HOME": home})
        took = time.monotonic() - started
    rates.append(measured(bare, weights_dir).value)
    if code:
        raise SystemExit(f"expected the flow to end well, got exit code {code}")
    from flowers17.artifacts import Store

    for manifest in Store(options.store).manifests():
        seconds, metrics = manifest["duration_s"], manifest["metrics"]
        print(f"{manifest['label']:45} {seconds:8.1f} s  {dict(metrics)}")
        if manifest["stage"] == "features":
            own, bare_rate = metrics["n_images"] / seconds, sum(rates) / 2
            print(f"  {own:.1f} images/s with the start: {own / bare_rate:.0%} of the bare one's")
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"the flow: {took:.0f} s, at most {most:.2f} GiB")
    print(f"bare extractor: {rates[0]:.1f} images/s before, {rates[1]:.1f} after")


if __name__ == "__main__":
    main()
