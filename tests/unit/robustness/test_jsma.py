"""JSMA picks the features worked out by hand, in their order, and never more than its share."""

from typing import Any

import keras
import numpy as np
import pytest

from flowers17.errors import InvalidInput
from flowers17.robustness.jsma import Variant, jsma, salient_pair

VARIANTS: tuple[Variant, ...] = ("pairwise", "single")


def linear(weights: Any, bias: Any, shape: tuple[int, int, int]) -> keras.Model:
    """softmax(x · weights + bias) as a Keras model; weights (features, classes)."""
    dense = keras.layers.Dense(len(bias), activation="softmax")
    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), dense])
    dense.set_weights([np.asarray(weights, np.float32), np.asarray(bias, np.float32)])
    return model


def black(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def changed(result: Any, images: np.ndarray) -> list[list[int]]:
    flat = (result.adversarial != images).reshape(len(images), -1)
    return [np.flatnonzero(row).tolist() for row in flat]


# Class 1 gains by 3, 1, 2, -1, 0.5, 0 a feature on class 0.
TWO_CLASSES = np.stack([np.zeros(6), [3, 1, 2, -1, 0.5, 0]], axis=1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("margin", "expected"), [(4.5, [0, 2]), (5.5, [0, 1, 2, 4])], ids=["one step", "two steps"]
)
def test_the_features_with_most_weight_are_set(
    margin: float, expected: list[int], variant: Variant
) -> None:
    images = black(1, 2, 3, 1)
    weights = np.stack([-TWO_CLASSES[:, 1] / 1000, TWO_CLASSES[:, 1]], axis=1)
    model = linear(weights, [margin, 0], (2, 3, 1))
    result = jsma(model, images, np.array([1]), gamma=1.0, variant=variant)
    assert changed(result, images) == [expected]
    assert result.adversarial.max() == 1
    assert result.success.all()
    assert result.l0[0] == len(expected)
    assert result.n_queries[0] == 1 + len(expected) / 2
    n_passes = len(expected) / 2 + 1  # one a step, and one that finds it done
    assert result.n_gradients[0] == n_passes * (2 if variant == "pairwise" else 1)


def test_pairwise_weighs_the_other_classes_and_single_only_the_target() -> None:
    # Of class 1 the first two features have most, but raise class 2 as well.
    weights = [[0, 5, 7], [0, 5, 7], [0, 4, -4], [0, 4, -4]]
    model = linear(weights, [7, 0, -20], (2, 2, 1))
    images = black(1, 2, 2, 1)
    pairwise = jsma(model, images, np.array([1]), gamma=0.5, variant="pairwise")
    single = jsma(model, images, np.array([1]), gamma=0.5, variant="single")
    assert changed(pairwise, images) == [[2, 3]]
    assert changed(single, images) == [[0, 1]]


def test_pairwise_on_probabilities_takes_the_pairs_of_single_as_long_as_they_gain() -> None:
    random = np.random.default_rng(8)
    model = linear(random.normal(size=(48, 5)), np.zeros(5), (4, 4, 3))
    images = np.repeat(random.uniform(size=(4, 4, 4, 3)).astype(np.float32), 5, axis=0)
    targets = np.tile(np.arange(5), 4)
    single = jsma(model, images, targets, gamma=0.29, variant="single")
    pairs = jsma(model, images, targets, gamma=0.29, saliency="probabilities")
    on_logits = jsma(model, images, targets, gamma=0.29, saliency="logits")
    gained = single.success
    assert gained.sum() > 10
    np.testing.assert_array_equal(pairs.adversarial[gained], single.adversarial[gained])
    np.testing.assert_array_equal(pairs.n_gradients[gained], single.n_gradients[gained])
    assert not np.array_equal(on_logits.adversarial, pairs.adversarial)
    # No pair gains: the target's weights are the smallest of every feature.
    harmful = linear([[0, 9, 5], [0, 9, 5]], [1, 1, 0], (1, 2, 1))
    result = jsma(harmful, black(1, 1, 2, 1), np.array([0]), gamma=1.0, saliency="probabilities")
    assert changed(result, black(1, 1, 2, 1)) == [[]]


def test_an_unknown_variant_or_saliency_is_refused() -> None:
    model, target = linear(TWO_CLASSES, [4.5, 0], (2, 3, 1)), np.array([1])
    with pytest.raises(InvalidInput, match="variant: expected pairwise or single, got 'both'"):
        jsma(model, black(1, 2, 3, 1), target, variant="both")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="saliency: expected logits or probabilities, got ''"):
        jsma(model, black(1, 2, 3, 1), target, saliency="")  # type: ignore[arg-type]


