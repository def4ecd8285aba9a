"""Our attacks against two toolboxes: alternately in one process, on the same networks and images.

  FGSM, six budgets: against ART's `FastGradientMethod`, called once per budget
  FGSM, one budget: against CleverHans's `fast_gradient_method`
    Toolboxes return images. `fgsm` also judges success, which takes predictions of the clean and
    the adversarial images. So ours is timed with and without them ("images alone"), and
    CleverHans's alone and with them ("judged").
  JSMA: 30 images × 9 targets in one batch, against ART's `SaliencyMapMethod` at its fastest batch
  One-Pixel: queries per second, against ART's `PixelAttack(es=1)` and the bare network

Run it with a Python that has the toolboxes (`pip install adversarial-robustness-toolbox cleverhans
tensorflow-probability`; CleverHans imports the last). It names a missing toolbox and runs ours
alone.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import SEED, median, print_machine

from flowers17.robustness.fgsm import ascent_signs, fgsm, stepped
from flowers17.robustness.jsma import jsma
from flowers17.robustness.one_pixel import AT_ONCE, one_pixel

EPSILONS = [0.01, 0.05, 0.1, 0.2, 0.25, 0.3]
N_CLASSES, BATCH = 10, 250
N_SOURCES, GAMMA = 30, 0.145
ART_BATCHES = (90, 270)
POPULATION, GENERATIONS = 400, 10
Way = Callable[[], Any]


@dataclass(frozen=True)
class Digits:
    """A trained network, its logits, and test images with their labels."""

    model: Any
    logits: Any
    images: np.ndarray
    labels: np.ndarray


def digits(path: Path) -> Digits:
    """Return a CNN of two convolutions trained for three epochs on half of MNIST's test images."""
    import keras

    with np.load(path, allow_pickle=False) as held:
        x, test = (
            held[part][..., None].astype(np.float32) / np.float32(255)
            for part in ("x_train", "x_test")
        )
        y, labels = held["y_train"].astype(np.int64), held["y_test"].astype(np.int64)
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


@dataclass(frozen=True)
class Taken:
    """Seconds of the wall clock, and of all cores together, which other work disturbs less."""

    wall: float
    cores: float


def taken(way: Way) -> Taken:
    """Return what a way takes."""
    wall, cores = time.perf_counter(), time.process_time()
    way()
    return Taken(time.perf_counter() - wall, time.process_time() - cores)


def in_turn(ways: dict[str, Way], repeats: int) -> dict[str, list[Taken]]:
    """Return what each way takes, one after another in each round; a first round doesn't count."""
    for way in ways.values():
        way()
    rounds = [{name: taken(way) for name, way in ways.items()} for _ in range(repeats)]
    return {name: [one[name] for one in rounds] for name in ways}


def print_ratios(found: dict[str, list[Taken]]) -> None:
    """Print median seconds of each way, and how many times as long as ours a toolbox took."""
    for name, values in found.items():
        print(f"  {name}: {_both(values, None, 's')}")
        for other in found:
            if other.startswith("ours") and not name.startswith("ours"):
                print(f"    of {other}: {_both(values, found[other], '×')}")


def _both(values: list[Taken], others: list[Taken] | None, unit: str) -> str:
    def part(name: str) -> str:
        each = [getattr(one, name) for one in values]
        if others:
            pairs = zip(each, others, strict=True)
            each = [one / getattr(other, name) for one, other in pairs]
        return f"{median(each):.3f} {unit} ({', '.join(f'{one:.3f}' for one in each)})"

    return f"wall {part('wall')}, cores {part('cores')}"


def classifier(model: Any, *, from_logits: bool) -> Any:
    """Return a Keras model as ART takes it."""
    import keras
    from art.estimators.classification import TensorFlowV2Classifier

    return TensorFlowV2Classifier(
        model=model,
        nb_classes=N_CLASSES,
        input_shape=(28, 28, 1),
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits),
        clip_values=(0, 1),
    )


def measure_fgsm(given: Digits, repeats: int, peers: set[str]) -> None:
    """Print seconds of six budgets and of one, for 250 images."""
    images, labels = given.images[:BATCH], given.labels[:BATCH]

    def alone(*budgets: float) -> list[np.ndarray]:
        signs = ascent_signs(given.model, images, labels, None)
        return [stepped(images, signs, one) for one in budgets]

    ways: dict[str, Way] = {
        "ours": lambda: fgsm(given.model, images, labels, epsilon=EPSILONS),
        "ours, images alone": lambda: alone(*EPSILONS),
    }
    if "art" in peers:
        from art.attacks.evasion import FastGradientMethod

        estimator = classifier(given.logits, from_logits=True)
        attacks = [FastGradientMethod(estimator, eps=one, batch_size=BATCH) for one in EPSILONS]
        ways["ART"] = lambda: [one.generate(images, y=labels) for one in attacks]
        differ = [
            np.abs(one.adversarial - theirs).max()
            for one, theirs in zip(ways["ours"](), ways["ART"](), strict=True)
        ]
        print(f"FGSM, six budgets, {BATCH} images: largest difference {max(differ):.1g}")
    print_ratios(in_turn(ways, repeats))

    ways = {
        "ours": lambda: fgsm(given.model, images, labels, epsilon=0.25),
        "ours, images alone": lambda: alone(0.25),
    }
    if "cleverhans" in peers:
        from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

        def theirs() -> np.ndarray:
            made = fast_gradient_method(
                given.logits,
                images,
                0.25,
                np.inf,
                clip_min=0.0,
                clip_max=1.0,
                y=labels,
                sanity_checks=False,
            )
            return np.asarray(made)

        def judged() -> Any:
            made = theirs()
            said = [given.model.predict_on_batch(one) for one in (images, made)]
            return [one.argmax(axis=1) != labels for one in said]

        ways |= {"CleverHans": theirs, "CleverHans, judged": judged}
        differ = [np.abs(ways["ours"]().adversarial - theirs()).max()]
        print(f"FGSM, one budget, {BATCH} images: largest difference {max(differ):.1g}")
    print_ratios(in_turn(ways, repeats))


