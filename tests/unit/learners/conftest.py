"""The process as a training finds it: on the processor, in float32, deterministic."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def _prepared() -> Iterator[None]:
    from tests.support.tiny_training import prepared

    with prepared():
        yield
