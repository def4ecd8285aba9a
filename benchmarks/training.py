"""Training Mk-2 on two cores: our engine, bare Keras, and plain Keras `fit`.

Each measurement trains on the same images at 128 pixels in batches of 32, in a fresh process, after
a warm-up; the variants take turns. Images a second of wall clock and of processor time, medians.
Ours and Keras's in float32, and in bfloat16 where the processor has it.
"""

import numpy as np
import pandas as pd
from measuring import SEED, Timer, load, measured, medians, options_of

from flowers17.learners.devices import Precision, computes_in_bfloat16

BATCH, N_TRAIN, N_CLASSES = 32, 320, 17


def keras_sides(
    timer: Timer, images: np.ndarray, labels: np.ndarray, precision: Precision
) -> float:
    """Time engine, bare steps and `fit`, each after its warm-up; return operations an image."""
    from flowers17.learners.devices import prepare

    prepare("cpu", precision, SEED)
    import keras

    from flowers17.config import RecipeSettings
    from flowers17.learners import build
    from flowers17.learners.networks import n_operations
    from flowers17.learners.training import Examples, Run

    train, validation = np.arange(N_TRAIN), np.arange(N_TRAIN, len(images))
    examples = Examples(images, labels, train, validation, N_CLASSES)
    recipe = RecipeSettings(epochs=3, batch_size=BATCH)
    runs = {
        name: Run(build("mk-2"), examples, recipe, augmentation, SEED)
        for name, augmentation in (("engine", "none"), ("engine, #3", "wide"))
    }
    for name, run in runs.items():
        run.run_epoch(None)
        with timer.step(name):
            run.train_epoch(2, None)
    run = runs["engine"]
    pixels, targets = images[:BATCH].astype(np.float32) / 255, run.targets[:BATCH]
    with timer.step("bare"):
        for _ in range(N_TRAIN // BATCH):
            run.network.train_on_batch(pixels, targets, return_dict=True)
    model = build("mk-2")
    model.compile(
        keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    scaled, plain = images[:N_TRAIN].astype(np.float32) / 255, labels[:N_TRAIN]
    model.fit(scaled, plain, batch_size=BATCH, verbose=0)
    with timer.step("fit"):
        model.fit(scaled, plain, batch_size=BATCH, verbose=0)
    numbers = np.random.default_rng(0).random((2, 4096, 4096), np.float32)
    dtype = "float32" if precision == "float32" else "bfloat16"
    left, right = (keras.ops.convert_to_tensor(matrix, dtype) for matrix in numbers)
    for name in ("warm-up", "matrix product"):
        with timer.step(name):
            float(keras.ops.matmul(left, right)[0, 0])  # waits for it
    return n_operations(build("mk-2"))


def main() -> None:
    """Measure, print medians and ratios."""
    options = options_of(__doc__, "dataset", "repeats")
    precisions: tuple[Precision, ...] = ("float32", "mixed_bfloat16")
    rounds = {precision: [] for precision in precisions[: 2 if computes_in_bfloat16() else 1]}
    data = load(options.dataset)
    rows = data.train[: N_TRAIN + BATCH]
    for _ in range(options.repeats):
        for precision, measurements in rounds.items():
            place = (data.images[rows], data.labels[rows], precision)
            measurements.append(measured(keras_sides, *place))
    for precision, measurements in rounds.items():
        seconds = pd.DataFrame(list(medians(measurements)), index=["images/s", "of a core"]).T
        products = 2 * 4096**3 / seconds.loc["matrix product"]
        rates = N_TRAIN / seconds.drop(["matrix product", "warm-up"])
        reached = 3 * measurements[0].value * rates.loc["engine"]
        rates["engine is faster by"] = rates.loc["engine", "images/s"] / rates["images/s"]
        print(f"{precision}\n{rates.round(2).to_string()}")
        rows = {"matrix product, Gflop/s": products / 1e9, "engine, Gflop/s": reached / 1e9}
        print(pd.DataFrame(rows | {"share": reached / products}).T.round(2).to_string())


if __name__ == "__main__":
    main()
