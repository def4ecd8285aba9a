"""One training: epochs of batches, a checkpoint after each, and the same end however often killed.

Everything that an epoch draws (order, augmentation, mixup) comes from seeds derived from the
training's own seed and the epoch's number, and all state that outlasts an epoch is in the
checkpoint; so a resumed training ends with the bytes of one that was never interrupted.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from flowers17.config import AugmentationName, RecipeSettings
from flowers17.data.augmentation import augmented_batch
from flowers17.digests import sha256_of
from flowers17.errors import InvalidSettings, TrainingDiverged
from flowers17.learners.checkpoints import Checkpoints, Generation, shapes_of
from flowers17.learners.evaluation import measures, probabilities
from flowers17.learners.examples import Examples, check
from flowers17.learners.fast_layers import fast_layers
from flowers17.learners.images import resized, scaled
from flowers17.learners.recipes import mixed, optimizer
from flowers17.learners.resolutions import resolution
from flowers17.seeds import derived_seed, generator

Epoch = dict[str, float]


@dataclass(frozen=True)
class Trained:
    """A finished training: one entry an epoch, and the epoch (from 1) whose weights are kept."""

    history: list[Epoch]
    best_epoch: int


class Perturbation(Protocol):
    """Changes a batch before it is trained on, as `recipe.adversary` says.

    images: float32 (b, h, w, 3) in [0, 1]. targets: float32 (b, n_classes), in sum 1. epoch, from
    1, and batch, from 0: what it draws at random comes from them. Returns images alike.
    """

    def __call__(
        self, images: np.ndarray, targets: np.ndarray, epoch: int, batch: int, /
    ) -> np.ndarray: ...


class Watcher(Protocol):
    """Told after every batch: epochs done, the numbers of this one so far, images a second."""

    def __call__(self, epochs: float, epoch: Epoch, rate: float, /) -> None: ...


def train(
    model: keras.Model,
    examples: Examples,
    recipe: RecipeSettings,
    augmentation: AugmentationName,
    *,
    seed: int,
    folder: Path,
    watch: Watcher | None = None,
    after_epoch: Callable[[list[Epoch]], None] | None = None,
    perturb: Perturbation | None = None,
    rates: Sequence[float] = (),
) -> Trained:
    """Train a model and leave the kept epoch's weights in it.

    model: inputs float32 → probabilities, its last layer a softmax alone; images come in [0, 1],
    activations as they are.
    folder: of the checkpoints, which are used if they are of this training, and stay there.
    perturb: of the model itself, for a recipe with an adversary, and only for such a one.
    rates: of each of the model's trainable variables, as a part of the recipe's learning rate, in
    (0, 1]; none: all are 1. The history tells the highest.
    Raises InvalidInput for examples or checkpoints that don't fit, InvalidSettings for a recipe
    or rates that don't, TrainingDiverged for a loss that is not finite.
    """
    check(model, examples, recipe, augmentation)
    if (perturb is None) != (recipe.adversary is None):
        raise InvalidSettings(
            f"{model.name}: expected a perturbation if the recipe has an adversary, and else none, "
            f"got {perturb} and {recipe.adversary}; see robustness.adversarial_training"
        )
    n_rates = len(model.trainable_variables)
    if rates and not (len(rates) == n_rates and all(0 < one <= 1 for one in rates)):
        raise InvalidSettings(
            f"{model.name}: expected none or {n_rates} rates in (0, 1], one for each trainable "
            f"variable, got {len(rates)}, from {min(rates)} to {max(rates)}; see "
            "transfer.fine_tuning.rates_by_block"
        )
    decides = {
        "seed": seed,
        "recipe": recipe.model_dump(mode="json"),
        "augmentation": augmentation,
        "rates": list(rates),
        "fast_layers": fast_layers(model),
        "backend": keras.backend.backend(),
        "layers": [[type(one).__name__, one.dtype_policy.name] for one in model.layers],
        "weights": [[one.name, list(one.shape), str(one.dtype)] for one in model.weights],
        "examples": examples.digests(),
    }
    with Checkpoints(folder, sha256_of(decides)) as checkpoints:
        run = Run(model, examples, recipe, augmentation, seed, perturb, rates)
        done = checkpoints.latest(shapes_of(model.weights, run.further_state()))
        if done:
            run.restore(done)
        while run.epoch < recipe.epochs:
            problem = run.one_epoch(watch)
            if problem:
                kept = f"epoch {run.epoch}" if run.epoch else "none yet"
                raise TrainingDiverged(
                    f"{model.name}: expected a finite loss, got {problem} in epoch "
                    f"{run.epoch + 1}; the last good checkpoint is {kept}, in {folder}. Lower the "
                    "learning rate (now at most "
                    f"{recipe.learning_rate:g}), or compute in float32"
                )
            run.save(checkpoints)
            if after_epoch:
                after_epoch(run.history)
        return run.finished()


class Run:
    """The state of a training between epochs, and one epoch of it; `train` is what to call."""

    def __init__(
        self,
        model: keras.Model,
        examples: Examples,
        recipe: RecipeSettings,
        augmentation: AugmentationName,
        seed: int,
        perturb: Perturbation | None = None,
        rates: Sequence[float] = (),
    ) -> None:
        self.model, self.examples, self.recipe = model, examples, recipe
        self.augmentation, self.seed, self.perturb = augmentation, seed, perturb
        self.targets = np.eye(examples.n_classes, dtype=np.float32)[examples.labels]
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self.best: list[np.ndarray] = []
        ends_in_softmax = isinstance(model.layers[-1], keras.layers.Softmax)
        # Of the logits, since the logarithm of a rounded softmax loses small gradients.
        outputs = model.layers[-1].input if ends_in_softmax else model.output
        self.trained = keras.Model(model.inputs, outputs, name=model.name)
        steps = -(-len(examples.train) // recipe.batch_size)
        self.trained.compile(
            optimizer=optimizer(recipe, steps, rates),
            loss=keras.losses.CategoricalCrossentropy(
                from_logits=ends_in_softmax, label_smoothing=recipe.label_smoothing
            ),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        )
        self.trained.optimizer.build(self.trained.trainable_variables)
        self._images: tuple[int, np.ndarray] = (examples.inputs.shape[1], examples.inputs)

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    def one_epoch(self, watch: Watcher | None) -> str:
        """Train for one epoch and add it to the history; return a loss that is not finite."""
        number = self.epoch + 1
        rate = float(keras.ops.convert_to_numpy(self.trained.optimizer.learning_rate))
        logs = self.train_epoch(number, watch)
        if not np.isfinite(logs["loss"]):
            return str(logs["loss"])
        rows = self.examples.validation
        proba = probabilities(self.model, self._sized(number)[rows])
        loss, accuracy = measures(proba, self.examples.labels[rows])
        if not np.isfinite(loss):
            return str(loss)
        self.history.append(
            {
                "epoch": number,
                "loss": logs["loss"],
                "accuracy": logs["accuracy"],
                "val_loss": loss,
                "val_accuracy": accuracy,
                "learning_rate": rate,
            }
        )
        return ""

    def train_epoch(self, number: int, watch: Watcher | None) -> Epoch:
        """Train on every batch of an epoch, or up to a loss that is not finite.

        Returns the means over the images so far of loss and accuracy, each taken when its batch
        was trained on.
        """
        # PyTorch draws dropout from a generator of its own; TensorFlow would compile all anew.
        if keras.backend.backend() == "torch":
            keras.utils.set_random_seed(derived_seed(self.seed, "epoch", number, "backend"))
        means: Epoch = {}
        sums = {"loss": 0.0, "accuracy": 0.0}
        started, seen, n_train = time.monotonic(), 0, len(self.examples.train)
        for batch, (images, targets) in enumerate(_ahead(self._batches(number))):
            if self.perturb:
                images = self.perturb(images, targets, number, batch)
            self.trained.reset_metrics()  # some versions of Keras do, some don't
            logs = self.trained.train_on_batch(images, targets, return_dict=True)
            seen += len(images)
            for name in sums:
                sums[name] += float(logs[name]) * len(images)
            means = {name: value / seen for name, value in sums.items()}
            if not np.isfinite(means["loss"]):
                break
            if watch:
                watch(self.epoch + seen / n_train, means, seen / (time.monotonic() - started))
        return means

    def save(self, checkpoints: Checkpoints) -> None:
        """Write the state after the epoch just done."""
        arrays = {
            "weights": _values(self.model.weights),
            "state": _values(self.further_state()),
        }
        lowest = min(self.history, key=lambda one: one["val_loss"])["epoch"]
        if self.recipe.selection == "last" or lowest == self.epoch:
            self.best_epoch, self.best = self.epoch, arrays["weights"]
        arrays["best"] = self.best
        values = {"history": self.history, "best_epoch": self.best_epoch}
        checkpoints.save(self.epoch, arrays, values, since={"best": self.best_epoch})

    def restore(self, generation: Generation) -> None:
        """Continue from a checkpoint."""
        _assign(self.model.weights, generation.arrays["weights"])
        _assign(self.further_state(), generation.arrays["state"])
        self.history = list(generation.values["history"])
        self.best_epoch = int(generation.values["best_epoch"])
        self.best = list(generation.arrays["best"])

    def finished(self) -> Trained:
        """Put the kept weights into the model."""
        _assign(self.model.weights, self.best)
        return Trained(self.history, self.best_epoch)

    def further_state(self) -> list[Any]:
        """Return the variables that are no weights: the optimizer's, and random generators'."""
        known = {id(one) for one in (*self.model.weights, *self.trained.metrics_variables)}
        seeds = [one for one in self.model.variables if id(one) not in known]
        return [*self.trained.optimizer.variables, *seeds]

    def _sized(self, number: int) -> np.ndarray:
        """Return the inputs, images at the size that an epoch is trained at; one size is kept."""
        size = max(1, round(resolution(self.recipe, number) * self.examples.inputs.shape[1]))
        if self._images[0] != size:
            self._images = (size, resized(self.examples.inputs, size))
        return self._images[1]

    def _views(self, number: int) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from rows to what an epoch sees of them, float32."""
        inputs, mirrored = self._sized(number), self.examples.mirrored
        if self.examples.are_images:
            return lambda rows: scaled(
                augmented_batch(inputs, rows, self.augmentation, root=self.seed, epoch=number)
            )
        if mirrored is None:
            return lambda rows: inputs[rows]
        turned = generator(self.seed, "epoch", number, "mirrored").random(len(inputs)) < 0.5
        where = (slice(None), *(None,) * (inputs.ndim - 1))
        return lambda rows: np.where(turned[rows][where], mirrored[rows], inputs[rows])

    def _batches(self, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        views = self._views(number)
        order = generator(self.seed, "epoch", number, "order").permutation(self.examples.train)
        random = generator(self.seed, "epoch", number, "mixup")
        mixes = self.recipe.mixup > 0 and number <= self.recipe.mixup_until * self.recipe.epochs
        for start in range(0, len(order), self.recipe.batch_size):
            rows = order[start : start + self.recipe.batch_size]
            inputs, targets = views(rows), self.targets[rows]
            yield mixed(inputs, targets, self.recipe.mixup, random) if mixes else (inputs, targets)


def _ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """Yield batches, the next being made while one is used."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = pool.submit(next, batches, None)
        while (batch := pending.result()) is not None:
            pending = pool.submit(next, batches, None)
            yield batch


def _values(variables: Sequence[Any]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(one)) for one in variables]


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
