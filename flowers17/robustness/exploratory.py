"""The exploratory attack: a surrogate learns a model's answers, and what fools it is shown to it.

The adversary sees predicted classes alone. It begins with a few images of its own, and asks for
further images, each a step of one before along the surrogate's gradient.
Source: Papernot et al. 2017, arXiv:1602.02697, section 4.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from flowers17.config import AttackSettings, ExploratorySettings, RecipeSettings
from flowers17.learners.evaluation import probabilities
from flowers17.learners.examples import Examples
from flowers17.learners.images import scaled
from flowers17.learners.training import train
from flowers17.robustness.batches import Arrays, resumed_arrays
from flowers17.robustness.fgsm import ascent_signs, clipped_step
from flowers17.robustness.jsma import jsma
from flowers17.robustness.pgd import fgsm_and_pgd
from flowers17.seeds import derived_seed, generator

PERIOD = 3  # rounds of queries after which the steps turn round
BATCH_SIZE, LEARNING_RATE = 32, 1e-3
NOT_SHOWN = -1

# From float32 images (k, h, w, c) in [0, 1] to the classes that the target predicts, int (k,).
Answers = Callable[[np.ndarray], np.ndarray]


def jacobian_steps(
    surrogate: keras.Model, images: np.ndarray, answers: np.ndarray, *, step: float
) -> np.ndarray:
    """Images, each a step towards its answer by the surrogate's gradient: uint8 (n, h, w, c).

    images: uint8 (n, h, w, c). answers: int (n,), the target's classes for them. step: in 255ths;
    below 0 the step leads away.
    """
    pixels = scaled(images)
    signs = -ascent_signs(surrogate, pixels, answers, None)
    return np.rint(clipped_step(pixels, signs, step / 255) * 255).astype(np.uint8)


def learned_surrogate(
    target: Answers,
    initial: Callable[[int], keras.Model],
    seeds: np.ndarray,
    held_out: np.ndarray,
    n_classes: int,
    settings: ExploratorySettings,
    *,
    seed: int,
    folder: Path,
    batch_size: int,
    progress: Callable[[int, int, str], None],
) -> tuple[keras.Model, list[int], np.ndarray]:
    """Surrogate that learned a target's answers, trained anew after each round of queries.

    initial: untrained surrogate by the seed of its weights. seeds, held_out: uint8 (n, h, w, c),
    the adversary's own images, and those that measure what it learned and choose nothing.
    folder: of checkpoints; killed work resumes in it, with queries in batches of `batch_size`.
    Returns the surrogate, the number of queries by round, and the classes that it predicts for the
    held-out images after each, int64 (n, rounds + 1).
    """
    held_out_answers, n_epochs = target(scaled(held_out)), settings.epochs
    adam = {"epochs": n_epochs, "optimizer": "adam", "learning_rate": LEARNING_RATE}
    queries, answers, counts, predicted = seeds[:0], held_out_answers[:0], [], []
    surrogate: keras.Model | None = None

    def further(batch: slice) -> Arrays:
        images = seeds[batch]
        if surrogate is not None:
            rows, step = drawn[batch], settings.step * (-1) ** ((number - 1) // PERIOD)
            images = jacobian_steps(surrogate, queries[rows], answers[rows], step=step)
        return {"queries": images, "answers": target(scaled(images))}

    for number in range(settings.rounds + 1):
        order = generator(seed, "queries", number).permutation(len(queries))
        drawn = np.sort(order[: settings.n_new]) if number else np.arange(len(seeds))
        part = resumed_arrays(folder / f"{number:02d}-queries", len(drawn), batch_size, further)
        queries = np.concatenate([queries, part["queries"]])
        answers = np.concatenate([answers, part["answers"]])
        n, role = len(queries), derived_seed(seed, "surrogate", number)
        surrogate = initial(role)
        images = np.concatenate([queries, held_out])
        labels = np.concatenate([answers, held_out_answers])
        rows = np.arange(len(images))
        train(
            surrogate,
            Examples(images, labels, rows[:n], rows[n:], n_classes),
            RecipeSettings(batch_size=min(BATCH_SIZE, n), selection="last", **adam),
            settings.augmentation,
            seed=role,
            folder=folder / f"{number:02d}-training",
            after_epoch=lambda history: progress(len(history), n_epochs, "epochs of a surrogate"),
        )
        counts.append(n)
        predicted.append(probabilities(surrogate, held_out).argmax(axis=1))
    return surrogate, counts, np.stack(predicted, axis=1)


def transferred(
    surrogate: keras.Model,
    target: Answers,
    images: np.ndarray,
    labels: np.ndarray,
    classes: np.ndarray,
    settings: AttackSettings,
    seed: int,
) -> Arrays:
    """Predictions of images before and after attacks on a surrogate: int64 (n, 1 + runs, 2).

    images: float32 (n, h, w, c) in [0, 1]; labels, classes: int (n,), a target class for JSMA
    or NOT_SHOWN. The last axis: the target's prediction and the surrogate's; the runs: FGSM at
    every budget, then PGD, then JSMA, which gives NOT_SHOWN without a class.
    """
    results = fgsm_and_pgd(
        surrogate,
        images,
        labels,
        [budget / 255 for budget in settings.exploratory.budgets],
        n_steps=settings.pgd_steps,
        seed=seed,
        restarts=settings.pgd_restarts,
        losses=settings.pgd_losses,
    )
    pairs = [(target(images), results[0].predicted_before)]
    pairs += [(target(result.adversarial), result.predicted) for result in results]
    predicted = np.full((len(images), len(pairs) + 1, 2), NOT_SHOWN)
    predicted[:, :-1] = np.stack([np.stack(pair, axis=1) for pair in pairs], axis=1)
    rows = np.flatnonzero(classes != NOT_SHOWN)
    if rows.size:
        parameters = settings.jsma.model_dump(include={"theta", "gamma", "variant"})
        result = jsma(surrogate, images[rows], classes[rows], **parameters)
        predicted[rows, -1] = np.stack([target(result.adversarial), result.predicted], axis=1)
    return {"predicted": predicted}
