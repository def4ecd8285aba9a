"""The headline rows of three papers, on small CNNs that the project trains itself.

Goodfellow et al. 2015, arXiv:1412.6572; Papernot et al. 2016, arXiv:1511.07528; Su et al. 2019,
arXiv:1710.08864. Each row is printed beside the paper's. The networks are small and trained on
8,000 of MNIST's test images and on 800 of CIFAR-10's, and attacked on others. Intervals are 95 %,
Wilson's; JSMA's tries towards nine targets of an image count as a group of its own.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from measuring import SEED, options_of

from flowers17.config import LearnerDefinition, RecipeSettings
from flowers17.data.splits import report_split
from flowers17.reporting.metrics import clustered_interval
from flowers17.seeds import derived_seed

DataSplit = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

N_CLASSES, GAMMA, EPSILON = 10, 0.145, 0.25
LENET = LearnerDefinition(name="small", blocks=((16,), (32,)), dense=128)
VGG = LearnerDefinition(name="small-colour", blocks=((16, 16), (32, 32), (64,)), dense=128)
QUICK = RecipeSettings(
    epochs=10, batch_size=64, learning_rate=0.05, momentum=0.9, schedule="one-cycle"
)
JSMA_VARIANTS: dict[str, dict[str, Any]] = {
    "single": {"variant": "single"},
    "pairwise on logits": {"saliency": "logits"},
    "pairwise on probabilities": {"saliency": "probabilities"},
}
LONG = QUICK.model_copy(
    update={"epochs": 60, "learning_rate": 0.02, "label_smoothing": 0.1, "selection": "last"}
)


def digits(path: Path) -> DataSplit:
    """MNIST's images float32 (n, 28, 28, 1) in [0, 1], labels, training and test rows."""
    with np.load(path, allow_pickle=False) as archive:
        images = np.concatenate([archive["x_train"], archive["x_test"]])[..., None]
        labels = np.concatenate([archive["y_train"], archive["y_test"]]).astype(np.int64)
        n_train = len(archive["x_train"])
    rows = np.arange(len(images))
    return images.astype(np.float32) / np.float32(255), labels, rows[:n_train], rows[n_train:]


def colours(path: Path) -> DataSplit:
    """CIFAR-10's images uint8 (n, 32, 32, 3), labels, training and test rows."""
    with np.load(path, allow_pickle=False) as archive:
        images, labels = archive["x_test"], archive["y_test"].astype(np.int64)
    seed = derived_seed(SEED, "cifar", "split")
    split = report_split(labels, validation_fraction=0.2, seed=seed)
    return images, labels, split.train, split.validation


def trained(
    data: DataSplit, definition: LearnerDefinition, recipe: RecipeSettings, augmentation: str
) -> Any:
    """Network trained by the project's engine; prints its accuracy on the test rows."""
    from flowers17.learners import build
    from flowers17.learners.devices import prepare
    from flowers17.learners.examples import Examples
    from flowers17.learners.training import train

    prepare("cpu", "float32", SEED)
    images, labels, rows, test = data
    options = {"definitions": (definition,), "seed": derived_seed(SEED, definition.name)}
    model = build(definition.name, images.shape[1:], N_CLASSES, **options)
    examples = Examples(images, labels, rows, test, N_CLASSES)
    with TemporaryDirectory() as folder:
        training = train(model, examples, recipe, augmentation, seed=SEED, folder=Path(folder))
    accuracy = training.history[training.best_epoch - 1]["val_accuracy"]
    print(f"{definition.name}: accuracy {accuracy:.3f} on {len(test)} test images")
    return model


def _share(successes: np.ndarray, images: np.ndarray) -> str:
    """The share of successes, with its interval; images: which image each try starts from."""
    interval = clustered_interval(successes, images)
    return f"{successes.mean():.3f} ({interval.low:.3f}–{interval.high:.3f}) of {len(successes)}"


