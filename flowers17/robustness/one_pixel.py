"""The one-pixel attack: a black-box search by differential evolution for the pixels to replace."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from flowers17.robustness.base import (
    AttackResult,
    attack_result,
    checked_count,
    checked_images,
    checked_labels,
    checked_probabilities,
    checked_targets,
    image_generator,
)

PredictProba = Callable[[np.ndarray], np.ndarray]

SCALE = 0.5  # F in the paper
COLOUR_MEAN, COLOUR_SPREAD = 128, 127
N_PARENTS = 3  # a child has three different parents
BATCH_SIZE = 512


def one_pixel(
    predict_proba: PredictProba,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    targets: np.ndarray | None = None,
    n_pixels: int = 1,
    population: int = 400,
    generations: int = 100,
    seed: int,
) -> AttackResult:
    """Replace at most `n_pixels` pixels of each image by the most harmful that a search finds.

    predict_proba: from float32 (k, h, w, c) to probabilities (k, n_classes); the victim model is a
    black box. It always gets equally many images, so that no image's result depends on others.
    images: float32 (n, h, w, c) in [0, 1]; labels, targets: int (n,), targets other than labels.
    population: candidates of an image; generations: at most, of one child for each candidate.
    A search ends once a candidate is predicted as the target (without targets: as any class but the
    label) and still is when rounded to 8 bits. A failed search returns its best candidate.
    n_queries: the clean image, each candidate, and each rounded image that differs from its own.
    Raises InvalidInput for images, labels, targets, counts or probabilities out of range.
    Source: Su, Vargas and Sakurai 2019, arXiv:1710.08864, section 3.2. It leaves open what happens
    to genes out of range: positions are reflected at the image's border, colours clipped.
    """
    images = checked_images(images)
    checked_count(n_pixels, "n_pixels", most=images.shape[1] * images.shape[2])
    checked_count(population, "population", least=N_PARENTS)
    checked_count(generations, "generations", least=0)
    group_size = max(1, BATCH_SIZE // population)
    size = group_size * population
    before = _batched_proba(predict_proba, images, size)
    labels = checked_labels(labels, len(images), before.shape[1])
    if targets is not None:
        targets = checked_targets(targets, labels, before.shape[1])
    goals = labels if targets is None else targets
    searches = [
        _Search(image, int(goal), targets is not None, n_pixels, population, seed)
        for image, goal in zip(images, goals, strict=True)
    ]
    for search, proba in zip(searches, before, strict=True):
        search.record(search.image[None], proba[None])
    _confirm_claims(predict_proba, searches, size)
    for _ in range(generations + 1):
        active = [search for search in searches if not search.succeeded]
        for start in range(0, len(active), group_size):
            group = active[start : start + group_size]
            candidates = [search.candidates() for search in group]
            proba = _batched_proba(predict_proba, np.concatenate(candidates), size)
            shares = zip(group, candidates, np.split(proba, len(group)), strict=True)
            for search, search_images, search_proba in shares:
                search.select(search_proba)
                search.record(search_images, search_proba)
        _confirm_claims(predict_proba, active, size)
    outcome = attack_result(
        images,
        np.stack([search.best for search in searches]),
        labels,
        targets,
        before,
        np.stack([search.best_proba for search in searches]),
        np.array([search.n_queries for search in searches], np.int64),
        0,
    )
    return dataclasses.replace(outcome, success=np.array([search.succeeded for search in searches]))


def perturbed_images(image: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Image with pixels replaced, one copy for each candidate: float32 (k, h, w, c).

    image: float32 (h, w, c) in [0, 1]. genes: float (k, n_pixels, 2 + c): row in [0, h), column in
    [0, w), and c colours in [0, 255], which are rounded. Of two for one pixel the last counts.
    """
    copies = np.repeat(image[None], len(genes), axis=0)
    positions = np.floor(genes[..., :2]).astype(np.int64)
    colours = np.rint(genes[..., 2:]).astype(np.float32) / np.float32(255)
    rows = np.arange(len(genes))
    for pixel in range(genes.shape[1]):
        copies[rows, positions[:, pixel, 0], positions[:, pixel, 1]] = colours[:, pixel]
    return copies


def quantized(images: np.ndarray) -> np.ndarray:
    """Images rounded to 8 bits, as files hold them: float32 in [0, 1]."""
    return np.rint(images * np.float32(255)).astype(np.float32) / np.float32(255)


def initial_population(
    random: np.random.Generator, population: int, n_pixels: int, shape: Sequence[int]
) -> np.ndarray:
    """Random genes, float64 (population, n_pixels, 2 + c), for images of a shape (h, w, c).

    Positions are uniform; colours normal with mean 128 and standard deviation 127, clipped.
    """
    positions = random.uniform(0, shape[:2], (population, n_pixels, 2))
    colours = random.normal(COLOUR_MEAN, COLOUR_SPREAD, (population, n_pixels, shape[2]))
    return np.concatenate([positions, np.clip(colours, 0, 255)], axis=-1)


