"""The one-pixel attack finds the worst pixel, changes no other, and counts what it asks for."""

import numpy as np
import pytest

from flowers17.robustness.one_pixel import Classifier, children, first_generation, one_pixel, stored


def softmax_of(weights: np.ndarray, bias: list[float]) -> Classifier:
    """Return the probabilities of a linear model; weights (h, w, c, classes)."""

    def predict_proba(images: np.ndarray) -> np.ndarray:
        logits = np.einsum("nhwc,hwck->nk", images.astype(np.float64), weights) + bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    return predict_proba


def noise(n_images: int, channels: int = 3, size: int = 6) -> np.ndarray:
    random = np.random.default_rng(1)
    values = random.integers(0, 256, (n_images, size, size, channels))
    return values.astype(np.float32) / np.float32(255)


def random_model(channels: int = 3, size: int = 6, spread: float = 1.0) -> Classifier:
    random = np.random.default_rng(2)
    return softmax_of(random.normal(0, spread, (size, size, channels, 4)), [0, 0, 0, 0])


def predicted(model: Classifier, images: np.ndarray) -> np.ndarray:
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
    found = one_pixel(model, images, np.array([0]), population=200, generations=60, seed=1)
    assert not found.success.any()  # 3.1 ahead, and 4 · 191/255 = 2.996 can be taken away
    wanted = images.copy()
    wanted[0, 3, 1] = 0
    assert np.array_equal(found.adversarial, wanted)
    assert found.confidence_after[0] == pytest.approx(model(wanted)[0, 0], abs=1e-12)


@pytest.mark.parametrize("n_pixels", [1, 2, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_no_more_pixels_change_than_allowed(channels: int, n_pixels: int) -> None:
    images = noise(8, channels)
    model = random_model(channels)
    labels = predicted(model, images)
    found = one_pixel(
        model, images, labels, n_pixels=n_pixels, population=20, generations=5, seed=3
    )
    assert (n_pixels_changed(found.adversarial, images) <= n_pixels).all()
    assert found.adversarial.dtype == np.float32


def test_colours_are_on_the_8_bit_grid_and_success_survives_rounding() -> None:
    images = np.random.default_rng(4).uniform(size=(12, 6, 6, 3)).astype(np.float32)
    model = random_model()
    labels = predicted(model, images)
    found = one_pixel(model, images, labels, population=50, generations=20, seed=3)
    changed = (found.adversarial != images).any(axis=-1)
    assert np.array_equal(found.adversarial[changed], stored(found.adversarial[changed]))
    assert found.success.sum() > 0
    assert (predicted(model, stored(found.adversarial)) != labels)[found.success].all()
    assert (predicted(model, found.adversarial) != labels)[found.success].all()


def test_an_image_that_only_misleads_before_rounding_is_no_success() -> None:
    # Class 1 wins where two pixels lie between the grey levels of an 8-bit file.
    def predict_proba(images: np.ndarray) -> np.ndarray:
        levels = images[:, [0, 1], [0, 1], 0] * 255
        fooled = (np.abs(levels - np.rint(levels)) > 0.2).all(axis=1)
        return np.where(fooled[:, None], [0.4, 0.6], [0.6, 0.4])

    images = np.full((1, 2, 2, 1), np.float32(100.4 / 255))
    assert predicted(predict_proba, images).tolist() == [1]
    found = one_pixel(predict_proba, images, np.array([0]), population=5, generations=2, seed=0)
    assert not found.success[0]
    rounded = found.n_queries[0] - (1 + 5 * 3)
    assert 1 <= rounded <= 4  # of the clean image, and of one a generation


def test_queries_are_the_clean_image_and_each_generation_s_candidates() -> None:
    given: list[int] = []

    def certain(images: np.ndarray) -> np.ndarray:
        given.append(len(images))
        return np.tile([0.9, 0.1], (len(images), 1))

    images = noise(3)
    found = one_pixel(certain, images, np.zeros(3, int), population=30, generations=7, seed=0)
    assert found.n_queries.tolist() == [1 + 30 * (7 + 1)] * 3
    assert found.n_gradients.tolist() == [0] * 3
    assert len(set(given)) == 1  # one shape of batch, whatever is left to do
    assert len(given) == 1 + 8  # the candidates of all three images together


@pytest.mark.parametrize("last", [1, 2, 4])
def test_a_search_ends_with_the_generation_that_succeeds(last: int) -> None:
    calls = 0

    def fooled_late(images: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        odds = [0.2, 0.8] if calls > last else [0.8, 0.2]
        return np.tile(odds, (len(images), 1))

    images = noise(1)
    found = one_pixel(fooled_late, images, np.array([0]), population=10, generations=9, seed=0)
    assert found.success.tolist() == [True]
    assert found.n_queries.tolist() == [1 + 10 * last]
    assert calls == 1 + last


def test_an_image_that_is_wrong_already_is_left_alone() -> None:
    images, model = noise(2), random_model()
    wrong = (predicted(model, images) + 1) % 4
    found = one_pixel(model, images, wrong, population=10, generations=3, seed=0)
    assert found.success.all()
    assert np.array_equal(found.adversarial, images)
    assert found.n_queries.tolist() == [1, 1]


def test_a_target_is_reached_and_its_confidence_reported() -> None:
    images, model = noise(6), random_model(spread=2)
    labels = predicted(model, images)
    targets = model(images).argsort(axis=1)[:, -2]
    found = one_pixel(model, images, labels, targets=targets, seed=1, population=60)
    assert found.success.any()
    assert (found.predicted[found.success] == targets[found.success]).all()
    after = model(found.adversarial)[np.arange(6), targets]
    assert found.confidence_after == pytest.approx(after, abs=1e-12)
    assert (found.confidence_after >= found.confidence_before).all()


def test_the_same_seed_gives_the_same_bytes_whatever_the_batch() -> None:
    images, model = noise(7), random_model()
    labels = predicted(model, images)
    settings = {"population": 30, "generations": 6}
    whole = one_pixel(model, images, labels, seed=5, **settings)
    again = one_pixel(model, images[::-1], labels[::-1], seed=5, **settings)
    for name in vars(whole):
        assert np.array_equal(getattr(whole, name), getattr(again, name)[::-1]), name
    for row in (0, 4):
        alone = one_pixel(model, images[[row]], labels[[row]], seed=5, **settings)
        assert alone.adversarial.tobytes() == whole.adversarial[[row]].tobytes()
    other = one_pixel(model, images, labels, seed=6, **settings)
    assert not np.array_equal(other.adversarial, whole.adversarial)


def test_children_stay_in_range_and_have_three_different_parents() -> None:
    random = np.random.default_rng(0)
    genes = first_generation(random, 200, 2, (5, 9, 3))
    for _ in range(20):
        genes = children(random, genes, (5, 9, 3))
        assert genes.shape == (200, 2, 5)
        assert (genes >= 0).all()
        assert (genes < [5, 9, 255.001, 255.001, 255.001]).all()
    # With three candidates at 0, 2 and 6 of a wide image a child is x₁ + (x₂ − x₃) / 2.
    three = np.array([[[100.0, 0, 0]], [[102.0, 0, 0]], [[106.0, 0, 0]]])
    seen = {float(one) for _ in range(50) for one in children(random, three, (300, 1, 1))[:, 0, 0]}
    assert seen == {98, 102, 99, 105, 107}
