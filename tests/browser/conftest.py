"""One `serve` for all tests that drive a browser; one worker of pytest-xdist runs them all."""

from collections.abc import Iterator

import pytest

from tests.support.serving import Serving

SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=12",
    "features.table=[{extractor: mobilenet, pooling: average}]",
    "features.classifiers.names=[naive_bayes, knn]",
    "features.combinations=[]",
)


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A running `serve` with small studies as defaults; no test stops it."""
    serving = Serving(tmp_path_factory.mktemp("browser"), *SETTINGS)
    try:
        yield serving.start()
    finally:
        serving.close()
