"""Defences are counted by hand, and each is attacked as it says."""

import keras
import numpy as np
import pytest

from flowers17.config import FilterSettings
from flowers17.errors import InvalidInput
from flowers17.robustness import defences
from flowers17.robustness.defences import REFUSED, Defence, View
from flowers17.robustness.fgsm import fgsm
from flowers17.robustness.filters import BitDepth, behind
from tests.unit.robustness.made_models import N_CLASSES, SHAPE, images, linear

X = images(8)
NETWORK = linear()
LABELS = np.asarray(NETWORK.predict_on_batch(X)).argmax(axis=1)
BUDGETS = [1.0, 20.0]


def _after(one: Defence) -> dict[str, np.ndarray]:
    return defences.attacked([one], X, LABELS, BUDGETS, n_steps=2, seed=1)


def test_an_image_withstands_if_right_before_and_right_or_refused_after() -> None:
    before = np.array([0, 1, REFUSED, 1])
    after = np.array([[0, 1], [0, REFUSED], [0, REFUSED], [0, REFUSED]])
    found = defences.withstood(before, after, np.array([0, 1, 0, 0]))
    assert found.tolist() == [[True, False], [False, True], [False, False], [False, False]]


def test_the_worst_of_all_attacks_counts_image_by_image() -> None:
    views = (View("blind", NETWORK, knows=False), View("seeing", NETWORK))
    one = Defence("made up", "filter", lambda _: LABELS, views)
    labels, before = np.zeros(3, int), np.zeros(3, int)
    # Two views, two attacks, two budgets; each misleads another image at the second budget.
    after = np.zeros((3, 8), int)
    after[0, 1] = after[1, 5] = 1
    found = defences.summary(one, before, after, labels, [1, 2])
    assert [run["n_withstood"] for run in found["runs"]] == [3, 2, 3, 3, 3, 2, 3, 3]
    assert found["worst"] == [
        {"epsilon": 1.0, "n_withstood": 3, "n_withstood_unaware": 3},
        {"epsilon": 2.0, "n_withstood": 1, "n_withstood_unaware": 2},
    ]
    assert (found["n_right"], found["n_refused"], found["n"]) == (3, 0, 3)


def test_rounding_that_hides_the_gradient_falls_to_an_attack_around_it() -> None:
    """At 20/255 two grey levels of five bits lie between: enough for the linear model."""
    one = defences.filtered(FilterSettings(kind="bits", strength=5), NETWORK)
    found = _after(one)
    runs = defences.runs(one, BUDGETS)
    stood = defences.withstood(found["00-before"], found["00-after"], LABELS).sum(axis=0)
    by_view = {
        (run["view"], run["attack"], run["epsilon"]): int(n)
        for run, n in zip(runs, stood, strict=True)
    }
    through = by_view["through the filter", "fgsm", 20.0]
    assert through == (found["00-before"] == LABELS).sum()  # nothing moved
    assert by_view["around the filter", "fgsm", 20.0] < through


def test_what_a_defence_says_of_an_attack_is_what_its_model_says_of_the_same_images() -> None:
    one = defences.filtered(FilterSettings(kind="bits", strength=3), NETWORK)
    made = fgsm(behind(BitDepth(3, "identity"), NETWORK), X, LABELS, epsilon=20 / 255)
    place = defences.runs(one, BUDGETS).index(
        {"view": "around the filter", "knows": True, "attack": "fgsm", "epsilon": 20.0}
    )
    said = np.asarray(behind(BitDepth(3), NETWORK).predict_on_batch(made.adversarial))
    assert _after(one)["00-after"][:, place].tolist() == said.argmax(axis=1).tolist()


def test_a_detector_s_refusals_are_said_and_no_class_to_be_taken_for() -> None:
    inputs = keras.Input(SHAPE)
    dense = keras.layers.Dense(2)
    alarm = keras.Model(inputs, keras.layers.Softmax()(dense(keras.layers.Flatten()(inputs))))
    brightness = np.stack([np.zeros(60), np.full(60, 1.0)], axis=1).astype(np.float32)
    dense.set_weights([brightness, np.array([0, -30], np.float32)])  # bright ones, above a half
    one = defences.detected("alarm", NETWORK, alarm, 0.5)
    bright = X.mean(axis=(1, 2, 3)) >= 0.5
    wanted = np.where(bright, REFUSED, LABELS)
    found = _after(one)
    assert found["00-before"].tolist() == wanted.tolist()
    assert set(np.unique(found["00-after"])) <= {REFUSED, *range(N_CLASSES)}


def test_an_undefended_network_is_attacked_once_for_all_who_do_not_know() -> None:
    given: list[int] = []

    def said(made: np.ndarray) -> np.ndarray:
        given.append(id(made))
        return np.zeros(len(made), int)

    view = View("the network without it", NETWORK, knows=False)
    two = [Defence(name, "filter", said, (view,)) for name in ("a", "b")]
    found = defences.attacked(two, X, LABELS, BUDGETS, n_steps=2, seed=1)
    assert sorted(found) == ["00-after", "00-before", "01-after", "01-before"]
    assert given[:4] == given[5:9]


def test_no_budget_is_refused() -> None:
    with pytest.raises(InvalidInput, match="epsilons: expected at least one budget"):
        defences.attacked([], X, LABELS, [], n_steps=1, seed=1)
