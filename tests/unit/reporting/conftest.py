"""Four small studies, made once a session."""

import pytest

from flowers17.reporting.inputs import ReportInputs

from .made_study import tiny_study
from .made_trainings import DIVERGED


@pytest.fixture(scope="session")
def real_study(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """A study that compares with the study's numbers: verified images, trained weights."""
    return tiny_study(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def demo_study(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """A study of rendered flowers and untrained weights."""
    return tiny_study(tmp_path_factory.mktemp("demo"), random=True)


@pytest.fixture(scope="session")
def trained_study(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """The first one with networks trained as the study trains them; Mk-1 was not."""
    root = tmp_path_factory.mktemp("trained")
    return tiny_study(root, missing_trainings={"mk-1, report split": DIVERGED})


@pytest.fixture(scope="session")
def trained_demo(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """The second one with every network trained for five epochs."""
    return tiny_study(tmp_path_factory.mktemp("short"), random=True, epochs=5, missing_trainings={})
