"""What all tests share: an environment without Prefect settings of its own, and one server."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from absl import logging as absl_logging

from tests.support.homes import TEMPLATE, migrating

if TYPE_CHECKING:
    from flows.local_server import Server

_HOME = tempfile.TemporaryDirectory(prefix="flowers17-prefect-home-")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let fuzzers run as long as one likes: `--fuzz 30`."""
    parser.addoption("--fuzz", type=int, default=1, help="how many times as many fuzzed cases")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let one worker run a file, as `--dist loadfile` does, and one all files of the browser."""
    from xdist.scheduler import LoadFileScheduling

    class LoadServerScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            browser = "tests/browser/"
            return browser if nodeid.startswith(browser) else super()._split_scope(nodeid)

    return LoadServerScheduling(config, log) if config.option.dist == "loadfile" else None


def pytest_configure() -> None:
    """Keep the person's Prefect settings and database out, before anything imports Prefect."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        del os.environ[name]
    os.environ.pop("COLUMNS", None)  # pytest-xdist sets it for its workers, and tables obey it
    os.environ["PREFECT_HOME"] = _HOME.name
    os.environ.setdefault(TEMPLATE, f"{_HOME.name}/migrated.db")  # workers have it already
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
def prefect_server() -> Iterator["Server"]:
    """Return a private Prefect server that all tests share; it knows us."""
    from flows.local_server import Server

    with ExitStack() as stack:
        with migrating(Path(_HOME.name)):
            server = stack.enter_context(Server())
            stack.enter_context(server.connected())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PREFECT_API_AUTH_STRING", server.password or "")  # for commands
        yield server


@pytest.fixture(scope="session")
def prefect_api(prefect_server: "Server") -> str:
    """Return the address of the server that all tests share."""
    return prefect_server.api


@pytest.fixture(scope="module", autouse=True)
def _drained() -> Iterator[None]:
    """Send events and logs that wait, and forget to which server: the next module's is another."""
    yield
    if "prefect.events.worker" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogHandler

        with ThreadPoolExecutor(1) as pool:  # a browser that runs has the event loop of this one
            pool.submit(APILogHandler().flush).result()
            pool.submit(EventsWorker.drain_all, timeout=30).result()


@pytest.fixture
def api(prefect_api: str) -> Iterator[str]:
    """Return the server's address; flows that the test calls talk to it."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect_api}):
        yield prefect_api
