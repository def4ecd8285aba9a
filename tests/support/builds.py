"""Stages built as a flow builds them, without a flow: in a process forked from one with Keras.

Keras is imported once for all tests of a worker.
"""

import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flowers17.artifacts import Reference, Store
from flowers17.stages import Stage, ensure, in_order
from tests.support.forks import exit_code


def built(stages: Iterable[Stage], root: Path) -> Store:
    """Store in which stages and their inputs are built, one after the other in one process."""
    assert exit_code(build, list(stages), root) == 0
    return Store(root)


def killed(stages: Iterable[Stage], root: Path, label: str, n_done: int) -> None:
    """Build as `built` does; the process is killed once a stage tells of so much done."""
    assert exit_code(build, list(stages), root, label, n_done) == -signal.SIGKILL


def cut_off(stages: Iterable[Stage], root: Path, pattern: str, n_files: int) -> None:
    """Build as `built` does; the process is killed before it names its n-th file of a pattern."""
    assert exit_code(build_until, list(stages), root, pattern, n_files) == -signal.SIGKILL


def build_until(stages: Iterable[Stage], root: Path, pattern: str, n_files: int) -> None:
    """Build in this process, which kills itself in place of its n-th renaming to such a path."""
    n_named = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal n_named
        if event == "os.rename" and Path(arguments[1]).match(pattern):
            n_named += 1
            if n_named == n_files:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    build(stages, root)


def build(stages: Iterable[Stage], root: Path, killed_stage: str = "", n_before: int = 0) -> None:
    """Build stages and their inputs in this process.

    It kills itself when the stage of that label tells that `n_before` of its steps are done.
    """
    store, references = Store(root), dict[str, Reference]()
    for stage in in_order(stages):

        def progress(n_done: int, total: int, *_: Any, label: str = stage.label) -> None:
            if (label, n_done) == (killed_stage, n_before):
                assert n_done < total
                os.kill(os.getpid(), signal.SIGKILL)

        inputs = {name: references[source.title] for name, source in stage.inputs.items()}
        references[stage.title] = ensure(stage, inputs, store, progress=progress).reference
