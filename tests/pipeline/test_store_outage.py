"""A store that cannot be written for a while, in the middle of a run."""

from pathlib import Path

import pytest

from flowers17.errors import StoreUnusable
from flowers17.stages import Stage
from tasks.engine import VIEW
from tests.support.file_systems import Disk, failing_disk
from tests.support.toy import number
from tests.support.toy_flow import run

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("api")]


class _Failing:
    """Lets the disk fail when a stage has ended."""

    def __init__(self, disk: Disk, after: str) -> None:
        self.disk, self.after = disk, after

    def started(self, label: str) -> None:
        pass

    def progress(self, label: str, done: int, total: int, unit: str) -> None:
        pass

    def ended(self, label: str, how: str, seconds: float) -> None:
        if label == self.after:
            self.disk.fail()


def test_fails_clearly_and_the_same_command_goes_on_afterwards(tmp_path: Path) -> None:
    """Whether a stage is built in the run's process or in one of its own."""
    first = number("first", 1)
    stages: list[Stage] = [number("here", 2, first), number("apart", 3, first, isolated=True)]
    with failing_disk(tmp_path / "disk") as disk:
        store = disk.folder / "store"
        token = VIEW.set(_Failing(disk, after="first"))
        try:
            ended = run(stages, store)
        finally:
            VIEW.reset(token)
        assert ended.names == {"apart": "Failed", "first": "Completed", "here": "Failed"}
        failure = str(ended.failure)
        assert failure.count("the file system is read-only; mend it") == 2, failure
        assert "run the same command again (nothing finished is lost)" in failure
        with pytest.raises(StoreUnusable, match="read-only"):
            assert run(stages, store).results
        disk.mend()
        mended = {"apart": "Completed", "first": "Cached", "here": "Completed"}
        assert run(stages, store).names == mended
