"""The attacks beside those of two toolboxes: alternately in one process, on the same networks.

  FGSM, six budgets: against ART's `FastGradientMethod`, called once per budget
  FGSM, one budget: against CleverHans's `fast_gradient_method`
    Toolboxes return images. `fgsm` also returns the success, which takes predictions of the clean
    and the adversarial images. So it is timed with and without them ("images alone"), as is
    CleverHans ("judged": with them).
  JSMA: 30 images × 9 targets in one batch, against ART's `SaliencyMapMethod` at its fastest batch
  One-Pixel: queries per second, against ART's `PixelAttack(es=1)` and the bare network

Run it with a Python that has the toolboxes (`pip install adversarial-robustness-toolbox cleverhans
tensorflow-probability`; CleverHans imports the last). It names a missing toolbox and runs ours
alone.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import SEED, Timer, options_of

from flowers17.robustness.fgsm import ascent_signs, clipped_step, fgsm
from flowers17.robustness.jsma import jsma
from flowers17.robustness.one_pixel import BATCH_SIZE, one_pixel

EPSILONS = [0.01, 0.05, 0.1, 0.2, 0.25, 0.3]
N_CLASSES, BATCH = 10, 250
N_SOURCES, GAMMA = 30, 0.145
ART_BATCHES = (90, 270)
POPULATION, GENERATIONS = 400, 10
Workload = Callable[[], Any]


@dataclass(frozen=True)
class Digits:
    """A trained network, its logits, and test images with their labels."""

    model: Any
    logits: Any
    images: np.ndarray
    labels: np.ndarray


def trained_digits(path: Path) -> Digits:
    """CNN of two convolutions trained for three epochs on half of MNIST's test images."""
    import keras

    with np.load(path, allow_pickle=False) as archive:
        x, test = (
            archive[name][..., None].astype(np.float32) / np.float32(255)
            for name in ("x_train", "x_test")
        )
        y, labels = archive["y_train"].astype(np.int64), archive["y_test"].astype(np.int64)
    keras.utils.set_random_seed(SEED)
    layers = keras.layers
    inputs = keras.Input((28, 28, 1))
    maps = layers.MaxPooling2D(2)(layers.Conv2D(16, 5, activation="relu")(inputs))
    maps = layers.MaxPooling2D(2)(layers.Conv2D(32, 5, activation="relu")(maps))
    logits = layers.Dense(N_CLASSES)(layers.Flatten()(maps))
    model = keras.Model(inputs, layers.Softmax()(logits))
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    model.fit(x, y, epochs=3, batch_size=64, verbose=0)
    print(f"network: accuracy {model.evaluate(test, labels, verbose=0)[1]:.3f}")
    return Digits(model, keras.Model(inputs, logits), test, labels)


class Counted:
    """A function from images to probabilities that counts its queries."""

    def __init__(self, function: Callable[..., np.ndarray]) -> None:
        self.function, self.n = function, 0

    def __call__(self, images: np.ndarray, **options: Any) -> np.ndarray:
        self.n += len(images)
        return self.function(images, **options)


def seconds(workload: Workload, predictors: Sequence[Counted] = ()) -> np.ndarray:
    """Seconds of a workload, or of its query: wall clock, and all cores, which others affect less.

    predictors: that count its queries.
    """
    timer, before = Timer(), sum(predictor.n for predictor in predictors)
    with timer.step(""):
        workload()
    n = sum(predictor.n for predictor in predictors) - before
    return np.array([timer.seconds[""], timer.cores[""]]) / (n or 1)


def interleaved(
    workloads: dict[str, Workload], repeats: int, predictors: Sequence[Counted] = ()
) -> dict[str, np.ndarray]:
    """Seconds (repeats, 2) of workloads that take turns, after a round that does not count."""
    rounds = [
        [seconds(workload, predictors) for workload in workloads.values()]
        for _ in range(repeats + 1)
    ]
    return dict(zip(workloads, np.swapaxes(rounds[1:], 0, 1), strict=True))


