"""The sixteen configurations of Table 9: this project against plain Keras.

Both train each of eight heads on VGG16 and on MobileNet for 25 epochs with the extractor frozen and
50 with its last block unfrozen, extrapolated alike from measured epochs of two heads;
benchmarks/README.md says how.
"""

import gc
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import SEED, Timer, beside_plain, load, options_of, plain_extractor, study_extractor

EXTRACTORS = {"vgg16": "block5", "mobilenet": "block12"}
FIRST_LAYERS = {"vgg16": "block5_conv1", "mobilenet": "conv_pad_12"}  # of those blocks
EPOCHS = {"a": 25, "b": 50}
RATES = {"a": 1e-3, "b": 1e-4}
HEADS = {"adam + batch norm + dropout": ("adam", True, 0.5), "sgd": ("sgd", False, 0.0)}
N_HEADS = 8
BATCH, UNITS, N_CLASSES = 32, 512, 17


def project(timer: Timer, dataset: str, name: str, weights_dir: Path) -> dict[str, int]:
    """Time the activations, and an epoch of each phase and head; return trainable parameters."""
    import keras

    from flowers17.config import HeadSettings, RecipeSettings
    from flowers17.learners.checkpoints import Checkpoints
    from flowers17.learners.examples import Examples
    from flowers17.learners.fast_layers import accelerate
    from flowers17.learners.training import Run
    from flowers17.transfer.extractors import feature_maps
    from flowers17.transfer.fine_tuning import cut, trainable_network

    data = load(dataset)

    def parts(block: str | None) -> tuple[keras.Model, keras.Model | None]:
        return cut(study_extractor(name, weights_dir), name, block)

    n_trainable = {}
    for phase, block in (("a", None), ("b", EXTRACTORS[name])):
        lower, _ = parts(block)
        shape = lower.output_shape[1:]
        with timer.step("activations"):
            features = feature_maps(lower, data.images, extractor=name, input_size=128)
        inputs = features.reshape(-1, *shape)
        examples = Examples(inputs, data.labels, data.train, data.validation, N_CLASSES)
        for head, (optimizer, batch_norm, dropout) in HEADS.items():
            _, upper = parts(block)
            trainable = trainable_network(
                upper,
                tuple(upper.output_shape[1:]) if upper else shape,
                N_CLASSES,
                pooling="flatten",
                units=UNITS,
                head=HeadSettings(optimizer=optimizer, batch_norm=batch_norm, dropout=dropout),
                seed=SEED,
            )
            recipe = RecipeSettings(
                epochs=3, batch_size=BATCH, optimizer=optimizer, learning_rate=RATES[phase]
            )
            accelerate(trainable)
            run = Run(trainable, examples, recipe, "none", SEED)
            run.run_epoch(None)
            with (
                tempfile.TemporaryDirectory() as root,
                Checkpoints(Path(root), "x") as checkpoints,
                timer.step(f"{phase}, {head}"),
            ):
                run.run_epoch(None)
                run.save(checkpoints)
            n_trainable[f"{phase}, {head}"] = _size(trainable.trainable_weights)
            del run, trainable
            gc.collect()
    return n_trainable


def plain(timer: Timer, dataset: str, name: str, weights_dir: Path) -> dict[str, int]:
    """Time an epoch of each phase and head with Keras alone; return trainable parameters."""
    import keras
    from keras import layers

    data = load(dataset)
    _, preprocessed = plain_extractor(name, weights_dir)
    pixels = preprocessed(data.images.astype(np.float32))
    x, y = pixels[data.train], data.labels[data.train]
    x_val, y_val = pixels[data.validation], data.labels[data.validation]
    n_trainable = {}
    for head, (optimizer, batch_norm, dropout) in HEADS.items():
        base, _ = plain_extractor(name, weights_dir)
        base.trainable = False
        top = [layers.Flatten(), layers.Dense(UNITS)]
        top += [layers.BatchNormalization()] if batch_norm else []
        top += [layers.ReLU()]
        top += [layers.Dropout(dropout)] if dropout else []
        inputs = keras.Input((128, 128, 3))
        outputs = base(inputs, training=False)
        for layer in (*top, layers.Dense(N_CLASSES, activation="softmax")):
            outputs = layer(outputs)
        model = keras.Model(inputs, outputs)
        for phase in EPOCHS:
            if phase == "b":
                names = [layer.name for layer in base.layers]
                first = names.index(FIRST_LAYERS[name])
                base.trainable = True
                for layer in base.layers[:first]:
                    layer.trainable = False
            kind = keras.optimizers.Adam if optimizer == "adam" else keras.optimizers.SGD
            loss = "sparse_categorical_crossentropy"
            model.compile(kind(RATES[phase]), loss, metrics=["accuracy"])
            options: dict[str, Any] = {"batch_size": BATCH, "verbose": 0}
            n, n_val = (BATCH + len(rows) % BATCH for rows in (x, x_val))
            model.fit(x[:n], y[:n], validation_data=(x_val[:n_val], y_val[:n_val]), **options)
            with timer.step(f"{phase}, {head}"):
                model.fit(x, y, validation_data=(x_val, y_val), **options)
            n_trainable[f"{phase}, {head}"] = _size(model.trainable_weights)
    return n_trainable


def _size(weights: list[Any]) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def main() -> None:
    """Measure both ways in turn for each extractor; print seconds, totals and ratios."""
    only = {"choices": EXTRACTORS, "help": "one extractor instead of both"}
    options = options_of(__doc__, "dataset", "weights_dir", "repeats", only=only)
    names = [options.only] if options.only else list(EXTRACTORS)
    table, n_trainable = beside_plain((project, plain), names, options)
    for name, own, other in n_trainable:
        if own != other:
            raise SystemExit(f"{name}: expected both to train the same parameters")
    print(table.round(2).to_string())
    # Each head counts for as many of all, each epoch for its whole phase.
    weights = {"activations": 1.0}
    for phase, n_epochs in EPOCHS.items():
        weights |= {f"{phase}, {head}": N_HEADS / len(HEADS) * n_epochs for head in HEADS}
    table["minutes"] = table["seconds"] * table["step"].map(weights) / 60
    minutes = table.pivot_table("minutes", ["extractor", "repeat"], "side", "sum")
    together = minutes.groupby("repeat").sum()
    for name, each in [*minutes.groupby("extractor"), ("together", together)]:
        ratio = (each["plain"] / each["project"]).median()
        print(f"{name}, extrapolated minutes\n{each.median().round(1).to_string()}: {ratio:.2f}×")


if __name__ == "__main__":
    main()
