"""What a prediction costs, and which models cost less than all that are as good."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np


def seconds_a_call(
    call: Callable[[], Any],
    *,
    least_s: float = 0.1,
    n_least: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Median time of a call, in seconds, after one that warms up.

    It is called until `least_s` seconds have passed, and `n_least` times at least.
    """
    call()
    durations: list[float] = []
    while len(durations) < n_least or sum(durations) < least_s:
        start = clock()
        call()
        durations.append(clock() - start)
    return float(np.median(durations))


def on_pareto_front(costs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Whether no other model is as cheap and better, or as good and cheaper: bool (n,).

    costs, scores: float (n,); NaN costs are never on the front.
    """
    cheaper = (costs <= costs[:, None]) & (scores >= scores[:, None])
    strictly = (costs < costs[:, None]) | (scores > scores[:, None])
    return ~(cheaper & strictly).any(axis=1) & ~np.isnan(costs)
