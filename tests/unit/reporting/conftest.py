"""Two small studies, made once a session."""

import pytest

from flowers17.reporting.collect import ReportInputs

from .made_study import tiny_study


@pytest.fixture(scope="session")
def real_study(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """A study that compares with the study's numbers: verified images, trained weights."""
    return tiny_study(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def demo_study(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """A study of rendered flowers and untrained weights."""
    return tiny_study(tmp_path_factory.mktemp("demo"), random=True)