def print_fgsm(model: Any, data: DataSplit) -> None:
    """Print the error under one step of ε 0.25."""
    from flowers17.robustness.fgsm import fgsm

    images, labels, _, test = data
    result = fgsm(model, images[test], labels[test], epsilons=[EPSILON])[0]
    confidence = model.predict(result.adversarial, verbose=0).max(axis=1)[result.success].mean()
    print(
        f"FGSM, ε {EPSILON}: error {_share(result.success, test)}; mean confidence {confidence:.3f}"
    )
    print("  paper: 0.999, 0.793 (softmax regression); 0.894, 0.976 (maxout network)")


def right_pairs(model: Any, data: DataSplit, n_sources: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of test images that are classified correctly, each with each of its nine targets."""
    images, labels, _, test = data
    right = test[model.predict(images[test], verbose=0).argmax(axis=1) == labels[test]]
    pairs = [(row, t) for row in right[:n_sources] for t in range(N_CLASSES) if t != labels[row]]
    rows, targets = (np.array(indices) for indices in zip(*pairs, strict=True))
    return rows, targets


def print_jsma(model: Any, data: DataSplit, n_sources: int) -> None:
    """Print the success rate towards each other class, and the share of features changed."""
    from flowers17.robustness.jsma import jsma

    images = data[0]
    rows, targets = right_pairs(model, data, n_sources)
    for title, variant in JSMA_VARIANTS.items():
        result = jsma(model, images[rows], targets, theta=1.0, gamma=GAMMA, **variant)
        share = result.l0[result.success].mean() / images[0].size
        n_spent = int((result.l0[~result.success] >= int(GAMMA * images[0].size) - 1).sum())
        print(
            f"JSMA, {title}, at most {GAMMA:.1%} of the features: success "
            f"{_share(result.success, rows)}; features changed by a success {share:.2%}; budget "
            f"used up in {n_spent} of {(~result.success).sum()} failures"
        )
    print("  paper: 0.971, 4.02 % (LeNet-5 on 60,000 images)")


def print_one_pixel(model: Any, data: DataSplit, n_images: int) -> None:
    """Print the success rate of one pixel on correctly classified images."""
    from flowers17.learners.images import scaled
    from flowers17.robustness.one_pixel import one_pixel

    images, labels, _, test = data
    pixels = scaled(images[test])
    right = np.flatnonzero(model.predict(pixels, verbose=0).argmax(axis=1) == labels[test])
    right = right[:n_images]
    started = time.monotonic()
    result = one_pixel(
        model.predict_on_batch,
        pixels[right],
        labels[test][right],
        population=400,
        generations=100,
        seed=SEED,
    )
    confidence = model.predict(result.adversarial, verbose=0).max(axis=1)[result.success].mean()
    print(
        f"One-Pixel, population 400, 100 generations: success {_share(result.success, right)}; "
        f"mean confidence {confidence:.3f}; {result.n_queries.mean():,.0f} queries an image; "
        f"{time.monotonic() - started:.0f} s"
    )
    print("  paper: 0.680, 0.740 (Kaggle's CIFAR-10; networks of 50,000 images)")


def main() -> None:
    """Train the networks, attack them and print each row beside the paper's."""
    options = options_of(
        __doc__,
        mnist={"required": True, "type": Path, "help": "mnist_t10k.npz"},
        cifar={"type": Path, "help": "cifar10_test1000.npz; without it no One-Pixel"},
        sources={"default": 30, "help": "images that JSMA starts from"},
        images={"default": 200, "help": "images of One-Pixel, at most"},
    )
    data = digits(options.mnist)
    model = trained(data, LENET, QUICK, "none")
    print_fgsm(model, data)
    print_jsma(model, data, options.sources)
    if options.cifar:
        data = colours(options.cifar)
        print_one_pixel(trained(data, VGG, LONG, "flips"), data, options.images)


if __name__ == "__main__":
    main()