def children(random: np.random.Generator, genes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """One child for each candidate, x₁ + F · (x₂ − x₃) of three different parents, in range."""
    n_genes = len(genes)
    first, second, third = (random.integers(0, n_genes - i, n_genes) for i in range(N_PARENTS))
    second += second >= first
    low, high = np.minimum(first, second), np.maximum(first, second)
    third += third >= low
    third += third >= high
    trials = genes[first] + SCALE * (genes[second] - genes[third])
    for axis in (0, 1):
        coordinate = np.abs(trials[..., axis])
        coordinate = np.minimum(coordinate, 2 * shape[axis] - coordinate)
        trials[..., axis] = np.clip(coordinate, 0, np.nextafter(shape[axis], 0))
    trials[..., 2:] = np.clip(trials[..., 2:], 0, 255)
    return trials


class _Search:
    """Differential evolution for one image: its population, their costs, and the best so far."""

    def __init__(
        self,
        image: np.ndarray,
        goal: int,
        targeted: bool,
        n_pixels: int,
        population: int,
        seed: int,
    ) -> None:
        self.image, self.goal, self.targeted = image, goal, targeted
        self.random = image_generator(seed, image, "one-pixel", goal, int(targeted))
        self.genes = initial_population(self.random, population, n_pixels, image.shape)
        self.trials = self.genes
        self.costs = np.full(population, np.inf)
        self.best, self.best_proba, self.best_cost = image, np.empty(0), np.inf
        self.claim: tuple[np.ndarray, np.ndarray] | None = None
        self.succeeded = False
        self.n_queries = 0

    def candidates(self) -> np.ndarray:
        """Images to score: those of the initial population, then of each generation's children."""
        if np.isfinite(self.costs).all():
            self.trials = children(self.random, self.genes, self.image.shape)
        return perturbed_images(self.image, self.trials)

    def select(self, proba: np.ndarray) -> None:
        """Let each child replace its parent if it does at least as well."""
        costs = self._cost(proba)
        better = costs <= self.costs
        self.genes = np.where(better[:, None, None], self.trials, self.genes)
        self.costs = np.where(better, costs, self.costs)

    def record(self, images: np.ndarray, proba: np.ndarray) -> None:
        """Record the best image, and the best that reaches the goal before rounding as a claim."""
        self.n_queries += len(images)
        costs = self._cost(proba)
        lowest = int(costs.argmin())
        if costs[lowest] < self.best_cost:
            self.best, self.best_proba = images[lowest].copy(), proba[lowest]
            self.best_cost = costs[lowest]
        reached = self.reached(proba)
        if reached.any():
            row = int(np.where(reached, costs, np.inf).argmin())
            self.claim = images[row].copy(), proba[row]

    def reached(self, proba: np.ndarray) -> np.ndarray:
        """Mask of the rows of probabilities that reach the attack's goal: bool (k,)."""
        return (proba.argmax(axis=1) == self.goal) == self.targeted

    def _cost(self, proba: np.ndarray) -> np.ndarray:
        of_goal = proba[:, self.goal].astype(np.float64)
        return -of_goal if self.targeted else of_goal


def _confirm_claims(predict_proba: PredictProba, searches: Sequence[_Search], size: int) -> None:
    """End the searches whose claim still reaches the goal when rounded; drop the other claims."""
    claims = [(search, search.claim) for search in searches if search.claim]
    off_grid = [
        (search, claim) for search, claim in claims if np.any(quantized(claim[0]) != claim[0])
    ]
    rejected = []
    if off_grid:
        rounded = np.stack([quantized(image) for _, (image, _) in off_grid])
        rounded_proba = _batched_proba(predict_proba, rounded, size)
        for (search, _), proba in zip(off_grid, rounded_proba, strict=True):
            search.n_queries += 1
            if not search.reached(proba[None])[0]:
                rejected.append(search)
    for search, claim in claims:
        search.claim = None
        if search not in rejected:
            (search.best, search.best_proba), search.succeeded = claim, True


def _batched_proba(predict_proba: PredictProba, images: np.ndarray, size: int) -> np.ndarray:
    """Probabilities of images, (n, n_classes), predicted in batches of `size`."""
    chunks = []
    for start in range(0, len(images), size):
        chunk = images[start : start + size]
        filled = np.concatenate([chunk, np.repeat(chunk[-1:], size - len(chunk), axis=0)])
        chunks.append(
            checked_probabilities(predict_proba(filled), size, "predict_proba")[: len(chunk)]
        )
    return np.concatenate(chunks)
