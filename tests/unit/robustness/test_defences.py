"""Counts of defences equal those by hand, and each view attacks its network."""

import keras
import numpy as np

from flowers17.config import FilterSettings
from flowers17.robustness import defences
from flowers17.robustness.defences import Defence, View
from flowers17.robustness.fgsm import fgsm
from flowers17.robustness.filters import BitDepth, filtered_model
from flowers17.robustness.goals import REFUSED, robust_mask
from tests.unit.robustness.victim_models import N_CLASSES, SHAPE, images, linear

X = images(8)
NETWORK = linear()
LABELS = np.asarray(NETWORK.predict_on_batch(X)).argmax(axis=1)
BUDGETS = [1.0, 20.0]


def _after(defence: Defence) -> dict[str, np.ndarray]:
    return defences.predictions_under_attack([defence], X, LABELS, BUDGETS, n_steps=2, seed=1)


def test_an_image_withstands_if_right_before_and_right_or_refused_after() -> None:
    before = np.array([0, 1, REFUSED, 1])
    after = np.array([[0, 1], [0, REFUSED], [0, REFUSED], [0, REFUSED]])
    robust = robust_mask(before, after, np.array([0, 1, 0, 0]))
    assert robust.tolist() == [[True, False], [False, True], [False, False], [False, False]]


def test_the_worst_of_all_attacks_counts_image_by_image() -> None:
    views = (View("blind", NETWORK, aware=False), View("seeing", NETWORK))
    defence = Defence("made up", "filter", lambda _: LABELS, views)
    labels, before = np.zeros(3, int), np.zeros(3, int)
    # Two views, two attacks, two budgets; each misleads another image at the second budget.
    after = np.zeros((3, 8), int)
    after[0, 1] = after[1, 5] = 1
    summary = defences.defence_summary(defence, before, after, labels, [1, 2])
    assert [run["n_withstood"] for run in summary["runs"]] == [3, 2, 3, 3, 3, 2, 3, 3]
    assert summary["worst"] == [
        {"epsilon": 1.0, "n_withstood": 3, "n_withstood_unaware": 3},
        {"epsilon": 2.0, "n_withstood": 1, "n_withstood_unaware": 2},
    ]
    assert (summary["n_right"], summary["n_refused"], summary["n"]) == (3, 0, 3)


def test_rounding_that_hides_the_gradient_falls_to_an_attack_around_it() -> None:
    """At 20/255 two grey levels of five bits lie between: enough for the linear model."""
    defence = defences.filter_defence(FilterSettings(kind="bits", strength=5), NETWORK)
    predictions = _after(defence)
    attack_runs = defences.attack_runs(defence, BUDGETS)
    robust = robust_mask(predictions["00-before"], predictions["00-after"], LABELS)
    n_robust = {
        (run["view"], run["attack"], run["epsilon"]): int(n)
        for run, n in zip(attack_runs, robust.sum(axis=0), strict=True)
    }
    through = n_robust["through the filter", "fgsm", 20.0]
    assert through == (predictions["00-before"] == LABELS).sum()  # nothing moved
    assert n_robust["around the filter", "fgsm", 20.0] < through


def test_predictions_under_attack_are_those_of_the_defended_model_for_the_same_images() -> None:
    defence = defences.filter_defence(FilterSettings(kind="bits", strength=3), NETWORK)
    result = fgsm(filtered_model(BitDepth(3, "identity"), NETWORK), X, LABELS, epsilons=[20 / 255])[
        0
    ]
    run_index = defences.attack_runs(defence, BUDGETS).index(
        {"view": "around the filter", "knows": True, "attack": "fgsm", "epsilon": 20.0}
    )
    proba = np.asarray(filtered_model(BitDepth(3), NETWORK).predict_on_batch(result.adversarial))
    assert _after(defence)["00-after"][:, run_index].tolist() == proba.argmax(axis=1).tolist()


def test_a_refusal_is_a_prediction_and_no_target_class() -> None:
    inputs = keras.Input(SHAPE)
    dense = keras.layers.Dense(2)
    alarm = keras.Model(inputs, keras.layers.Softmax()(dense(keras.layers.Flatten()(inputs))))
    brightness = np.stack([np.zeros(60), np.full(60, 1.0)], axis=1).astype(np.float32)
    dense.set_weights([brightness, np.array([0, -30], np.float32)])  # bright ones, above a half
    defence = defences.detector_defence("alarm", NETWORK, alarm, 0.5)
    is_bright = X.mean(axis=(1, 2, 3)) >= 0.5
    expected = np.where(is_bright, REFUSED, LABELS)
    predictions = _after(defence)
    assert predictions["00-before"].tolist() == expected.tolist()
    assert set(np.unique(predictions["00-after"])) <= {REFUSED, *range(N_CLASSES)}


def test_a_surrogate_is_attacked_once_for_all_unaware_attackers() -> None:
    identities: list[int] = []

    def recording_predict(batch: np.ndarray) -> np.ndarray:
        identities.append(id(batch))
        return np.zeros(len(batch), int)

    view = View("the network without it", NETWORK, aware=False)
    pair = [Defence(name, "filter", recording_predict, (view,)) for name in ("a", "b")]
    predictions = defences.predictions_under_attack(pair, X, LABELS, BUDGETS, n_steps=2, seed=1)
    assert sorted(predictions) == ["00-after", "00-before", "01-after", "01-before"]
    assert identities[:4] == identities[5:9]
