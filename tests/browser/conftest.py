"""One `serve` and one browser for all tests here; one worker of pytest-xdist runs them all."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import browser_page, running_browser
from tests.support.hostile_page import OPTIONS
from tests.support.other_users import squatting
from tests.support.processes import eventually
from tests.support.serving import Serving, processes

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=12",
    "features.table=[{extractor: mobilenet, pooling: average}]",
    "features.classifiers.names=[naive_bayes, knn]",
    "features.combinations=[]",
)


@pytest.fixture(scope="package")
def beset_serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, bool]]:
    """A `serve` with small studies as defaults, and whether another user got its port.

    He had bound it before, and tries to listen while the server starts, which would be told the
    password. Only root can be another user. No test stops it; it ends with the last one here.
    """
    serving = Serving(tmp_path_factory.mktemp("browser"), *SETTINGS)
    took_over = False
    with ExitStack() as stack:
        stack.callback(serving.close)
        squatter = None if os.geteuid() else stack.enter_context(squatting(serving.port))
        serving.launch()
        if squatter:
            assert eventually(lambda: _server_starts(serving)), serving.log.read_text()
            took_over = squatter.takes_over()
        serving.ready()
        if squatter:
            took_over = took_over or squatter.takes_over()
        yield serving, took_over


def _server_starts(serving: Serving) -> bool:
    return any("flows.server" in command for command in processes(serving.home).values())


@pytest.fixture(scope="package")
def serving(beset_serving: tuple[Serving, bool]) -> Serving:
    """The running `serve`."""
    return beset_serving[0]


@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """The running browser, for which names of strangers lead to this machine."""
    with running_browser(*OPTIONS) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser: "Browser") -> Iterator["Page"]:
    """An empty page."""
    with browser_page(browser) as page:
        yield page