def test_a_negative_theta_lowers_features_that_harm_the_target() -> None:
    images = np.ones((1, 2, 3, 1), np.float32)
    weights = np.stack([TWO_CLASSES[:, 1], -TWO_CLASSES[:, 1]], axis=1)
    model = linear(weights, [0, 2], (2, 3, 1))
    for variant in VARIANTS:
        result = jsma(model, images, np.array([1]), theta=-1.0, gamma=1.0, variant=variant)
        assert result.success.all()
        assert (result.adversarial <= images).all()
        if variant == "single":
            assert changed(result, images) == [[0, 2]]


def test_a_small_theta_takes_the_same_features_again_until_they_are_full() -> None:
    model = linear(TWO_CLASSES, [4.5, 0], (2, 3, 1))
    images = black(1, 2, 3, 1)
    result = jsma(model, images, np.array([1]), theta=0.25, gamma=0.34, variant="single")
    assert changed(result, images) == [[0, 2]]
    assert result.n_gradients[0] == 4
    assert result.success.all()


def test_pairwise_gives_an_image_up_that_has_no_such_pair() -> None:
    model = linear([[0, 1, 5], [0, 1, 5]], [1, 0, 0], (1, 2, 1))  # all help the target, and class 2
    images = black(1, 1, 2, 1)
    result = jsma(model, images, np.array([1]), gamma=1.0, variant="pairwise")
    assert not result.success.any()
    assert np.array_equal(result.adversarial, images)


def test_an_image_that_passes_for_its_target_is_left_alone() -> None:
    model = linear(TWO_CLASSES, [0, 1], (2, 3, 1))
    result = jsma(model, black(1, 2, 3, 1), np.array([1]))
    assert result.success.all()
    assert (result.l0[0], result.n_queries[0], result.n_gradients[0]) == (0, 1, 0)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("theta", [1.0, 0.4, -0.7])
@pytest.mark.parametrize("gamma", [0.01, 0.1, 0.145, 0.29, 0.5])
def test_no_more_than_the_share_of_features_change(
    gamma: float, theta: float, variant: Variant
) -> None:
    random = np.random.default_rng(5)
    model = linear(random.normal(size=(75, 4)), [0, 0, 0, -1000], (5, 5, 3))
    images = random.uniform(size=(6, 5, 5, 3)).astype(np.float32)
    result = jsma(model, images, np.full(6, 3), theta=theta, gamma=gamma, variant=variant)
    assert not result.success.any()
    assert (result.l0 <= int(gamma * 75)).all()
    assert result.adversarial.min() >= 0
    assert result.adversarial.max() <= 1
    if variant == "single":
        assert (result.l0 == int(gamma * 75)).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_image_s_result_does_not_depend_on_its_batch(variant: Variant) -> None:
    random = np.random.default_rng(6)
    model = linear(random.normal(size=(48, 5)), np.zeros(5), (4, 4, 3))
    images = np.repeat(random.uniform(size=(9, 4, 4, 3)).astype(np.float32), 5, axis=0)
    targets = np.tile(np.arange(5), 9)
    batch = jsma(model, images, targets, gamma=0.4, variant=variant)
    for row in (0, 13, 44):
        alone = jsma(model, images[[row]], targets[[row]], gamma=0.4, variant=variant)
        for name in vars(batch):
            assert np.array_equal(getattr(alone, name)[0], getattr(batch, name)[row]), name


def test_the_pair_is_the_best_of_all_pairs() -> None:
    random = np.random.default_rng(7)
    for case in range(300):
        n_features = int(random.integers(1, 40))
        gains, harms = random.normal(size=(2, n_features)).round(case % 3).astype(np.float32)
        free, touched = random.uniform(size=(2, n_features)) < [[0.8], [0.3]]
        n_left = int(random.integers(0, 4))
        allowed = {
            (p, q): (float(gains[p]) + float(gains[q])) * (float(harms[p]) + float(harms[q]))
            for p in range(n_features)
            for q in range(p + 1, n_features)
            if free[p] and free[q] and (not touched[p]) + (not touched[q]) <= n_left
            if gains[p] + gains[q] > 0 and harms[p] + harms[q] > 0
        }
        free = free & (touched | (n_left > 0))
        pair = salient_pair(gains, harms, free, touched, n_left)
        if allowed:
            assert allowed[pair] == max(allowed.values())
        else:
            assert pair == (-1, -1)
