"""Training steps with layers as the backend computes them, and with fast layers.

Each network is trained by our engine on a processor, from the same weights on the same batch. The
variants take turns in one process, after a warm-up that compiles them. Medians of the wall clock,
and ratios. In float32, and in bfloat16 where the processor has it.

  direct: as Keras computes them
  fused:  batch norms by one kernel, leaky ReLUs with the layer before, as with
          `learners.convolutions=direct`
  both:   fused, and wide convolutions by Winograd's minimal filtering, as with `auto`; float32 only

  residual, sequential, aggregated: our own at 128 pixels, batches of 64, SGD with momentum
  mk-3, 4 and 6:  the study's at 128 pixels, batches of 32, SGD; the last two have leaky ReLUs
  vgg16, phase b: fine-tuning from block5 on stored activations, batches of 32, Adam

The losses of the first and the last variant are compared after the last step.
"""

import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial

import numpy as np
from measuring import SEED, Data, arguments, load, median, print_machine

from flowers17.learners.devices import Precision, computes_in_bfloat16
from flowers17.learners.networks import BUILDERS, build

N_CLASSES, N_WARM = 17, 2
STUDY = ("mk-3", "mk-4", "mk-6")
NETWORKS = (*BUILDERS, *STUDY, "vgg16, phase b")
WAYS: dict[Precision, tuple[str, ...]] = {
    "float32": ("direct", "fused", "both"),
    "mixed_bfloat16": ("direct", "fused"),
}


def main() -> None:
    """Measure each network in each precision."""
    parser = arguments(__doc__)
    parser.add_argument("--steps", type=int, default=8, help="steps of each variant")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    options = parser.parse_args()
    print_machine()
    data = load(options.dataset)
    precisions: tuple[Precision, ...] = ("float32", "mixed_bfloat16")
    for precision in precisions[: 2 if computes_in_bfloat16() else 1]:
        measure(data, options, precision)


def measure(data: Data, options: Namespace, precision: Precision) -> None:
    """Print each network's seconds a step, ratios and differences of losses."""
    from flowers17.learners.devices import prepare

    prepare("cpu", precision, SEED)
    import keras

    from flowers17.config import HeadSettings, RecipeSettings
    from flowers17.learners.examples import Examples
    from flowers17.learners.fast_layers import accelerate
    from flowers17.learners.training import Run
    from flowers17.transfer.extractors import build_extractor, feature_maps
    from flowers17.transfer.fine_tuning import cut, network
    from flowers17.transfer.weights import resolve_weights

    path = resolve_weights("vgg16", options.weights_dir.absolute()).path

    def halves() -> tuple[keras.Model, keras.Model | None]:
        built = build_extractor("vgg16", input_size=128, weights_path=path, seed=SEED)
        return cut(built, "vgg16", "block5")

    def vgg16() -> keras.Model:
        head = HeadSettings(batch_norm=True, dropout=0.5)
        given = {"pooling": "flatten", "units": 512, "head": head, "seed": SEED}
        return network(halves()[1], (4, 4, 512), N_CLASSES, **given)  # type: ignore[arg-type]

    few = data.train[:64]
    pixels = data.images[few].astype(np.float32) / 255
    lower, _ = halves()
    maps = feature_maps(lower, data.images[few], extractor="vgg16", input_size=128)
    by_adam = RecipeSettings(optimizer="adam", learning_rate=1e-4)
    by_momentum = RecipeSettings(learning_rate=0.01, momentum=0.9)
    cases: dict[str, tuple[Callable[[], keras.Model], np.ndarray, int, RecipeSettings]] = {
        **{name: (partial(build, name, seed=SEED), pixels, 64, by_momentum) for name in BUILDERS},
        **{name: (partial(build, name, seed=SEED), pixels, 32, RecipeSettings()) for name in STUDY},
        "vgg16, phase b": (vgg16, maps.reshape(-1, 8, 8, 512), 32, by_adam),
    }
    for name in options.networks:
        made, inputs, size, recipe = cases[name]
        labels = data.labels[few]
        examples = Examples(inputs, labels, np.arange(size), np.arange(size), N_CLASSES)
        ways = WAYS[precision]
        runs = {how: Run(made(), examples, recipe, "none", SEED) for how in ways}
        for how in ways[1:]:
            accelerate(runs[how].model, convolutions=how == "both")
        targets = next(iter(runs.values())).targets[:size]
        seconds: dict[str, list[float]] = {how: [] for how in ways}
        losses: dict[str, float] = {}
        for step in range(N_WARM + options.steps):
            for how, run in runs.items():
                start = time.perf_counter()
                losses[how] = float(run.trained.train_on_batch(inputs[:size], targets)[0])
                if step >= N_WARM:
                    seconds[how].append(time.perf_counter() - start)
        direct = median(seconds["direct"])
        told = [
            f"{how} {median(seconds[how]):.3f} ({direct / median(seconds[how]):.2f}×)"
            for how in ways[1:]
        ]
        apart = abs(losses["direct"] - losses[ways[-1]])
        print(
            f"{name}, {precision}: direct {direct:.3f} s a step, {', '.join(told)}; losses "
            f"{losses['direct']:.4f}, {apart:.1e} apart",
            flush=True,
        )


if __name__ == "__main__":
    main()
