"""Checks of attacks hold where they must, and fail where an attack is broken."""

import pytest

from flowers17.robustness.sanity import (
    Check,
    at_least_as_strong,
    beats_black_box,
    beats_transfer,
    converged,
    grows,
    no_zero_gradients,
    reaches_all,
)


@pytest.mark.parametrize(
    ("check", "value", "holds"),
    [
        (grows([0.9, 0.5, 0.5, 0.0], "PGD"), 0.0, True),
        (grows([0.9, 0.2, 0.3], "PGD"), 0.1, False),
        (reaches_all([0.5, 0.0], 128, "PGD"), 0.0, True),
        (reaches_all([0.5, 0.1], 128, "PGD"), 0.1, False),
        (at_least_as_strong([0.2, 0.0], [0.3, 0.1], ("PGD", "FGSM")), -0.1, True),
        (at_least_as_strong([0.2, 0.2], [0.3, 0.1], ("PGD", "FGSM")), 0.1, False),
        (beats_transfer(0.1, {"b": 0.4, "a": 0.3}), -0.2, True),
        (beats_transfer(0.5, {"b": 0.4, "a": 0.3}), 0.2, False),
        (beats_black_box(0.0, 0.8), -0.8, True),
        (beats_black_box(0.8, 0.5), 0.3, False),
        (no_zero_gradients(0, 9), 0, True),
        (no_zero_gradients(1, 9), 1, False),
        (converged(0.01, 8), 0.01, True),
        (converged(0.05, 8), 0.05, False),
    ],
)
def test_verdict_follows_from_what_was_measured(check: Check, value: float, holds: bool) -> None:
    assert check.value == pytest.approx(value)
    assert check.holds is holds


def test_the_strongest_of_the_others_is_named() -> None:
    check = beats_transfer(0.1, {"PGD on b": 0.4, "FGSM on a": 0.3})
    assert check.measured.endswith("at least 0.300 (FGSM on a)")
