"""A real study that is killed or interrupted, or loses its server: quiet, and no orphan."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from flowers17.interrupts import INTERRUPTED
from tests.support.homes import migrated_home
from tests.support.killed_studies import TINY, command, end
from tests.support.object_storage import forwarding
from tests.support.processes import HANG_S, eventually, python, session_members

if TYPE_CHECKING:
    from flows.local_server import Server

pytestmark = [pytest.mark.server, pytest.mark.slow]


# Images that take a second, in the command's own process: it need not wait for TensorFlow.
IMAGES = ("dataset.n_classes=3", "dataset.images_per_class=40", "dataset.image_size=32")


@pytest.fixture(scope="module")
def home(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_home(tmp_path_factory.mktemp("home"))


def _study(store: Path) -> list[str]:
    return command("study", store, TINY)


def _dataset(store: Path) -> list[str]:
    return command("dataset", store, IMAGES)


def test_a_killed_command_takes_its_private_server_along(tmp_path: Path, home: Path) -> None:
    with python(*_dataset(tmp_path / "store"), env={"PREFECT_HOME": str(home)}) as process:
        assert eventually((tmp_path / "store" / ".runs").exists), "no flow run began"
        family = session_members(process.pid)
        assert len(family) >= 2, "expected a server beside the command"
        end(process)


RUN, STAGE = ".runs", ".locks/features-*"


@pytest.mark.parametrize(
    ("sign", "private"),
    [
        pytest.param(RUN, False, marks=pytest.mark.long),
        pytest.param(RUN, True, marks=pytest.mark.long),
        pytest.param(STAGE, False, marks=pytest.mark.long),
        (STAGE, True),
    ],
)
def test_an_interrupted_command_ends_quietly_and_leaves_nobody(
    tmp_path: Path, prefect_api: str, home: Path, sign: str, private: bool
) -> None:
    server = {"PREFECT_HOME": str(home)}  # as if none were configured
    env = server if private else {"PREFECT_API_URL": prefect_api}
    with python(*_study(tmp_path / "store"), env=env) as process:
        began = eventually(lambda: any((tmp_path / "store").glob(sign)))
        assert began, f"no {sign} came"
        os.killpg(process.pid, signal.SIGINT)
        _, complaints = process.communicate(timeout=HANG_S)
        assert process.returncode == INTERRUPTED
        assert not any(word in complaints for word in ("Traceback", "failed"))
        end(process)


@pytest.mark.parametrize("sign", [pytest.param(b"", marks=pytest.mark.long), b"tensorflow"])
def test_a_command_interrupted_while_its_fork_server_imports_is_quiet(
    tmp_path: Path, prefect_api: str, sign: bytes
) -> None:
    """sign: in the name of a library that the server has loaded; none: it has just begun."""

    def imports() -> bool:
        for member in session_members(process.pid):
            with suppress(OSError):
                folder = Path(f"/proc/{member}")
                if b"flowers17.preloaded" in (folder / "cmdline").read_bytes():
                    return sign in (folder / "maps").read_bytes()
        return False

    arguments = _study(tmp_path / "store")
    with python(*arguments, env={"PREFECT_API_URL": prefect_api}) as process:
        assert eventually(imports), "no fork server began"
        os.killpg(process.pid, signal.SIGINT)
        printed, complaints = process.communicate(timeout=HANG_S)
        assert process.returncode == INTERRUPTED
        last = "interrupted; run the same command again to go on where it stopped"
        others = [line for line in complaints.splitlines() if line.startswith(("✓", "○", "↻"))]
        assert complaints.splitlines()[len(others) :] == [last]
        assert printed == ""
        end(process)


def test_a_second_interrupt_does_not_wait_for_a_server_that_hangs(
    tmp_path: Path, prefect_server: "Server"
) -> None:
    server = prefect_server._process
    assert server is not None
    with _at_work(tmp_path / "store", prefect_server.api) as process:
        os.kill(server.pid or 0, signal.SIGSTOP)
        try:
            os.killpg(process.pid, signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(3)
            os.killpg(process.pid, signal.SIGINT)
            _, complaints = process.communicate(timeout=HANG_S)
        finally:
            os.kill(server.pid or 0, signal.SIGCONT)
        assert process.returncode == INTERRUPTED
        assert "interrupted without waiting" in complaints
        end(process)


def test_a_server_that_is_gone_is_told_in_a_sentence(tmp_path: Path, prefect_api: str) -> None:
    """As its clients see it: connections are cut, and none is taken."""
    with ExitStack() as connections:
        port = connections.enter_context(forwarding(urlsplit(prefect_api).port or 0))
        api = f"http://127.0.0.1:{port}/api"
        with _at_work(tmp_path / "store", api) as process:
            connections.close()
            _, complaints = process.communicate(timeout=HANG_S)
            assert process.returncode == 1
            expected = f"expected the Prefect server at {api} to answer until the run's end"
            assert expected in complaints
            assert "what is finished is kept" in complaints
            assert "Traceback" not in complaints
            assert "EventsWorker" not in complaints
            end(process)


@contextmanager
def _at_work(store: Path, api: str) -> Iterator[subprocess.Popen[str]]:
    """Run a flow that has come to its first stage, and tries a lost server once only."""
    env = {"PREFECT_API_URL": api, "PREFECT_CLIENT_MAX_RETRIES": "0"}
    with python(*_dataset(store), env=env) as process:
        assert eventually(lambda: any(store.glob(".locks/images*"))), "no stage began"
        yield process
