"""The attacks beside those of two toolboxes: alternately in one process, on the same networks.

Run it with a Python that has the toolboxes (`pip install adversarial-robustness-toolbox cleverhans
tensorflow-probability`; CleverHans imports the last). It names a missing toolbox and runs ours
alone.
"""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from measuring import SEED, in_turn, options_of
from papers import LENET, QUICK, DataSplit, digits, right_pairs, trained

from flowers17.robustness.fgsm import ascent_signs, clipped_step, fgsm
from flowers17.robustness.gradients import logits_of
from flowers17.robustness.jsma import jsma
from flowers17.robustness.one_pixel import BATCH_SIZE, one_pixel

EPSILONS = [0.01, 0.05, 0.1, 0.2, 0.25, 0.3]
N_CLASSES, BATCH = 10, 250
N_SOURCES, GAMMA = 30, 0.145
ART_BATCHES = (90, 270)
POPULATION, GENERATIONS = 400, 10
Workloads = Mapping[str, Callable[[], Any]]


def print_ratios(workloads: Workloads, repeats: int, n_queries: Mapping[str, int] = {}) -> None:
    """Print seconds of workloads, or of a query of theirs, and ratios to each of the project's."""
    timers = in_turn(workloads, repeats)
    for clock in ("seconds", "cores"):
        seconds = pd.DataFrame([vars(timer)[clock] for timer in timers])
        seconds /= pd.Series({name: n_queries.get(name, 1) for name in workloads})
        tables = {f"of {name}": seconds.div(seconds[name], axis=0) for name in workloads}
        own = {title: table for title, table in tables.items() if title.startswith("of ours")}
        for title, table in {"s": seconds, **own}.items():
            print(f"{clock}, {title}\n{table.agg(['median', 'min', 'max']).T.to_string()}")


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


def measure_fgsm(model: Any, data: DataSplit, repeats: int, peers: set[str]) -> None:
    """Print seconds of six budgets and of one, for 250 images."""
    (images, labels), logits = (array[data[3][:BATCH]] for array in data[:2]), logits_of(model)

    def images_alone(*budgets: float) -> list[np.ndarray]:
        signs = ascent_signs(model, images, labels, None)
        return [clipped_step(images, signs, budget) for budget in budgets]

    at_six_budgets: dict[str, Callable[[], Any]] = {
        "ours": lambda: fgsm(model, images, labels, epsilons=EPSILONS),
        "ours, images alone": lambda: images_alone(*EPSILONS),
    }
    if "art" in peers:
        from art.attacks.evasion import FastGradientMethod

        estimator = classifier(logits, from_logits=True)
        attacks = [FastGradientMethod(estimator, eps=e, batch_size=BATCH) for e in EPSILONS]
        at_six_budgets["ART"] = lambda: [attack.generate(images, y=labels) for attack in attacks]
        difference = np.abs(np.subtract(images_alone(*EPSILONS), at_six_budgets["ART"]())).max()
        print(f"FGSM, six budgets, {BATCH} images: largest difference {difference:.1g}")
    print_ratios(at_six_budgets, repeats)
    at_one_budget: dict[str, Callable[[], Any]] = {
        "ours": lambda: fgsm(model, images, labels, epsilons=[0.25])[0],
        "ours, images alone": lambda: images_alone(0.25),
    }
    if "cleverhans" in peers:
        from cleverhans.tf2.attacks.fast_gradient_method import fast_gradient_method

        options = {"clip_min": 0.0, "clip_max": 1.0, "y": labels, "sanity_checks": False}

        def peer_images() -> np.ndarray:
            return np.asarray(fast_gradient_method(logits, images, 0.25, np.inf, **options))

        at_one_budget["CleverHans"] = peer_images
        at_one_budget["CleverHans, judged"] = lambda: [
            model.predict_on_batch(batch).argmax(axis=1) != labels
            for batch in (images, peer_images())
        ]
        difference = np.abs(images_alone(0.25)[0] - peer_images()).max()
        print(f"FGSM, one budget, {BATCH} images: largest difference {difference:.1g}")
    print_ratios(at_one_budget, repeats)


