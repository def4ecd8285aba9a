"""Times against a clock that is known, and fronts by hand."""

import time

import numpy as np

from flowers17.small_data.costs import on_pareto_front, seconds_a_call


class Clock:
    """A clock that advances only when a call takes its time."""

    def __init__(self) -> None:
        self.now, self.durations, self.n_calls = 0.0, iter((9, 1, 5, 2, 3, 4.0)), 0

    def call(self) -> None:
        self.now += next(self.durations)
        self.n_calls += 1

    def __call__(self) -> float:
        return self.now


def test_time_is_the_median_after_a_call_that_warms_up() -> None:
    clock = Clock()
    assert seconds_a_call(clock.call, least_s=0.3, n_least=5, clock=clock) == 3
    assert clock.n_calls == 6


def test_calls_go_on_until_the_least_time_has_passed() -> None:
    clock = Clock()
    assert seconds_a_call(clock.call, least_s=8, n_least=1, clock=clock) == 2  # of 1, 5 and 2
    assert clock.n_calls == 4


def test_time_is_that_of_a_bare_loop() -> None:
    durations = []
    for _ in range(5):
        start = time.perf_counter()
        time.sleep(0.02)
        durations.append(time.perf_counter() - start)
    measured = seconds_a_call(lambda: time.sleep(0.02), least_s=0, n_least=5)
    assert min(durations) >= 0.02
    assert measured >= 0.02  # a busy machine makes either longer, none shorter


def test_front_leaves_out_what_another_beats_in_cost_and_score() -> None:
    costs = np.array([1, 2, 2, 3, 3, np.nan])
    scores = np.array([0.8, 0.9, 0.85, 0.9, 0.95, 0.99])
    assert on_pareto_front(costs, scores).tolist() == [True, True, False, False, True, False]
    assert on_pareto_front(np.array([1.0, 1.0]), np.array([0.5, 0.5])).tolist() == [True, True]
