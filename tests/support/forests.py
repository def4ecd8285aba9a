"""Stacked forests of few trees in the place of the study's 500."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from sklearn.ensemble import RandomForestClassifier

N_TREES = 60


@contextmanager
def few_trees() -> Iterator[None]:
    """Context in which the meta-learner `random_forest` has `N_TREES` trees."""
    from flowers17.ensemble.meta_learners import META_LEARNERS

    with pytest.MonkeyPatch.context() as patch:
        forest = partial(RandomForestClassifier, N_TREES, n_jobs=-1)
        patch.setitem(META_LEARNERS, "random_forest", forest)
        yield