def measure_jsma(model: Any, data: DataSplit, repeats: int, peers: set[str]) -> None:
    """Print seconds of 270 attacks in one batch, and the share of images identical to ART's."""
    rows, targets = right_pairs(model, data, N_SOURCES)
    sources = data[0][rows]
    workloads: dict[str, Callable[[], Any]] = {
        "ours": lambda: jsma(model, sources, targets, gamma=GAMMA, variant="single"),
        "ours, pairwise": lambda: jsma(model, sources, targets, gamma=GAMMA),
    }
    print(f"JSMA, {len(sources)} attacks, theta 1, gamma {GAMMA}, single features:")
    if "art" in peers:
        from art.attacks.evasion import SaliencyMapMethod

        options = {"theta": 1.0, "gamma": GAMMA, "verbose": False}
        estimator = classifier(model, from_logits=False)
        for size in ART_BATCHES:
            attack = SaliencyMapMethod(estimator, batch_size=size, **options)
            workloads[f"ART, batches of {size}"] = lambda attack=attack: attack.generate(
                sources, y=targets
            )
        peer_images = attack.generate(sources, y=targets)
        identical = (workloads["ours"]().adversarial == peer_images).all(axis=(1, 2, 3))
        within = (peer_images != sources).sum(axis=(1, 2, 3)) <= int(GAMMA * sources[0].size)
        print(
            f"  identical to ART's: {identical[within].mean():.1%} of the {within.sum()} that keep "
            f"the cap; ART changes more features in the other {(~within).sum()}"
        )
    print_ratios(workloads, repeats)


def measure_one_pixel(model: Any, data: DataSplit, repeats: int, peers: set[str]) -> None:
    """Print seconds a query of searches on the images with the highest confidence."""
    images, labels = (array[data[3][:100]] for array in data[:2])
    proba = model.predict(images, verbose=0)
    most_confident = proba[np.arange(100), labels].argsort()[-10:]
    images, labels = images[most_confident], labels[most_confident]
    bare = np.repeat(images, max(1, BATCH_SIZE // POPULATION) * POPULATION // len(images), axis=0)
    settings = {"population": POPULATION, "generations": GENERATIONS, "seed": SEED}
    workloads: dict[str, Callable[[], Any]] = {
        "ours": lambda: one_pixel(model.predict_on_batch, images, labels, **settings),
        "bare network": lambda: [
            model.predict_on_batch(bare) for _ in range(len(images) * GENERATIONS)
        ],
    }
    n_queries = {
        "ours": int(workloads["ours"]().n_queries.sum()),
        "bare network": len(bare) * len(images) * GENERATIONS,
    }
    if "art" in peers:
        from art.attacks.evasion import PixelAttack

        estimator = classifier(model, from_logits=False)
        predict, asked = estimator.predict, []

        def counted(batch: np.ndarray, **options: Any) -> np.ndarray:
            asked.append(len(batch))
            return np.asarray(predict(batch, **options))

        estimator.predict = counted
        attack = PixelAttack(estimator, th=1, es=1, max_iter=GENERATIONS, verbose=False)
        workloads["ART"] = lambda: attack.generate(images, y=labels)
        workloads["ART"]()
        n_queries["ART"] = sum(asked)
    print(f"One-Pixel, {len(images)} images, {POPULATION} candidates, {GENERATIONS} generations:")
    print_ratios(workloads, repeats, n_queries)


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
    data = digits(options.mnist)
    model = trained(data, LENET, QUICK, "none")
    for name, measure in PARTS.items():
        if options.only in (None, name):
            measure(model, data, options.repeats, peers)


PARTS = {"fgsm": measure_fgsm, "jsma": measure_jsma, "one_pixel": measure_one_pixel}

if __name__ == "__main__":
    main()
