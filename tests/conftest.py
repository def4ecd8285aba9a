"""What all tests share: an environment without Prefect settings of its own, and one server."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator

import pytest
from absl import logging as absl_logging

_HOME = tempfile.TemporaryDirectory(prefix="flowers17-prefect-home-")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let fuzzers run as long as one likes: `--fuzz 30`."""
    parser.addoption("--fuzz", type=int, default=1, help="how many times as many fuzzed cases")


def pytest_configure() -> None:
    """Keep the person's Prefect settings and database out, before anything imports Prefect."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    os.environ.pop("COLUMNS", None)  # pytest-xdist sets it for its workers, and tables obey it
    os.environ["PREFECT_HOME"] = _HOME.name
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # A shell's background job ignores Ctrl-C and hands that on; what tests start must not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Prefect's set-up of logging has Keras's handler close its stream unless it is the process's
    # own, and here it would be the one that pytest captures.
    absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    _HOME.cleanup()


@pytest.fixture(scope="session")
def fuzz(request: pytest.FixtureRequest) -> int:
    """Return how many times as many cases as usual a fuzzer tries."""
    return int(request.config.getoption("--fuzz"))


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a private Prefect server that all tests share; it knows us."""
    from flows.local_server import Server

    with Server() as server, pytest.MonkeyPatch.context() as patch, server.connected() as api:
        patch.setenv("PREFECT_API_AUTH_STRING", server.password or "")  # for commands
        yield api


@pytest.fixture(scope="module", autouse=True)
def _drained() -> Iterator[None]:
    """Send events and logs that wait, and forget to which server: the next module's is another."""
    yield
    if "prefect.events.worker" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogHandler

        APILogHandler().flush()
        EventsWorker.drain_all(timeout=30)


@pytest.fixture
def api(prefect_api: str) -> Iterator[str]:
    """Return the server's address; flows that the test calls talk to it."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect_api}):
        yield prefect_api
