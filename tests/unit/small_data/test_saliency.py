"""Maps of models whose reasons are known; weights shuffled change them (Adebayo et al. 2018)."""

import numpy as np
import pytest

from flowers17.small_data.saliency import border_share, map_similarity, occlusion_map

SIDE = 32


def linear_model(weights: np.ndarray) -> "object":
    """Probabilities of two classes by the logistic function of a weighted sum of brightness."""

    def proba_of(images: np.ndarray) -> np.ndarray:
        score = (images.mean(axis=3) / 255 * weights).sum(axis=(1, 2))
        positive = 1 / (1 + np.exp(-score))
        return np.column_stack([1 - positive, positive])

    return proba_of


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def test_map_is_the_fall_of_the_logarithm_where_a_cell_is_covered(image: np.ndarray) -> None:
    weights = np.random.default_rng(2).normal(0, 0.05, (SIDE, SIDE))
    proba_of = linear_model(weights)
    saliency = occlusion_map(proba_of, image, 1, n_cells=4)
    for row in range(4):
        for column in range(4):
            covered = image.copy()
            place = slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8)
            covered[place] = image.mean(axis=(0, 1)).astype(np.uint8)
            before, after = (float(proba_of(each[None])[0, 1]) for each in (image, covered))
            assert saliency[row, column] == pytest.approx(np.log(before) - np.log(after))


def test_a_model_that_looks_at_a_corner_is_told_so(image: np.ndarray) -> None:
    weights = np.zeros((SIDE, SIDE))
    weights[:4, :4] = 1
    image[:4, :4] = 255
    saliency = occlusion_map(linear_model(weights), image, 1)
    assert np.unravel_index(saliency.argmax(), saliency.shape) == (0, 0)
    assert border_share(saliency) == pytest.approx(1)
    assert border_share(np.ones((8, 8))) == 28 / 64


def test_shuffled_weights_change_the_map(image: np.ndarray) -> None:
    random = np.random.default_rng(3)
    weights = random.normal(0, 0.05, (SIDE, SIDE))
    trained = occlusion_map(linear_model(weights), image, 1)
    again = occlusion_map(linear_model(weights), image, 1)
    shuffled = [
        occlusion_map(
            linear_model(random.permuted(weights.ravel()).reshape(weights.shape)), image, 1
        )
        for _ in range(10)
    ]
    assert map_similarity(trained, again) == pytest.approx(1)
    similarities = [map_similarity(trained, each) for each in shuffled]
    assert abs(np.mean(similarities)) < 0.2
    assert map_similarity(trained, np.zeros((8, 8))) == 0
