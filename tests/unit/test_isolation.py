"""A stage in a process of its own: its errors, its end, and its parent's end."""

import fcntl
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flowers17 import isolation
from flowers17.artifacts import Store
from flowers17.errors import ArtifactDamaged, DownloadFailed, InvalidInput, StageFailed
from flowers17.isolation import ensure_isolated
from flowers17.stages import Outcome, ensure
from tests.support.processes import (
    HANG_S,
    ROOT,
    eventually,
    kill,
    python,
    session_members,
)
from tests.support.stores import content, unfinished
from tests.support.toy import number

logger = logging.getLogger("tests.isolation")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which fork servers find no Keras, whose import takes seconds."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "keras.py").write_text("raise ImportError\n")
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}


def _isolated(store: Store, problem: str | None = None, **rest: Any) -> Outcome:
    config = {"problem": problem, **rest.pop("config", {})}
    return ensure_isolated(
        number("a", 4, config=config, isolated=True, **rest),
        {},
        store,
        progress=lambda n_done, total, unit: None,
        logger=logger,
    )


class TestResult:
    def test_has_the_bytes_of_a_build_in_this_process(self, store: Store, tmp_path: Path) -> None:
        outcome = _isolated(store, seed=5)
        second_store = Store(tmp_path / "other")
        expected = ensure(number("a", 4, config={"problem": None}, seed=5), {}, second_store)
        assert outcome == expected
        assert content(store.open(outcome.reference).path)["total.json"] == b"4\n"

    def test_is_reused_the_second_time(self, store: Store) -> None:
        assert [_isolated(store).reused, _isolated(store).reused] == [False, True]

    def test_comes_with_progress_and_logs(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        steps: list[tuple[int, int, str]] = []
        with caplog.at_level(logging.INFO):
            ensure_isolated(
                number("a", 4, config={"problem": "chatty"}, isolated=True),
                {},
                store,
                progress=lambda *step: steps.append(step),
                logger=logger,
            )
        assert len(steps) == 4 * 20 + 3
        assert steps[-1] == (3, 3, "parts")
        assert sorted(caplog.messages) == sorted(
            f"{thread} {'x' * 100_000}" for thread in range(4) for _ in range(20)
        )

    def test_is_made_in_the_environment_of_the_moment(
        self, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def environment(seed: int) -> list[str]:
            caplog.clear()
            with caplog.at_level(logging.INFO):
                _isolated(store, "environment", seed=seed)
            return caplog.messages

        monkeypatch.setenv("TOY_EARLY", "1")
        assert environment(1) == ['{"TOY_EARLY": "1", "TOY_LATE": null}']
        monkeypatch.delenv("TOY_EARLY")
        monkeypatch.setenv("TOY_LATE", "2")
        assert environment(2) == ['{"TOY_EARLY": null, "TOY_LATE": "2"}']


class TestErrors:
    @pytest.mark.parametrize(
        ("problem", "kind", "message"),
        [
            ("invalid", InvalidInput, "expected a flower, got a stone"),
            ("bug", ZeroDivisionError, "division by zero"),
            ("end of file", EOFError, "compressed file ended early"),
        ],
    )
    def test_keep_type_and_message(
        self, store: Store, problem: str, kind: type[Exception], message: str
    ) -> None:
        with pytest.raises(kind, match=re.escape(message)) as caught:
            _isolated(store, problem)
        assert type(caught.value) is kind
        assert "tests/support/toy.py" in caught.value.__notes__[0]  # the child's traceback
        assert unfinished(store) == []

    def test_keep_their_attributes(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(DownloadFailed, match="the connection broke") as caught:
            _isolated(store, "transient", resources={"tries": str(tmp_path / "tries")})
        assert caught.value.transient is True

    def test_that_cannot_cross_a_pipe_are_told_in_words(self, store: Store) -> None:
        with pytest.raises(StageFailed, match=r"stage a: Unsendable\('a flower is red'\)"):
            _isolated(store, "unsendable")

    def test_of_a_damaged_input_are_that_of_the_store(self, store: Store) -> None:
        a = number("a", 4)
        inputs = {"a": ensure(a, {}, store).reference}
        (store.folder("number", inputs["a"].key) / "total.json").write_text("400")
        with pytest.raises(ArtifactDamaged, match="its bytes are not those published"):
            ensure_isolated(
                number("sum", 1, a, isolated=True),
                inputs,
                store,
                progress=lambda *step: None,
                logger=logger,
            )


class TestEnd:
    def test_by_a_signal_is_said_with_its_name(self, store: Store) -> None:
        with pytest.raises(StageFailed, match=r"ended by SIGKILL \(out of memory\?\)\. Run the"):
            _isolated(store, "killed")

    def test_without_a_result_is_said_with_the_exit_code(self, store: Store) -> None:
        with pytest.raises(StageFailed, match="ended with exit code 3 and no result"):
            _isolated(store, "exit")

    def test_comes_when_the_time_is_over(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = tmp_path / "calls"
        _time_is_over_once(lambda: calls.exists() and calls.read_text(), monkeypatch)
        with pytest.raises(StageFailed, match="expected to end within 600 s; it was stopped"):
            _isolated(
                store,
                config={"seconds": 600},
                timeout_s=600.0,
                resources={"calls": str(calls)},
            )
        assert calls.read_text() == "4\n"  # it was at work when it was stopped

    def test_frees_the_lock_so_that_the_next_can_build(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tries = tmp_path / "tries"
        with monkeypatch.context() as patch:
            _time_is_over_once(tries.exists, patch)
            with pytest.raises(StageFailed, match="it was stopped"):
                _isolated(store, "hangs once", timeout_s=600.0, resources={"tries": str(tries)})
        assert len(unfinished(store)) == 1
        assert not _isolated(store, "hangs once", resources={"tries": str(tries)}).reused
        assert unfinished(store) == []


def _time_is_over_once(condition: Callable[[], Any], patch: pytest.MonkeyPatch) -> None:
    """Let the clock that ends builds go on by an hour as soon as a condition is true."""

    def monotonic() -> float:
        return time.monotonic() + (3600 if condition() else 0)

    patch.setattr(isolation, "time", SimpleNamespace(monotonic=monotonic))


PARENT = """
import logging, sys
from flowers17.artifacts import Store
from flowers17.isolation import ensure_isolated
from tests.support.toy import number

if __name__ == "__main__":
    stage = number("a", 4, config={"seconds": 600}, resources={"calls": sys.argv[2]})
    quiet = lambda n_done, total, unit: None
    ensure_isolated(stage, {}, Store(sys.argv[1]), progress=quiet, logger=logging.getLogger())
"""


def test_a_child_ends_with_its_killed_parent(tmp_path: Path, light: dict[str, str]) -> None:
    script, calls = tmp_path / "parent.py", tmp_path / "calls"
    script.write_text(PARENT)
    with python(str(script), str(tmp_path / "store"), str(calls), env=light) as parent:
        assert eventually(calls.exists), "the child never began"
        family = session_members(parent.pid)
        assert len(family) >= 2
        kill(parent.pid)
        parent.wait(HANG_S)
        assert eventually(lambda: session_members(parent.pid) == [])


TIDIED = """
import logging, multiprocessing.util, shutil, sys
from flowers17.artifacts import Store
from flowers17.isolation import ensure_isolated
from tests.support.toy import number

def build(value):
    quiet = lambda n_done, total, unit: None
    stage = number("a", value, isolated=True)
    ensure_isolated(stage, {}, Store(sys.argv[1]), progress=quiet, logger=logging.getLogger())

if __name__ == "__main__":
    build(1)
    shutil.rmtree(multiprocessing.util.get_temp_dir())
    build(2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_a_cleaner_of_temporary_files_stops_nothing(tmp_path: Path, light: dict[str, str]) -> None:
    script = tmp_path / "tidied.py"
    script.write_text(TIDIED)
    with python(str(script), str(tmp_path / "store"), env=light) as process:
        assert process.wait(HANG_S) == 0
    assert len(list(Store(tmp_path / "store").manifests())) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_what_processes_are_forked_with_starts_no_threads(store: Store) -> None:
    """OpenBLAS has threads of its own, which it ends before a fork."""
    _isolated(store)
    server = Path(f"/proc/{forkserver._forkserver._forkserver_pid}")
    assert "tensorflow" in (server / "maps").read_text()

    def threads() -> list[str]:
        """Names of its threads, without jemalloc's, which is started anew in a forked process."""
        names = [path.joinpath("comm").read_text() for path in (server / "task").iterdir()]
        return [name for name in names if name != "jemalloc_bg_thd\n"]

    # The kernel forgets a thread a little after its end.
    assert eventually(lambda: len(threads()) == 1), threads()


KILLED_SERVERS = """
import logging, multiprocessing.forkserver as servers, os, signal, sys, threading, time
from pathlib import Path
from types import SimpleNamespace
from flowers17 import isolation
from flowers17.artifacts import Store
from flowers17.errors import StageFailed
from flowers17.isolation import ensure_isolated
from tests.support.processes import eventually, session_members
from tests.support.toy import number

def build(value, **rest):
    quiet = lambda n_done, total, unit: None
    stage = number("a", value, isolated=True, **rest)
    ensure_isolated(stage, {}, Store(sys.argv[1]), progress=quiet, logger=logging.getLogger())

def kill():
    os.kill(servers._forkserver._forkserver_pid, signal.SIGKILL)

def killed_at_the_start(descriptors):
    servers.ensure_running()
    os.kill(servers._forkserver._forkserver_pid, signal.SIGSTOP)
    ends = connect(descriptors)
    kill()
    return ends

def forked():
    lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in session_members(os.getsid(0))}
    return [pid for pid, path in lines.items() if b"forkserver" in path.read_bytes()]

if __name__ == "__main__":
    build(1)
    kill()
    build(2)
    from multiprocessing import popen_forkserver
    connect, servers.connect_to_new_process = servers.connect_to_new_process, killed_at_the_start
    build(3)
    servers.connect_to_new_process = connect
    calls = Path(sys.argv[2])
    killed = threading.Event()
    clock = lambda: time.monotonic() + 3600 * killed.is_set()
    isolation.time = SimpleNamespace(monotonic=clock)
    killer = threading.Thread(target=lambda: (eventually(calls.exists), kill(), killed.set()))
    killer.start()
    try:
        build(4, config={"seconds": 600}, resources={"calls": str(calls)}, timeout_s=600.0)
    except StageFailed as problem:
        print(problem)
    killer.join()
    print(eventually(lambda: not forked()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_a_killed_fork_server_stops_nothing_and_leaves_nothing_behind(
    tmp_path: Path, light: dict[str, str]
) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED_SERVERS)
    arguments = str(script), str(tmp_path / "store"), str(tmp_path / "calls")
    with python(*arguments, env=light) as process:
        printed, complaints = process.communicate(timeout=HANG_S)
        assert process.returncode == 0, complaints
    assert len(list(Store(tmp_path / "store").manifests())) == 3
    lines = printed.splitlines()
    assert lines == [
        "stage a: expected to end within 600 s; it was stopped. Run the same command again: what "
        "is finished is kept",
        "True",
    ]


WAITING = """
import logging, sys
from flowers17.artifacts import Store
from flowers17.isolation import ensure_isolated
from tests.support.toy import number

if __name__ == "__main__":
    quiet = lambda n_done, total, unit: None
    stage = number("a", int(sys.argv[2]), config={"problem": "temporary file"}, isolated=True)
    ensure_isolated(stage, {}, Store(sys.argv[1]), progress=quiet, logger=logging.getLogger())
    print("built", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_sockets_and_temporary_files_go_with_their_process_or_with_the_next(
    tmp_path: Path, light: dict[str, str]
) -> None:
    script, temporary = tmp_path / "waiting.py", tmp_path / "tmp"
    script.write_text(WAITING)
    temporary.mkdir()

    def run(value: int, *, killed: bool) -> None:
        arguments = str(script), str(tmp_path / "store"), str(value)
        with python(*arguments, env={**light, "TMPDIR": str(temporary)}) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "built\n"
            for pid in session_members(process.pid) if killed else []:
                kill(pid)
            process.communicate("go\n" if not killed else None, timeout=HANG_S)

    run(1, killed=True)
    (abandoned,) = temporary.iterdir()
    foreign = [temporary / f"f17-forks-{name}" for name in ("young", "link", "locked")]
    (tmp_path / "theirs").mkdir()
    foreign[0].mkdir()
    foreign[1].symlink_to(tmp_path / "theirs")
    foreign[2].mkdir()
    for folder in (abandoned, foreign[2], tmp_path / "theirs"):
        os.utime(folder, (0, 0))
    lock = os.open(foreign[2], os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(2, killed=False)
    finally:
        os.close(lock)
    assert sorted(temporary.iterdir()) == sorted(foreign)
    assert (tmp_path / "theirs").is_dir()


@pytest.mark.parametrize("tmpdir", ["t" * 90, "absent"])
def test_stages_are_built_without_a_place_for_a_socket(
    tmp_path: Path, light: dict[str, str], tmpdir: str
) -> None:
    script, temporary = tmp_path / "waiting.py", tmp_path / tmpdir
    script.write_text(WAITING)
    if tmpdir != "absent":
        temporary.mkdir()
    env = {**light, "TMPDIR": str(temporary)}
    with python(str(script), str(tmp_path / "store"), "1", env=env) as process:
        printed, complaints = process.communicate("go\n", timeout=HANG_S)
        assert printed == "built\n", complaints