def print_ratios(times: dict[str, np.ndarray]) -> None:
    """Print median seconds of each workload, and a toolbox's ratio to each of the project's."""
    for name, values in times.items():
        print(f"  {name}: {_wall_and_cores(values, 's')}")
        for baseline in times:
            if baseline.startswith("ours") and not name.startswith("ours"):
                print(f"    of {baseline}: {_wall_and_cores(values / times[baseline], '×')}")


def _wall_and_cores(values: np.ndarray, unit: str) -> str:
    return ", ".join(
        f"{clock} {np.median(column):.3f} {unit} ({', '.join(f'{value:.3f}' for value in column)})"
        for clock, column in zip(("wall", "cores"), values.T, strict=True)
    )


def classifier(model: Any, *, from_logits: bool) -> Any:
    """Keras model in ART's wrapper."""
    import keras
    from art.estimators.classification import TensorFlowV2Classifier

    return TensorFlowV2Classifier(
        model=model,
        nb_classes=N_CLASSES,
        input_shape=(28, 28, 1),
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits),
        clip_values=(0, 1),
    )


def measure_fgsm(digits: Digits, repeats: int, peers: set[str]) -> None:
    """Print seconds of six budgets and of one, for 250 images."""
    images, labels = digits.images[:BATCH], digits.labels[:BATCH]

    def images_alone(*budgets: float) -> list[np.ndarray]:
        signs = ascent_signs(digits.model, images, labels, None)
        return [clipped_step(images, signs, budget) for budget in budgets]

    workloads: dict[str, Workload] = {
        "ours": lambda: fgsm(digits.model, images, labels, epsilons=EPSILONS),
        "ours, images alone": lambda: images_alone(*EPSILONS),
    }
    if "art" in peers:
        from art.attacks.evasion import FastGradientMethod

        estimator = classifier(digits.logits, from_logits=True)
        attacks = [
            FastGradientMethod(estimator, eps=epsilon, batch_size=BATCH) for epsilon in EPSILONS
        ]
        workloads["ART"] = lambda: [attack.generate(images, y=labels) for attack in attacks]
        differences = [
            np.abs(result.adversarial - art_images).max()
            for result, art_images in zip(workloads["ours"](), workloads["ART"](), strict=True)
        ]
        print(f"FGSM, six budgets, {BATCH} images: largest difference {max(differences):.1g}")
    print_ratios(interleaved(workloads, repeats))

    workloads = {
        "ours": lambda: fgsm(digits.model, images, labels, epsilons=[0.25])[0],
        "ours, images alone": lambda: images_alone(0.25),
    }
    if "cleverhans" in peers:
        from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

        def cleverhans_images() -> np.ndarray:
            adversarial = fast_gradient_method(
                digits.logits,
                images,
                0.25,
                np.inf,
                clip_min=0.0,
                clip_max=1.0,
                y=labels,
                sanity_checks=False,
            )
            return np.asarray(adversarial)

        def with_success() -> Any:
            proba = [
                digits.model.predict_on_batch(batch) for batch in (images, cleverhans_images())
            ]
            return [array.argmax(axis=1) != labels for array in proba]

        workloads |= {"CleverHans": cleverhans_images, "CleverHans, judged": with_success}
        differences = [np.abs(workloads["ours"]().adversarial - cleverhans_images()).max()]
        print(f"FGSM, one budget, {BATCH} images: largest difference {max(differences):.1g}")
    print_ratios(interleaved(workloads, repeats))


