"""An epoch of augmented images: one composed warp per image, against Keras's layers.

Both start from the 1,020 training images at 128 pixels, uint8, and end with float32 batches of 32.
Each image is zoomed, flipped, shifted, rotated and sheared at random, within the same ranges.

  project: augmented_batch under `wide`, then float32; one thread
  plain:   RandomZoom, RandomFlip, RandomTranslation, RandomRotation and RandomShear in sequence,
           bilinear, with the nearest edge outside, in tf.data's graph; TensorFlow on one thread

The first batch of each is not counted, because TensorFlow builds its graph then. The random numbers
differ, so images cannot be compared here; a unit test compares the warp with Keras's. Processor
time is given beside wall-clock time, because other work on the machine affects it less.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import SEED, Measurement, Timer, load, measured, median, print_machine

BATCH_SIZE = 32


@dataclass(frozen=True)
class Epoch:
    """Shape of all its images, and seconds of processor time of all threads."""

    shape: tuple[int, ...]
    cpu: float


def project(timer: Timer, folder: Path, name: Any) -> Epoch:
    """Shape and processor time of an epoch."""
    from flowers17.data.augmentation import augmented_batch

    images = np.load(folder / "images.npy")

    def batches(epoch: int) -> Iterator[np.ndarray]:
        for start in range(0, len(images), BATCH_SIZE):
            rows = np.arange(start, min(start + BATCH_SIZE, len(images)))
            yield augmented_batch(images, rows, name, root=SEED, epoch=epoch).astype(np.float32)

    next(batches(0))
    with timer.step("epoch"):
        return _epoch(batches(1))


def plain(timer: Timer, folder: Path) -> Epoch:
    """Shape and processor time of an epoch."""
    import keras
    import tensorflow as tf

    from flowers17.data.augmentation import RANGES

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(SEED)
    ranges = RANGES["wide"]
    zoom = (ranges.zoom[0] - 1, ranges.zoom[1] - 1)
    shear = float(np.radians(ranges.shear))
    options = {"interpolation": "bilinear", "fill_mode": "nearest"}
    layers = keras.Sequential(
        [
            keras.layers.RandomZoom(zoom, zoom, **options),
            keras.layers.RandomFlip("horizontal_and_vertical"),
            keras.layers.RandomTranslation(ranges.shift_y, ranges.shift_x, **options),
            keras.layers.RandomRotation(ranges.rotation / 360, **options),
            keras.layers.RandomShear(shear, shear, **options),
        ]
    )
    tf_options = tf.data.Options()
    tf_options.threading.private_threadpool_size = 1
    tf_options.threading.max_intra_op_parallelism = 1
    batches = (
        tf.data.Dataset.from_tensor_slices(np.load(folder / "images.npy"))
        .batch(BATCH_SIZE)
        .map(lambda batch: layers(tf.cast(batch, tf.float32), training=True))
        .with_options(tf_options)
    )
    next(iter(batches))
    with timer.step("epoch"):
        return _epoch(batch.numpy() for batch in batches)


def _epoch(batches: Iterator[np.ndarray]) -> Epoch:
    start = time.process_time()
    shapes = [batch.shape for batch in batches]
    shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    return Epoch(shape, time.process_time() - start)


def main() -> None:
    """Measure both ways in turn, and print images a second and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="the archive 17flowers.tgz, or a folder")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each way")
    options = parser.parse_args()
    print_machine()
    data = load(options.dataset)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", data.images[data.train])
        fast, slow, strong = [], [], []
        for _ in range(options.repeats):
            fast.append(measured(project, folder, "wide"))
            slow.append(measured(plain, folder))
            strong.append(measured(project, folder, "strong"))
    _print_side("project, wide", fast)
    _print_side("plain, the same ranges", slow)
    _print_side("project, strong, without a plain counterpart", strong)
    pairs = list(zip(slow, fast, strict=True))
    _print_ratio("ratio", [a.total / b.total for a, b in pairs])
    _print_ratio("ratio of processor time", [a.value.cpu / b.value.cpu for a, b in pairs])


def _print_side(text: str, runs: list[Measurement]) -> None:
    seconds, cpu = median([run.total for run in runs]), median([run.value.cpu for run in runs])
    shape, peak = runs[0].value.shape, max(run.peak_gib for run in runs)
    print(
        f"{text}: {seconds:.2f} s for {shape}, {shape[0] / seconds:,.0f} images/s, "
        f"processor {cpu:.2f} s, peak {peak:.2f} GiB"
    )


def _print_ratio(text: str, ratios: list[float]) -> None:
    each = ", ".join(f"{ratio:.1f}×" for ratio in ratios)
    print(f"{text}: {median(ratios):.1f}× (each pair: {each})")


if __name__ == "__main__":
    main()
