"""Building a stage in a process of its own, which ends when its parent does.

A fresh process gives memory back, keeps Keras's process-wide seeds apart, and can be killed when it
hangs. With TensorFlow on Linux it is forked from one that has imported Keras and done nothing with
it: seconds of imports are spent once a run, and not once a stage. Logs and progress
reach the parent through a pipe, in messages that can be passed on to another process
(`flowers17.cluster`).
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
from contextlib import ExitStack, closing
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from flowers17 import fork_server, interrupts
from flowers17.artifacts import Store
from flowers17.errors import MAX_CHARACTERS, StageFailed, legible
from flowers17.shared.store import open_store
from flowers17.stages import History, Outcome, Progress, References, Stage, ensure

_MAX_TRACEBACK_CHARACTERS = 20_000
_UNKNOWN = 255  # exit code of a process whose fork server was killed
_ATTENTION_S = 0.2  # how often a wait looks whether the run ends

AGAIN = "Run the same command again: what is finished is kept"

Message = tuple[str, Any]  # kind and content: `progress`, `log`, at last `error` or `outcome`


class ProcessEnded(StageFailed):
    """The process that built a stage ended without a result: killed, or crashed."""


class ProcessInterrupted(ProcessEnded):
    """Ctrl-C, or who cancelled the run, ended the process that built a stage."""


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
    with closing(messages(stage, inputs, store)) as stream:
        return outcome_of(stream, progress=progress, logger=logger)


def messages(
    stage: Stage, inputs: References, store: Store, *, forks: bool = True
) -> Generator[Message, None, None]:
    """Yield the messages of a process that builds the stage; closing the generator ends it.

    forks: whether to fork where possible, which pays if this process has more stages built.
    Raises ProcessEnded and StageFailed as `ensure_isolated` does, ProcessInterrupted once builds
    are to end.
    """
    process, receiver = _started_process(stage, inputs, store, forks=forks)
    deadline = time.monotonic() + stage.timeout_s
    kind = ""
    try:
        while kind not in ("error", "outcome"):
            while not receiver.poll(_ATTENTION_S):
                if interrupts.ending():
                    raise ProcessInterrupted(interruption(stage))
                if time.monotonic() > deadline:
                    raise StageFailed(
                        f"stage {stage.label}: expected to end within {stage.timeout_s:.0f} s; it "
                        f"was stopped. {AGAIN}"
                    )
            try:
                kind, value = receiver.recv()
            except (EOFError, OSError):  # OSError: it ended in the middle of a message
                process.join()
                if interrupts.ending() or process.exitcode in (-signal.SIGINT, -signal.SIGTERM):
                    raise ProcessInterrupted(interruption(stage)) from None
                raise ProcessEnded(
                    f"stage {stage.label}: its process ended "
                    f"{_exit_description(process.exitcode)}. {AGAIN}"
                ) from None
            yield kind, value
    finally:
        receiver.close()
        if process.is_alive():
            process.join(0.5)
            process.kill()
        process.join()
        process.close()  # ends it, too, if its fork server is gone and it counts as dead


def interruption(stage: Stage) -> str:
    """Message on a stage that was interrupted."""
    return f"stage {stage.label}: interrupted. {AGAIN}"


def outcome_of(
    stream: Iterable[Message],
    *,
    progress: Progress,
    logger: logging.Logger | logging.LoggerAdapter,
) -> Outcome:
    """Return the outcome that messages end with, passing on progress and logs; raises the error."""
    outcome: Outcome | None = None
    for kind, value in stream:
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


def _started_process(
    stage: Stage, inputs: References, store: Store, *, forks: bool
) -> tuple[BaseProcess, Connection]:
    """Return a process that has begun to build the stage, and the receiving end of its pipe.

    It is spawned where it cannot be forked. Raises ProcessEnded if it cannot be begun at all.
    """
    failure: Exception | None = None
    for forked in (True, False) if forks and fork_server.can_fork() else (False,):
        if interrupts.ending():  # which ended the server, too
            raise ProcessInterrupted(interruption(stage)) from failure
        try:
            # A pipe for each try, since a process that got lost may still write into it.
            receiver, sender = multiprocessing.Pipe(duplex=False)
            with sender, ExitStack() as on_failure:
                on_failure.callback(receiver.close)
                process = fork_server.start_process(
                    _build_and_report,
                    (sender, stage, dict(inputs), store.address, dict(os.environ)),
                    name=stage.label,
                    forked=forked,
                )
                on_failure.pop_all()
                return process, receiver
        except (OSError, EOFError) as problem:
            failure = problem
    raise ProcessEnded(
        f"stage {stage.label}: expected to begin a process for it, got: {failure!r}. Free memory, "
        "processes or room for temporary files; then run the same command again: what is finished "
        "is kept"
    ) from failure


def _exit_description(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"by {name}{hint}"
    if exit_code == _UNKNOWN:
        return "with the process that it was forked from: killed (out of memory?)"
    return f"with exit code {exit_code} and no result"


class _PipeHandler(logging.Handler):
    def __init__(self, send: Callable[[str, Any], None]) -> None:
        super().__init__(logging.INFO)
        self.send = send

    def emit(self, record: logging.LogRecord) -> None:
        self.send("log", (record.levelno, record.getMessage()))


def _build_and_report(
    sender: Connection,
    stage: Stage,
    inputs: References,
    store: str,
    environment: Mapping[str, str],
) -> None:
    os.environ.clear()  # a forked process has what its server began with
    os.environ.update(environment)
    fork_server.keep_temporary_files_together()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    send_lock = threading.Lock()

    def send(kind: str, value: Any) -> None:
        with send_lock:
            sender.send((kind, value))

    package_logger = logging.getLogger("flowers17")
    package_logger.setLevel(logging.INFO)
    package_logger.addHandler(_PipeHandler(send))

    def progress(n_done: int, total: int, unit: str, history: History | None = None) -> None:
        send("progress", (n_done, total, unit, history) if history else (n_done, total, unit))

    # Ctrl-C ends it as kill does: Python's exception for it may be lost, and the build would go on.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        outcome = ensure(stage, inputs, open_store(store), progress=progress)
    except Exception as problem:
        problem.add_note(legible(traceback.format_exc(), _MAX_TRACEBACK_CHARACTERS))
        send("error", _picklable_error(problem, stage))
    else:
        send("outcome", outcome)


def _picklable_error(problem: Exception, stage: Stage) -> Exception:
    try:
        if len(str(problem)) > MAX_CHARACTERS:
            raise OverflowError
        pickle.loads(pickle.dumps(problem))
    except Exception:  # some libraries' errors cannot be pickled, or not loaded again
        substitute = StageFailed(f"stage {stage.label}: {problem!r}")
        substitute.__notes__ = problem.__notes__
        return substitute
    return problem


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
