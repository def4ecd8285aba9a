"""Building a stage in a process of its own, which ends when its parent does.

A fresh process gives memory back, keeps Keras's process-wide seeds apart, and can be killed when it
hangs. What it logs and how far it has come are told to the parent through a pipe, in messages that
can be passed on to another process (`flowers17.cluster`).
"""

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from multiprocessing.connection import Connection, wait
from typing import Any

from flowers17.artifacts import Store
from flowers17.errors import StageFailed
from flowers17.shared.store import open_store
from flowers17.stages import History, Outcome, Progress, References, Stage, ensure

_SPAWN = multiprocessing.get_context("spawn")


Message = tuple[str, Any]  # `progress`, `log`, at last `error` or `outcome`, and what it tells


class ProcessEnded(StageFailed):
    """The process that built a stage ended without a result: killed, or crashed."""


def ensure_isolated(
    stage: Stage,
    inputs: References,
    store: Store,
    *,
    progress: Progress,
    logger: logging.Logger | logging.LoggerAdapter,
) -> Outcome:
    """Return the stage's artifact as `stages.ensure` does, built in a spawned process.

    Raises what the build raises, ProcessEnded if the process is killed, and StageFailed if it
    outlasts `stage.timeout_s`.
    """
    with closing(messages(stage, inputs, store)) as told:
        return outcome_of(told, progress=progress, logger=logger)


def messages(stage: Stage, inputs: References, store: Store) -> Generator[Message, None, None]:
    """Yield what a spawned process tells that builds the stage; closing it ends the process.

    Raises ProcessEnded and StageFailed as `ensure_isolated` does.
    """
    receiver, sender = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(
        target=_child,
        args=(sender, stage, dict(inputs), store.address),
        name=stage.label,
        daemon=True,
    )
    process.start()
    sender.close()
    deadline = time.monotonic() + stage.timeout_s
    kind = ""
    try:
        while kind not in ("error", "outcome"):
            if not receiver.poll(max(0.0, deadline - time.monotonic())):
                raise StageFailed(
                    f"stage {stage.label}: expected to end within {stage.timeout_s:.0f} s; it was "
                    "stopped. Run the same command again: what is finished is kept"
                )
            try:
                kind, value = receiver.recv()
            except (EOFError, OSError):  # OSError: it ended in the middle of a message
                process.join()
                raise ProcessEnded(
                    f"stage {stage.label}: its process ended {_ending(process.exitcode)}. Run the "
                    "same command again: what is finished is kept"
                ) from None
            yield kind, value
    finally:
        receiver.close()
        if process.is_alive():
            process.join(0.5)
            process.kill()
        process.join()


def outcome_of(
    told: Iterable[Message],
    *,
    progress: Progress,
    logger: logging.Logger | logging.LoggerAdapter,
) -> Outcome:
    """Return the outcome that messages end with, passing on progress and logs; raises the error."""
    outcome: Outcome | None = None
    for kind, value in told:
        if kind == "progress":
            progress(*value)
        elif kind == "log":
            logger.log(*value)
        elif kind == "error":
            raise value
        else:
            outcome = value
    if outcome is None:
        raise ProcessEnded("expected a build to end with an error or an outcome, got neither")
    return outcome


def _ending(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"by {name}{hint}"
    return f"with exit code {exit_code} and no result"


class _PipeHandler(logging.Handler):
    def __init__(self, tell: Callable[[str, Any], None]) -> None:
        super().__init__(logging.INFO)
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self.tell("log", (record.levelno, record.getMessage()))


def _child(sender: Connection, stage: Stage, inputs: References, store: str) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_at_a_time = threading.Lock()

    def tell(kind: str, value: Any) -> None:
        with one_at_a_time:
            sender.send((kind, value))

    ours = logging.getLogger("flowers17")
    ours.setLevel(logging.INFO)
    ours.addHandler(_PipeHandler(tell))

    def progress(done: int, total: int, unit: str, history: History | None = None) -> None:
        tell("progress", (done, total, unit, history) if history else (done, total, unit))

    try:
        outcome = ensure(stage, inputs, open_store(store), progress=progress)
    except KeyboardInterrupt:
        tell("error", StageFailed(f"stage {stage.label}: interrupted"))
    except Exception as problem:
        problem.add_note(traceback.format_exc())
        tell("error", _sendable(problem, stage))
    else:
        tell("outcome", outcome)


def _sendable(problem: Exception, stage: Stage) -> Exception:
    try:
        pickle.loads(pickle.dumps(problem))
    except Exception:  # some libraries' errors can be sent but not received, or not even sent
        told = StageFailed(f"stage {stage.label}: {problem!r}")
        told.__notes__ = problem.__notes__
        return told
    return problem


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