def measure_jsma(digits: Digits, repeats: int, peers: set[str]) -> None:
    """Print seconds of 270 attacks in one batch, and the share of images identical to ART's."""
    predicted = digits.model.predict(digits.images, verbose=0).argmax(axis=1)
    rows = np.flatnonzero(predicted == digits.labels)[:N_SOURCES]
    order, targets = np.nonzero(np.arange(N_CLASSES) != predicted[rows, None])
    sources = digits.images[rows[order]]
    workloads: dict[str, Workload] = {
        "ours": lambda: jsma(digits.model, sources, targets, gamma=GAMMA, variant="single"),
        "ours, pairwise": lambda: jsma(digits.model, sources, targets, gamma=GAMMA),
    }
    print(f"JSMA, {len(sources)} attacks, theta 1, gamma {GAMMA}, single features:")
    if "art" in peers:
        from art.attacks.evasion import SaliencyMapMethod

        estimator = classifier(digits.model, from_logits=False)
        peer_workloads: dict[str, Workload] = {
            f"ART, batches of {size}": lambda size=size: SaliencyMapMethod(
                estimator, theta=1.0, gamma=GAMMA, batch_size=size, verbose=False
            ).generate(sources, y=targets)
            for size in ART_BATCHES
        }
        first_seconds = {name: seconds(workload)[0] for name, workload in peer_workloads.items()}
        print("  " + ", ".join(f"{name}: {value:.2f} s" for name, value in first_seconds.items()))
        best = min(first_seconds, key=first_seconds.__getitem__)
        workloads[best] = peer_workloads[best]
        peer_images = peer_workloads[best]()
        identical = (workloads["ours"]().adversarial == peer_images).all(axis=(1, 2, 3))
        within = (peer_images != sources).sum(axis=(1, 2, 3)) <= int(GAMMA * sources[0].size)
        print(
            f"  identical to ART's: {identical[within].mean():.1%} of the {within.sum()} that keep "
            f"the cap; ART changes more features in the other {(~within).sum()}"
        )
    print_ratios(interleaved(workloads, repeats))


def measure_one_pixel(digits: Digits, repeats: int, peers: set[str]) -> None:
    """Print queries a second of searches on the images with the highest confidence."""
    proba = digits.model.predict(digits.images[:100], verbose=0)
    most_confident = proba[np.arange(100), digits.labels[:100]].argsort()[-10:]
    images, labels = digits.images[most_confident], digits.labels[most_confident]
    predict = Counted(digits.model.predict_on_batch)
    size = max(1, BATCH_SIZE // POPULATION) * POPULATION
    bare = np.repeat(images, size // len(images), axis=0)
    settings = {"population": POPULATION, "generations": GENERATIONS, "seed": SEED}
    predictors = [predict]
    workloads: dict[str, Workload] = {
        "ours": lambda: one_pixel(predict, images, labels, **settings),
        "bare network": lambda: [predict(bare) for _ in range(len(images) * GENERATIONS)],
    }
    if "art" in peers:
        from art.attacks.evasion import PixelAttack

        estimator = classifier(digits.model, from_logits=False)
        estimator.predict = Counted(estimator.predict)
        predictors.append(estimator.predict)
        attack = PixelAttack(estimator, th=1, es=1, max_iter=GENERATIONS, verbose=False)
        workloads["ART"] = lambda: attack.generate(images, y=labels)
    print(f"One-Pixel, {len(images)} images, population {POPULATION}, {GENERATIONS} generations:")
    times = interleaved(workloads, repeats, predictors)
    for name, values in times.items():
        wall, cores = np.median(values, axis=0)
        print(f"  {name}: {1 / wall:,.0f} queries/s, {1 / cores:,.0f} a core")
        if name != "ours":
            print(f"    ours is faster by: {_wall_and_cores(values / times['ours'], '×')}")


def main() -> None:
    """Measure each attack beside the toolboxes that are installed."""
    options = options_of(
        __doc__,
        mnist={"required": True, "type": Path, "help": "mnist_t10k.npz"},
        repeats={"default": 5, "help": "measurements of each workload"},
        only={"choices": sorted(PARTS), "help": "one attack instead of all"},
    )
    peers = {name for name in ("art", "cleverhans") if importlib.util.find_spec(name)}
    for name in sorted({"art", "cleverhans"} - peers):
        print(f"{name} is not installed: ours is measured without it")
    digits = trained_digits(options.mnist)
    for name, measure in PARTS.items():
        if options.only in (None, name):
            measure(digits, options.repeats, peers)


PARTS = {"fgsm": measure_fgsm, "jsma": measure_jsma, "one_pixel": measure_one_pixel}

if __name__ == "__main__":
    main()
