"""Checks of attacks hold where they must, and fail where an attack is broken."""

import pytest

from flowers17.reporting.attacks.sanity import (
    Check,
    at_least_as_strong,
    beats_transfer,
    check,
    grows,
)


@pytest.mark.parametrize(
    ("measured", "value", "holds"),
    [
        (grows([0.9, 0.5, 0.5, 0.0], "PGD"), 0.0, True),
        (grows([0.9, 0.2, 0.3], "PGD"), 0.1, False),
        (check("reaches all", 0.0, 0.0, budget=128), 0.0, True),
        (check("reaches all", 0.1, 0.0, budget=128), 0.1, False),
        (at_least_as_strong([0.2, 0.0], [0.3, 0.1], ("PGD", "FGSM")), -0.1, True),
        (at_least_as_strong([0.2, 0.2], [0.3, 0.1], ("PGD", "FGSM")), 0.1, False),
        (beats_transfer(0.1, {"b": 0.4, "a": 0.3}), -0.2, True),
        (beats_transfer(0.5, {"b": 0.4, "a": 0.3}), 0.2, False),
        (check("beats black box", -0.8, white=0.0, black=0.8), -0.8, True),
        (check("beats black box", 0.3, white=0.8, black=0.5), 0.3, False),
        (check("no zero gradients", 0, 0, n=9), 0, True),
        (check("no zero gradients", 1, 0, n=9), 1, False),
        (check("converged", 0.01, budget=8), 0.01, True),
        (check("converged", 0.05, budget=8), 0.05, False),
    ],
)
def test_verdict_follows_from_what_was_measured(measured: Check, value: float, holds: bool) -> None:
    assert measured.value == pytest.approx(value)
    assert measured.holds is holds


def test_the_strongest_of_the_others_is_named() -> None:
    measured = beats_transfer(0.1, {"PGD on b": 0.4, "FGSM on a": 0.3}).measured
    assert measured.endswith("at least 0.300 (FGSM on a)")
