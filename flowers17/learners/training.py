"""Training of a network: epochs of batches, with a checkpoint after each epoch.

All random draws of an epoch (order, augmentation, mixup) come from seeds derived from the
training's seed and the epoch's number, and the checkpoint holds all state between epochs. So a
resumed training ends with the same bytes as an uninterrupted one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from flowers17.config import AugmentationName, RecipeSettings
from flowers17.data.augmentation import augmented_batch
from flowers17.digests import sha256_of
from flowers17.errors import InvalidSettings, TrainingDiverged
from flowers17.learners.checkpoints import Checkpoints, Generation, shapes_of
from flowers17.learners.evaluation import loss_and_accuracy, probabilities
from flowers17.learners.examples import Examples, check_examples
from flowers17.learners.fast_layers import fast_layers
from flowers17.learners.images import resized, resolution, scaled
from flowers17.learners.recipes import mixup, optimizer
from flowers17.seeds import derived_seed, generator

Epoch = dict[str, float]


@dataclass(frozen=True)
class TrainingResult:
    """History of a finished training, one entry an epoch, and its best epoch, from 1."""

    history: list[Epoch]
    best_epoch: int


# The adversary of a recipe, called with a training batch, float32 (b, h, w, 3) in [0, 1], its
# targets, float32 (b, n_classes) whose rows sum to 1, the epoch, from 1, and the batch, from 0,
# which seed the random draws. It returns images alike.
Perturbation = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]
# Called after every batch: epochs so far, means over the current epoch, images a second.
BatchCallback = Callable[[float, Epoch, float], None]


def train(
    model: keras.Model,
    examples: Examples,
    recipe: RecipeSettings,
    augmentation: AugmentationName,
    *,
    seed: int,
    folder: Path,
    after_batch: BatchCallback | None = None,
    after_epoch: Callable[[list[Epoch]], None] | None = None,
    perturb: Perturbation | None = None,
    rates: Sequence[float] = (),
) -> TrainingResult:
    """Train a model and load the best epoch's weights into it.

    model: inputs float32 → probabilities; its last layer is the softmax alone. It gets images in
    [0, 1] and activations unchanged.
    folder: of the checkpoints. Training resumes from the newest one; all of them stay.
    after_epoch: called with the history so far.
    perturb: perturbation against the model; given if and only if the recipe has an adversary.
    rates: learning rate of each trainable variable, as a factor of the recipe's in (0, 1]; empty:
    all are 1. The history has the highest rate.
    Raises InvalidInput for examples or checkpoints that do not fit, InvalidSettings for a recipe
    or rates that do not, TrainingDiverged for a loss that is not finite.
    """
    check_examples(model, examples, recipe, augmentation)
    if (perturb is None) != (recipe.adversary is None):
        raise InvalidSettings(
            f"{model.name}: expected a perturbation if the recipe has an adversary, and else none, "
            f"got {perturb} and {recipe.adversary}; see robustness.adversarial_training"
        )
    n_rates = len(model.trainable_variables)
    if rates and not (len(rates) == n_rates and all(0 < rate <= 1 for rate in rates)):
        raise InvalidSettings(
            f"{model.name}: expected none or {n_rates} rates in (0, 1], one for each trainable "
            f"variable, got {len(rates)}, from {min(rates)} to {max(rates)}; see "
            "transfer.fine_tuning.rates_by_block"
        )
    configuration = {
        "seed": seed,
        "recipe": recipe.model_dump(mode="json"),
        "augmentation": augmentation,
        "rates": list(rates),
        "fast_layers": fast_layers(model),
        "backend": keras.backend.backend(),
        "layers": [[type(layer).__name__, layer.dtype_policy.name] for layer in model.layers],
        "weights": [
            [weight.name, list(weight.shape), str(weight.dtype)] for weight in model.weights
        ],
        "examples": examples.digests(),
        **({"class_weight": examples.class_weight} if examples.class_weight else {}),
    }
    with Checkpoints(folder, sha256_of(configuration)) as checkpoints:
        run = Run(model, examples, recipe, augmentation, seed, perturb, rates)
        checkpoint = checkpoints.latest(shapes_of(model.weights, run.further_state()))
        if checkpoint:
            run.restore(checkpoint)
        while run.epoch < recipe.epochs:
            bad_loss = run.run_epoch(after_batch)
            if bad_loss:
                last_good = f"epoch {run.epoch}" if run.epoch else "none yet"
                raise TrainingDiverged(
                    f"{model.name}: expected a finite loss, got {bad_loss} in epoch "
                    f"{run.epoch + 1}; the last good checkpoint is {last_good}, in {folder}. "
                    f"Lower the learning rate (now at most {recipe.learning_rate:g}), or compute "
                    "in float32"
                )
            run.save(checkpoints)
            if after_epoch:
                after_epoch(run.history)
        _assign(model.weights, run.best_weights)
        return TrainingResult(run.history, run.best_epoch)


@dataclass(eq=False)
class Run:
    """State of a training between epochs, and the training of one epoch; used by `train`."""

    model: keras.Model
    examples: Examples
    recipe: RecipeSettings
    augmentation: AugmentationName
    seed: int
    perturb: Perturbation | None = None
    rates: Sequence[float] = ()

    def __post_init__(self) -> None:
        model, examples, recipe = self.model, self.examples, self.recipe
        self.targets = np.eye(examples.n_classes, dtype=np.float32)[examples.labels]
        self.class_weights = examples.class_weights()
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] = []
        ends_in_softmax = isinstance(model.layers[-1], keras.layers.Softmax)
        # The loss reads logits, since the logarithm of a rounded softmax loses small gradients.
        outputs = model.layers[-1].input if ends_in_softmax else model.output
        self.network = keras.Model(model.inputs, outputs, name=model.name)
        steps = -(-len(examples.train) // recipe.batch_size)
        self.network.compile(
            optimizer=optimizer(recipe, steps, self.rates),
            loss=keras.losses.CategoricalCrossentropy(
                from_logits=ends_in_softmax, label_smoothing=recipe.label_smoothing
            ),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        )
        self.network.optimizer.build(self.network.trainable_variables)
        self._images: tuple[int, np.ndarray] = (examples.inputs.shape[1], examples.inputs)

    @property
    def epoch(self) -> int:
        """Number of epochs so far."""
        return len(self.history)

    def run_epoch(self, after_batch: BatchCallback | None) -> str:
        """Train and validate one epoch; return the loss as text if it is not finite, else ""."""
        number = self.epoch + 1
        rate = float(keras.ops.convert_to_numpy(self.network.optimizer.learning_rate))
        logs = self.train_epoch(number, after_batch)
        if not np.isfinite(logs["loss"]):
            return str(logs["loss"])
        rows = self.examples.validation
        proba = probabilities(self.model, self._sized(number)[rows])
        loss, accuracy = loss_and_accuracy(proba, self.examples.labels[rows], self.class_weights)
        if not np.isfinite(loss):
            return str(loss)
        scores = {"val_loss": loss, "val_accuracy": accuracy, "learning_rate": rate}
        self.history.append({"epoch": number, **logs, **scores})
        return ""

    def train_epoch(self, number: int, after_batch: BatchCallback | None) -> Epoch:
        """Train on every batch of an epoch, stopping at a loss that is not finite.

        Returns mean loss and accuracy over the images, each computed as its batch was trained on.
        """
        # PyTorch draws dropout from its own generator; on TensorFlow this would recompile all.
        if keras.backend.backend() == "torch":
            keras.utils.set_random_seed(derived_seed(self.seed, "epoch", number, "backend"))
        means: Epoch = {}
        sums = {"loss": 0.0, "accuracy": 0.0}
        start, n_seen, n_train = time.monotonic(), 0, len(self.examples.train)
        for batch, (images, targets) in enumerate(_ahead(self._batches(number))):
            if self.perturb:
                images = self.perturb(images, targets, number, batch)
            self.network.reset_metrics()  # not every version of Keras does
            weights = None if self.class_weights is None else targets @ self.class_weights
            logs = self.network.train_on_batch(
                images, targets, sample_weight=weights, return_dict=True
            )
            n_seen += len(images)
            for name in sums:
                sums[name] += float(logs[name]) * len(images)
            means = {name: value / n_seen for name, value in sums.items()}
            if not np.isfinite(means["loss"]):
                break
            if after_batch:
                rate = n_seen / (time.monotonic() - start)
                after_batch(self.epoch + n_seen / n_train, means, rate)
        return means

    def save(self, checkpoints: Checkpoints) -> None:
        """Write the state after the last epoch."""
        arrays = {
            "weights": _values(self.model.weights),
            "state": _values(self.further_state()),
        }
        lowest = min(self.history, key=lambda epoch: epoch["val_loss"])["epoch"]
        if self.recipe.selection == "last" or lowest == self.epoch:
            self.best_epoch, self.best_weights = self.epoch, arrays["weights"]
        arrays["best"] = self.best_weights
        values = {"history": self.history, "best_epoch": self.best_epoch}
        checkpoints.save(self.epoch, arrays, values, since={"best": self.best_epoch})

    def restore(self, generation: Generation) -> None:
        """Load the state of a checkpoint."""
        _assign(self.model.weights, generation.arrays["weights"])
        _assign(self.further_state(), generation.arrays["state"])
        self.history = list(generation.values["history"])
        self.best_epoch = int(generation.values["best_epoch"])
        self.best_weights = list(generation.arrays["best"])

    def further_state(self) -> list[Any]:
        """Variables other than weights: those of the optimizer and of random generators."""
        excluded = set(map(id, (*self.model.weights, *self.network.metrics_variables)))
        seeds = [variable for variable in self.model.variables if id(variable) not in excluded]
        return [*self.network.optimizer.variables, *seeds]

    def _sized(self, number: int) -> np.ndarray:
        """Inputs of an epoch, images at its resolution; the last size is cached.

        Each size compiles anew: a graph of an earlier size is relaxed to take any, and rounds
        otherwise than that of a process which resumes here.
        """
        size = max(1, round(resolution(self.recipe, number) * self.examples.inputs.shape[1]))
        if self._images[0] != size:
            self._images = (size, resized(self.examples.inputs, size))
            self.network.train_function = self.model.predict_function = None
        return self._images[1]

    def _views(self, number: int) -> Callable[[np.ndarray], np.ndarray]:
        """Function from row indices to an epoch's float32 inputs, augmented or mirrored."""
        inputs, mirrored = self._sized(number), self.examples.mirrored
        if self.examples.are_images:
            return lambda rows: scaled(
                augmented_batch(inputs, rows, self.augmentation, root=self.seed, epoch=number)
            )
        if mirrored is None:
            return lambda rows: inputs[rows]
        flipped = generator(self.seed, "epoch", number, "mirrored").random(len(inputs)) < 0.5
        broadcast = (slice(None), *(None,) * (inputs.ndim - 1))
        return lambda rows: np.where(flipped[rows][broadcast], mirrored[rows], inputs[rows])

    def _batches(self, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        views = self._views(number)
        order = generator(self.seed, "epoch", number, "order").permutation(self.examples.train)
        rng = generator(self.seed, "epoch", number, "mixup")
        mixes = self.recipe.mixup > 0 and number <= self.recipe.mixup_until * self.recipe.epochs
        for start in range(0, len(order), self.recipe.batch_size):
            rows = order[start : start + self.recipe.batch_size]
            inputs, targets = views(rows), self.targets[rows]
            yield mixup(inputs, targets, self.recipe.mixup, rng) if mixes else (inputs, targets)


def _ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """Yield batches, each prepared while the one before is in use."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = pool.submit(next, batches, None)
        while (batch := pending.result()) is not None:
            pending = pool.submit(next, batches, None)
            yield batch


def _values(variables: Sequence[Any]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
