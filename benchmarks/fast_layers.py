"""Training steps with the backend's layers, and with fast layers.

Each network trains in the engine on a processor, from the same weights on the same batch. The
implementations take turns in one process, after a warm-up that compiles them. Medians of wall time,
and ratios. In float32, and in bfloat16 where the processor has it.
"""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from measuring import SEED, in_turn, load, medians, options_of, study_extractor

from flowers17.learners.devices import Precision, computes_in_bfloat16
from flowers17.learners.networks import BUILDERS, build

N_CLASSES, N_WARM = 17, 2
STUDY = ("mk-3", "mk-4", "mk-6")
NETWORKS = (*BUILDERS, *STUDY, "vgg16, phase b")
IMPLEMENTATIONS: dict[Precision, tuple[str, ...]] = {
    "float32": ("direct", "fused", "both"),
    "mixed_bfloat16": ("direct", "fused"),
}


def main() -> None:
    """Measure each network in each precision."""
    options = options_of(
        __doc__,
        "dataset",
        "weights_dir",
        steps={"default": 8, "help": "steps of each variant"},
        networks={"nargs": "+", "choices": NETWORKS, "default": NETWORKS},
    )
    data = load(options.dataset)
    precisions: tuple[Precision, ...] = ("float32", "mixed_bfloat16")
    for precision in precisions[: 2 if computes_in_bfloat16() else 1]:
        measure(data, options, precision)


def measure(data: Any, options: Namespace, precision: Precision) -> None:
    """Print each network's seconds a step, ratios and differences of losses."""
    from flowers17.learners.devices import prepare

    prepare("cpu", precision, SEED)
    import keras

    from flowers17.config import HeadSettings, RecipeSettings
    from flowers17.learners.examples import Examples
    from flowers17.learners.fast_layers import accelerate
    from flowers17.learners.training import Run
    from flowers17.transfer.extractors import feature_maps
    from flowers17.transfer.fine_tuning import cut, trainable_network

    def halves() -> tuple[keras.Model, keras.Model | None]:
        return cut(study_extractor("vgg16", options.weights_dir), "vgg16", "block5")

    def vgg16() -> keras.Model:
        head = HeadSettings(batch_norm=True, dropout=0.5)
        options = {"pooling": "flatten", "units": 512, "head": head, "seed": SEED}
        return trainable_network(halves()[1], (4, 4, 512), N_CLASSES, **options)  # type: ignore[arg-type]

    batch_rows = data.train[:64]
    pixels = data.images[batch_rows].astype(np.float32) / 255
    lower, _ = halves()
    maps = feature_maps(lower, data.images[batch_rows], extractor="vgg16", input_size=128)
    by_adam = RecipeSettings(optimizer="adam", learning_rate=1e-4)
    by_momentum = RecipeSettings(learning_rate=0.01, momentum=0.9)
    cases: dict[str, tuple[Callable[[], keras.Model], np.ndarray, int, RecipeSettings]] = {
        **{name: (partial(build, name, seed=SEED), pixels, 64, by_momentum) for name in BUILDERS},
        **{name: (partial(build, name, seed=SEED), pixels, 32, RecipeSettings()) for name in STUDY},
        "vgg16, phase b": (vgg16, maps.reshape(-1, 8, 8, 512), 32, by_adam),
    }
    for name in options.networks:
        build_network, inputs, size, recipe = cases[name]
        labels = data.labels[batch_rows]
        examples = Examples(inputs, labels, np.arange(size), np.arange(size), N_CLASSES)
        implementations = IMPLEMENTATIONS[precision]
        runs = {
            variant: Run(build_network(), examples, recipe, "none", SEED)
            for variant in implementations
        }
        for variant in implementations[1:]:
            accelerate(runs[variant].model, convolutions=variant == "both")
        targets = next(iter(runs.values())).targets[:size]
        steps = {
            variant: partial(run.network.train_on_batch, inputs[:size], targets)
            for variant, run in runs.items()
        }
        rounds = in_turn(steps, options.steps, N_WARM)
        seconds, _ = medians(rounds)
        losses = {variant: float(values[0]) for variant, values in rounds[-1].value.items()}
        direct = seconds.pop("direct")
        speedups = [f"{variant} {s:.3f} ({direct / s:.2f}×)" for variant, s in seconds.items()]
        difference = abs(losses["direct"] - losses[implementations[-1]])
        print(
            f"{name}, {precision}: direct {direct:.3f} s a step, {', '.join(speedups)}; losses "
            f"{losses['direct']:.4f}, {difference:.1e} apart",
            flush=True,
        )


if __name__ == "__main__":
    main()