def measure_jsma(given: Digits, repeats: int, peers: set[str]) -> None:
    """Print seconds of 270 attacks in one batch, and how many ART makes alike."""
    said = given.model.predict(given.images, verbose=0).argmax(axis=1)
    rows = np.flatnonzero(said == given.labels)[:N_SOURCES]
    pairs = [(row, one) for row in rows for one in range(N_CLASSES) if one != said[row]]
    sources = given.images[[row for row, _ in pairs]]
    targets = np.array([one for _, one in pairs])
    ways: dict[str, Way] = {
        "ours": lambda: jsma(given.model, sources, targets, gamma=GAMMA, variant="single"),
        "ours, pairwise": lambda: jsma(given.model, sources, targets, gamma=GAMMA),
    }
    print(f"JSMA, {len(pairs)} attacks, theta 1, gamma {GAMMA}, single features:")
    if "art" in peers:
        from art.attacks.evasion import SaliencyMapMethod

        estimator = classifier(given.model, from_logits=False)
        every: dict[str, Way] = {
            f"ART, batches of {size}": lambda size=size: SaliencyMapMethod(
                estimator, theta=1.0, gamma=GAMMA, batch_size=size, verbose=False
            ).generate(sources, y=targets)
            for size in ART_BATCHES
        }
        once = {name: taken(way).wall for name, way in every.items()}
        print("  " + ", ".join(f"{name}: {value:.2f} s" for name, value in once.items()))
        best = min(once, key=once.__getitem__)
        ways[best] = every[best]
        theirs = every[best]()
        same = (ways["ours"]().adversarial == theirs).all(axis=(1, 2, 3))
        within = (theirs != sources).sum(axis=(1, 2, 3)) <= int(GAMMA * sources[0].size)
        print(
            f"  identical to ART's: {same[within].mean():.1%} of the {within.sum()} that keep the "
            f"cap; ART changes more features in the other {(~within).sum()}"
        )
    print_ratios(in_turn(ways, repeats))


class Counted:
    """A function from images to probabilities that counts what it is asked."""

    def __init__(self, function: Callable[..., np.ndarray]) -> None:
        self.function, self.n = function, 0

    def __call__(self, images: np.ndarray, **more: Any) -> np.ndarray:
        self.n += len(images)
        return self.function(images, **more)

    def of_one(self, way: Way) -> Taken:
        """Return what a way takes for each query."""
        before, whole = self.n, taken(way)
        n = self.n - before
        return Taken(whole.wall / n, whole.cores / n)


def measure_one_pixel(given: Digits, repeats: int, peers: set[str]) -> None:
    """Print queries a second of searches on the images that the network is surest of."""
    proba = given.model.predict(given.images[:100], verbose=0)
    sure = proba[np.arange(100), given.labels[:100]].argsort()[-10:]
    images, labels = given.images[sure], given.labels[sure]
    ask = Counted(given.model.predict_on_batch)
    size = max(1, AT_ONCE // POPULATION) * POPULATION
    bare = np.repeat(images, size // len(images), axis=0)
    settings = {"population": POPULATION, "generations": GENERATIONS, "seed": SEED}
    ways: dict[str, tuple[Counted, Way]] = {
        "ours": (ask, lambda: one_pixel(ask, images, labels, **settings)),
        "bare network": (ask, lambda: [ask(bare) for _ in range(len(images) * GENERATIONS)]),
    }
    if "art" in peers:
        from art.attacks.evasion import PixelAttack

        estimator = classifier(given.model, from_logits=False)
        counted = estimator.predict = Counted(estimator.predict)
        attack = PixelAttack(estimator, th=1, es=1, max_iter=GENERATIONS, verbose=False)
        ways["ART"] = (counted, lambda: attack.generate(images, y=labels))
    for _, way in ways.values():
        way()
    rounds = [
        {name: counts.of_one(way) for name, (counts, way) in ways.items()} for _ in range(repeats)
    ]
    print(f"One-Pixel, {len(images)} images, population {POPULATION}, {GENERATIONS} generations:")
    for name in ways:
        each = [one[name] for one in rounds]
        rate = 1 / median([one.wall for one in each]), 1 / median([one.cores for one in each])
        print(f"  {name}: {rate[0]:,.0f} queries/s, {rate[1]:,.0f} a core")
        if name != "ours":
            print(f"    ours is faster by: {_both(each, [one['ours'] for one in rounds], '×')}")


def main() -> None:
    """Measure each attack beside the toolboxes that are installed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist", required=True, type=Path, help="mnist_t10k.npz")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each way")
    parser.add_argument("--only", choices=sorted(PARTS), help="one attack instead of all")
    options = parser.parse_args()
    print_machine()
    peers = {name for name in ("art", "cleverhans") if importlib.util.find_spec(name)}
    for name in sorted({"art", "cleverhans"} - peers):
        print(f"{name} is not installed: ours is measured without it")
    given = digits(options.mnist)
    for name, part in PARTS.items():
        if options.only in (None, name):
            part(given, options.repeats, peers)


PARTS = {"fgsm": measure_fgsm, "jsma": measure_jsma, "one_pixel": measure_one_pixel}

if __name__ == "__main__":
    main()
