"""Building a stage in a process of its own, which ends when its parent does.

A fresh process gives memory back, keeps Keras's process-wide seeds apart, and can be killed when it
hangs. With TensorFlow on Linux it is forked from one that has imported Keras and done nothing with
it: seconds of imports are spent once a run, and not once a stage. What a process logs and how far
it has come are told to the parent through a pipe, in messages that can be passed on to another
process (`flowers17.cluster`).
"""

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from flowers17 import fork_server
from flowers17.artifacts import Store
from flowers17.errors import MOST_CHARACTERS, StageFailed, legible
from flowers17.shared.store import open_store
from flowers17.stages import History, Outcome, Progress, References, Stage, ensure

_MOST_OF_A_TRACEBACK = 20_000
_UNKNOWN = 255  # exit code of a process whose fork server was killed

Message = tuple[str, Any]  # `progress`, `log`, at last `error` or `outcome`, and what it tells


class ProcessEnded(StageFailed):
    """The process that built a stage ended without a result: killed, or crashed."""


class ProcessInterrupted(ProcessEnded):
    """Ctrl-C ended the process that built a stage."""


def ensure_isolated(
    stage: Stage,
    inputs: References,
    store: Store,
    *,
    progress: Progress,
    logger: logging.Logger | logging.LoggerAdapter,
) -> Outcome:
    """Return the stage's artifact as `stages.ensure` does, built in a process of its own.

    Raises what the build raises, ProcessEnded if the process is killed, and StageFailed if it
    outlasts `stage.timeout_s`.
    """
    with closing(messages(stage, inputs, store)) as told:
        return outcome_of(told, progress=progress, logger=logger)


def messages(
    stage: Stage, inputs: References, store: Store, *, forks: bool = True
) -> Generator[Message, None, None]:
    """Yield what a process tells that builds the stage; closing it ends the process.

    forks: whether to fork where that can be done, which pays if this process has more stages built.
    Raises ProcessEnded and StageFailed as `ensure_isolated` does.
    """
    process, receiver = _begun(stage, inputs, store, forks=forks)
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
                interrupted = process.exitcode == -signal.SIGINT
                raise (ProcessInterrupted if interrupted else ProcessEnded)(
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
        process.close()  # ends it, too, if its fork server is gone and nobody tells that it lives


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


def _begun(
    stage: Stage, inputs: References, store: Store, *, forks: bool
) -> tuple[BaseProcess, Connection]:
    """Return a process that has begun to build the stage, and where it tells of it.

    It is spawned where it cannot be forked. Raises ProcessEnded if it cannot be begun at all.
    """
    if forks and fork_server.forks_bear():
        with suppress(OSError, EOFError):
            return _told_by(stage, inputs, store, forked=True)
    try:
        return _told_by(stage, inputs, store, forked=False)
    except (OSError, EOFError) as problem:
        raise ProcessEnded(
            f"stage {stage.label}: expected to begin a process for it, got: {problem!r}. Free "
            "memory, processes or room for temporary files; then run the same command again: what "
            "is finished is kept"
        ) from problem


def _told_by(
    stage: Stage, inputs: References, store: Store, *, forked: bool
) -> tuple[BaseProcess, Connection]:
    # A pipe of its own for each try, since a process that got lost may still write into it.
    receiver, sender = multiprocessing.Pipe(duplex=False)
    what = (sender, stage, dict(inputs), store.address, dict(os.environ))
    with sender:
        try:
            return fork_server.begin(_child, what, name=stage.label, forked=forked), receiver
        except BaseException:
            receiver.close()
            raise


def _ending(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"by {name}{hint}"
    if exit_code == _UNKNOWN:
        return "with the process that it was forked from: killed (out of memory?)"
    return f"with exit code {exit_code} and no result"


class _PipeHandler(logging.Handler):
    def __init__(self, tell: Callable[[str, Any], None]) -> None:
        super().__init__(logging.INFO)
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self.tell("log", (record.levelno, record.getMessage()))


def _child(
    sender: Connection,
    stage: Stage,
    inputs: References,
    store: str,
    environment: Mapping[str, str],
) -> None:
    os.environ.clear()  # a forked process has what its server began with
    os.environ.update(environment)
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

    # Ctrl-C ends it as kill does: Python's exception for it may be lost, and the build would go on.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        outcome = ensure(stage, inputs, open_store(store), progress=progress)
    except Exception as problem:
        problem.add_note(legible(traceback.format_exc(), _MOST_OF_A_TRACEBACK))
        tell("error", _sendable(problem, stage))
    else:
        tell("outcome", outcome)


def _sendable(problem: Exception, stage: Stage) -> Exception:
    try:
        if len(str(problem)) > MOST_CHARACTERS:
            raise OverflowError
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
