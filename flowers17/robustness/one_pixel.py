"""The one-pixel attack: a black-box search by differential evolution for the pixels to replace."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from flowers17.errors import InvalidInput
from flowers17.robustness.base import (
    AttackResult,
    checked_images,
    checked_labels,
    checked_targets,
    own_generator,
    result,
)

Classifier = Callable[[np.ndarray], np.ndarray]

SCALE = 0.5  # F in the paper
COLOUR_MEAN, COLOUR_SPREAD = 128, 127
FEWEST = 3  # a child has three different parents
AT_ONCE = 512
TOLERANCE = 1e-3


def one_pixel(
    predict_proba: Classifier,
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

    predict_proba: from float32 (k, h, w, c) to probabilities (k, n_classes); all that is used of
    the model. It always gets equally many images, so that no image's result depends on others.
    images: float32 (n, h, w, c) in [0, 1]; labels, targets: int (n,), targets other than labels.
    population: candidates of an image; generations: how often they have children, at most.
    A search ends once a candidate is taken for the target (without targets: for anything but the
    label) and still is when rounded to 8 bits. A failure holds the best candidate.
    n_queries: the clean image, each candidate, and each rounded image that differs from its own.
    Raises InvalidInput for images, labels, targets, counts or probabilities out of range.
    Source: Su, Vargas and Sakurai 2019, arXiv:1710.08864, section 3.2. It leaves open what leaves
    its range: positions are reflected at the image's border, colours clipped.
    """
    images = checked_images(images)
    _check_counts(n_pixels, population, generations, images.shape[1] * images.shape[2])
    group_size = max(1, AT_ONCE // population)
    size = group_size * population
    before = _scored(predict_proba, images, size)
    labels = checked_labels(labels, len(images), before.shape[1])
    if targets is not None:
        targets = checked_targets(targets, labels, before.shape[1])
    goals = labels if targets is None else targets
    searches = [
        _Search(image, int(goal), targets is not None, n_pixels, population, seed)
        for image, goal in zip(images, goals, strict=True)
    ]
    for search, proba in zip(searches, before, strict=True):
        search.learn(search.image[None], proba[None])
    _settle(predict_proba, searches, size)
    for _ in range(generations + 1):
        going = [one for one in searches if not one.done]
        for start in range(0, len(going), group_size):
            group = going[start : start + group_size]
            candidates = [one.candidates() for one in group]
            proba = _scored(predict_proba, np.concatenate(candidates), size)
            for one, its, said in zip(group, candidates, np.split(proba, len(group)), strict=True):
                one.select(said)
                one.learn(its, said)
        _settle(predict_proba, going, size)
    n_queries = np.array([one.n_queries for one in searches], np.int64)
    found = result(
        images,
        np.stack([one.best for one in searches]),
        labels,
        targets,
        before,
        np.stack([one.best_proba for one in searches]),
        n_queries,
        np.zeros_like(n_queries),
    )
    return dataclasses.replace(found, success=np.array([one.done for one in searches]))


def perturbed(image: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Return an image with pixels replaced, once for each candidate: float32 (k, h, w, c).

    image: float32 (h, w, c) in [0, 1]. genes: float (k, n_pixels, 2 + c): row in [0, h), column in
    [0, w), and c colours in [0, 255], which are rounded. Of two on one pixel the last counts.
    """
    made = np.repeat(image[None], len(genes), axis=0)
    at = np.floor(genes[..., :2]).astype(np.int64)
    colours = np.rint(genes[..., 2:]).astype(np.float32) / np.float32(255)
    every = np.arange(len(genes))
    for pixel in range(genes.shape[1]):
        made[every, at[:, pixel, 0], at[:, pixel, 1]] = colours[:, pixel]
    return made


def stored(images: np.ndarray) -> np.ndarray:
    """Return images as they come back from 8-bit files, float32 in [0, 1]."""
    return np.rint(images * np.float32(255)).astype(np.float32) / np.float32(255)


def first_generation(
    random: np.random.Generator, population: int, n_pixels: int, shape: Sequence[int]
) -> np.ndarray:
    """Return genes, float64 (population, n_pixels, 2 + c), for images of a shape (h, w, c).

    Positions are uniform; colours normal with mean 128 and standard deviation 127, clipped.
    """
    at = random.uniform(0, shape[:2], (population, n_pixels, 2))
    colours = random.normal(COLOUR_MEAN, COLOUR_SPREAD, (population, n_pixels, shape[2]))
    return np.concatenate([at, np.clip(colours, 0, 255)], axis=-1)


def children(random: np.random.Generator, genes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return one child for each candidate, x₁ + F · (x₂ − x₃) of three different ones, in range."""
    n_genes = len(genes)
    first, second, third = (random.integers(0, n_genes - used, n_genes) for used in range(FEWEST))
    second += second >= first
    low, high = np.minimum(first, second), np.maximum(first, second)
    third += third >= low
    third += third >= high
    made = genes[first] + SCALE * (genes[second] - genes[third])
    for axis in (0, 1):
        within = np.abs(made[..., axis])
        within = np.minimum(within, 2 * shape[axis] - within)
        made[..., axis] = np.clip(within, 0, np.nextafter(shape[axis], 0))
    made[..., 2:] = np.clip(made[..., 2:], 0, 255)
    return made


class _Search:
    """The search for one image's pixels: its candidates, their costs, and the best so far."""

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
        self.random = own_generator(seed, image, "one-pixel", goal, int(targeted))
        self.genes = first_generation(self.random, population, n_pixels, image.shape)
        self.proposed = self.genes
        self.costs = np.full(population, np.inf)
        self.best, self.best_proba, self.best_cost = image, np.empty(0), np.inf
        self.claim: tuple[np.ndarray, np.ndarray] | None = None
        self.done = False
        self.n_queries = 0

    def candidates(self) -> np.ndarray:
        """Return the images to score: the first generation's, then its children's."""
        if np.isfinite(self.costs).all():
            self.proposed = children(self.random, self.genes, self.image.shape)
        return perturbed(self.image, self.proposed)

    def select(self, proba: np.ndarray) -> None:
        """Let each child replace its parent if it does at least as well."""
        costs = self._cost(proba)
        better = costs <= self.costs
        self.genes = np.where(better[:, None, None], self.proposed, self.genes)
        self.costs = np.where(better, costs, self.costs)

    def learn(self, images: np.ndarray, proba: np.ndarray) -> None:
        """Note the best of some images, and the best that reaches the goal as a claim."""
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
        """Return which rows of probabilities are what the attack wants."""
        return (proba.argmax(axis=1) == self.goal) == self.targeted

    def _cost(self, proba: np.ndarray) -> np.ndarray:
        of_goal = proba[:, self.goal].astype(np.float64)
        return -of_goal if self.targeted else of_goal


def _settle(predict_proba: Classifier, searches: Sequence[_Search], size: int) -> None:
    """End the searches whose claim also reaches its goal when rounded; drop the other claims."""
    claims = [(one, one.claim) for one in searches if one.claim]
    off_grid = [(one, claim) for one, claim in claims if np.any(stored(claim[0]) != claim[0])]
    refused = []
    if off_grid:
        rounded = np.stack([stored(image) for _, (image, _) in off_grid])
        for (one, _), said in zip(off_grid, _scored(predict_proba, rounded, size), strict=True):
            one.n_queries += 1
            if not one.reached(said[None])[0]:
                refused.append(one)
    for one, claim in claims:
        one.claim = None
        if one not in refused:
            (one.best, one.best_proba), one.done = claim, True


def _scored(predict_proba: Classifier, images: np.ndarray, size: int) -> np.ndarray:
    """Return the probabilities of images, (n, c), asked for `size` at a time."""
    found = []
    for start in range(0, len(images), size):
        chunk = images[start : start + size]
        filled = np.concatenate([chunk, np.repeat(chunk[-1:], size - len(chunk), axis=0)])
        found.append(_checked_proba(predict_proba(filled), size)[: len(chunk)])
    return np.concatenate(found)


def _checked_proba(proba: np.ndarray, n_images: int) -> np.ndarray:
    proba = np.asarray(proba)
    if proba.ndim != 2 or len(proba) != n_images or proba.shape[1] < 2:
        raise InvalidInput(
            f"predict_proba: expected probabilities ({n_images}, n_classes) of {n_images} images, "
            f"got shape {proba.shape}"
        )
    sums = proba.sum(axis=1, dtype=np.float64)
    if not (np.abs(sums - 1) <= TOLERANCE).all() or proba.min() < 0:
        raise InvalidInput(
            "predict_proba: expected probabilities, each row from 0 to 1 with sum 1, got values "
            f"from {proba.min()} to {proba.max()} and sums from {sums.min()} to {sums.max()}; end "
            "the model with a softmax"
        )
    return proba


def _check_counts(n_pixels: int, population: int, generations: int, n_places: int) -> None:
    wanted = {
        "n_pixels": (n_pixels, 1, n_places),
        "population": (population, FEWEST, None),
        "generations": (generations, 0, None),
    }
    for name, (value, least, most) in wanted.items():
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < least or (most is not None and value > most):
            bounds = f"{least} or more" if most is None else f"{least} to {most}"
            raise InvalidInput(f"{name}: expected a whole number, {bounds}, got {value!r}")
