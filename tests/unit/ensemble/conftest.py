"""Forests of few trees: of what they have in common with the study's, no claim needs all 500."""

from collections.abc import Iterator

import pytest

from tests.support.forests import few_trees


@pytest.fixture(scope="package", autouse=True)
def _few_trees() -> Iterator[None]:
    with few_trees():
        yield
