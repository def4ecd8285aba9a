"""The one-pixel attack finds the worst pixel, changes no other, and counts its queries."""

import numpy as np
import pytest

from flowers17.robustness.one_pixel import (
    PredictProba,
    children,
    initial_population,
    one_pixel,
    quantized,
)


def softmax_of(weights: np.ndarray, bias: list[float]) -> PredictProba:
    """Probabilities of a linear model; weights (h, w, c, classes)."""

    def predict_proba(images: np.ndarray) -> np.ndarray:
        logits = np.einsum("nhwc,hwck->nk", images.astype(np.float64), weights) + bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    return predict_proba


def noise(n_images: int, channels: int = 3, size: int = 6) -> np.ndarray:
    random = np.random.default_rng(1)
    values = random.integers(0, 256, (n_images, size, size, channels))
    return values.astype(np.float32) / np.float32(255)


def random_model(channels: int = 3, size: int = 6, spread: float = 1.0) -> PredictProba:
    random = np.random.default_rng(2)
    return softmax_of(random.normal(0, spread, (size, size, channels, 4)), [0, 0, 0, 0])


def predicted(model: PredictProba, images: np.ndarray) -> np.ndarray:
    return model(images).argmax(axis=1)


def n_pixels_changed(adversarial: np.ndarray, images: np.ndarray) -> np.ndarray:
    return (adversarial != images).any(axis=-1).sum(axis=(1, 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_most_harmful_pixel_of_a_linear_model_is_found(channels: int) -> None:
    # A grey image; one pixel can lower class 0 by 3 a channel, the others by 1 at most.
    weights = np.zeros((5, 5, channels, 2))
    weights[..., 0] = np.random.default_rng(3).uniform(-1, 1, (5, 5, channels))
    weights[3, 1, :, 0] = 4
    images = np.full((1, 5, 5, channels), np.float32(191) / np.float32(255))
    model = softmax_of(weights, [3.1 * channels - weights[..., 0].sum() * 191 / 255, 0])
    result = one_pixel(model, images, np.array([0]), population=200, generations=60, seed=1)
    assert not result.success.any()  # 3.1 ahead, and 4 · 191/255 = 2.996 can be taken away
    expected = images.copy()
    expected[0, 3, 1] = 0
    assert np.array_equal(result.adversarial, expected)
    assert result.confidence_after[0] == pytest.approx(model(expected)[0, 0], abs=1e-12)


@pytest.mark.parametrize("n_pixels", [1, 2, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_no_more_pixels_change_than_allowed(channels: int, n_pixels: int) -> None:
    images = noise(8, channels)
    model = random_model(channels)
    labels = predicted(model, images)
    result = one_pixel(
        model, images, labels, n_pixels=n_pixels, population=20, generations=5, seed=3
    )
    assert (n_pixels_changed(result.adversarial, images) <= n_pixels).all()
    assert result.adversarial.dtype == np.float32


def test_colours_are_on_the_8_bit_grid_and_success_survives_rounding() -> None:
    images = np.random.default_rng(4).uniform(size=(12, 6, 6, 3)).astype(np.float32)
    model = random_model()
    labels = predicted(model, images)
    result = one_pixel(model, images, labels, population=50, generations=20, seed=3)
    changed = (result.adversarial != images).any(axis=-1)
    assert np.array_equal(result.adversarial[changed], quantized(result.adversarial[changed]))
    assert result.success.sum() > 0
    assert (predicted(model, quantized(result.adversarial)) != labels)[result.success].all()
    assert (predicted(model, result.adversarial) != labels)[result.success].all()


def test_an_image_that_only_misleads_before_rounding_is_no_success() -> None:
    # Class 1 wins where two pixels lie between the grey levels of an 8-bit file.
    def predict_proba(images: np.ndarray) -> np.ndarray:
        levels = images[:, [0, 1], [0, 1], 0] * 255
        fooled = (np.abs(levels - np.rint(levels)) > 0.2).all(axis=1)
        return np.where(fooled[:, None], [0.4, 0.6], [0.6, 0.4])

    images = np.full((1, 2, 2, 1), np.float32(100.4 / 255))
    assert predicted(predict_proba, images).tolist() == [1]
    result = one_pixel(predict_proba, images, np.array([0]), population=5, generations=2, seed=0)
    assert not result.success[0]
    rounded = result.n_queries[0] - (1 + 5 * 3)
    assert 1 <= rounded <= 4  # of the clean image, and of one a generation


def test_queries_are_the_clean_image_and_each_generation_s_candidates() -> None:
    batch_sizes: list[int] = []

    def certain(images: np.ndarray) -> np.ndarray:
        batch_sizes.append(len(images))
        return np.tile([0.9, 0.1], (len(images), 1))

    images = noise(3)
    result = one_pixel(certain, images, np.zeros(3, int), population=30, generations=7, seed=0)
    assert result.n_queries.tolist() == [1 + 30 * (7 + 1)] * 3
    assert result.n_gradients.tolist() == [0] * 3
    assert len(set(batch_sizes)) == 1  # one shape of batch, whatever is left to do
    assert len(batch_sizes) == 1 + 8  # the candidates of all three images together


@pytest.mark.parametrize("last", [1, 2, 4])
def test_a_search_ends_with_the_generation_that_succeeds(last: int) -> None:
    calls = 0

    def fooled_late(images: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        odds = [0.2, 0.8] if calls > last else [0.8, 0.2]
        return np.tile(odds, (len(images), 1))

    images = noise(1)
    result = one_pixel(fooled_late, images, np.array([0]), population=10, generations=9, seed=0)
    assert result.success.tolist() == [True]
    assert result.n_queries.tolist() == [1 + 10 * last]
    assert calls == 1 + last


def test_an_image_that_is_wrong_already_is_left_alone() -> None:
    images, model = noise(2), random_model()
    wrong = (predicted(model, images) + 1) % 4
    result = one_pixel(model, images, wrong, population=10, generations=3, seed=0)
    assert result.success.all()
    assert np.array_equal(result.adversarial, images)
    assert result.n_queries.tolist() == [1, 1]


def test_a_target_is_reached_and_its_confidence_reported() -> None:
    images, model = noise(6), random_model(spread=2)
    labels = predicted(model, images)
    targets = model(images).argsort(axis=1)[:, -2]
    result = one_pixel(model, images, labels, targets=targets, seed=1, population=60)
    assert result.success.any()
    assert (result.predicted[result.success] == targets[result.success]).all()
    after = model(result.adversarial)[np.arange(6), targets]
    assert result.confidence_after == pytest.approx(after, abs=1e-12)
    assert (result.confidence_after >= result.confidence_before).all()


def test_the_same_seed_gives_the_same_bytes_whatever_the_batch() -> None:
    images, model = noise(7), random_model()
    labels = predicted(model, images)
    settings = {"population": 30, "generations": 6}
    batch = one_pixel(model, images, labels, seed=5, **settings)
    reversed_batch = one_pixel(model, images[::-1], labels[::-1], seed=5, **settings)
    for name in vars(batch):
        assert np.array_equal(getattr(batch, name), getattr(reversed_batch, name)[::-1]), name
    for row in (0, 4):
        alone = one_pixel(model, images[[row]], labels[[row]], seed=5, **settings)
        assert alone.adversarial.tobytes() == batch.adversarial[[row]].tobytes()
    another_seed = one_pixel(model, images, labels, seed=6, **settings)
    assert not np.array_equal(another_seed.adversarial, batch.adversarial)


def test_children_stay_in_range_and_have_three_different_parents() -> None:
    random = np.random.default_rng(0)
    genes = initial_population(random, 200, 2, (5, 9, 3))
    for _ in range(20):
        genes = children(random, genes, (5, 9, 3))
        assert genes.shape == (200, 2, 5)
        assert (genes >= 0).all()
        assert (genes < [5, 9, 255.001, 255.001, 255.001]).all()
    # With three candidates at 0, 2 and 6 of a wide image a child is x₁ + (x₂ − x₃) / 2.
    parents = np.array([[[100.0, 0, 0]], [[102.0, 0, 0]], [[106.0, 0, 0]]])
    rows = [children(random, parents, (300, 1, 1))[:, 0, 0] for _ in range(50)]
    assert set(np.concatenate(rows).tolist()) == {98, 102, 99, 105, 107}
