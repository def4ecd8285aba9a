"""Functions called in processes that are forked from one which has imported Keras."""

import os
import runpy
import sys
from collections.abc import Callable, Mapping
from typing import Any

from flowers17 import fork_server
from tests.support.processes import HANG_S


def exit_code(function: Callable[..., None], *arguments: Any, seconds: float = 2 * HANG_S) -> int:
    """Exit code of a process that calls the function, -9 if it was killed.

    The function and its arguments are pickled, so it is one of `tests.support`. seconds: after
    which it hangs; a whole study takes its time on a loaded machine.
    """
    process = fork_server.start_process(
        _call, (dict(os.environ), function, arguments), name=function.__name__, forked=True
    )
    try:
        process.join(seconds)
        assert process.exitcode is not None, "it hangs"
        return process.exitcode
    finally:
        process.kill()
        process.join()


def run_program(module: str, *arguments: str) -> None:
    """Run a module as a program in this process."""
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__")


def _call(
    environment: Mapping[str, str], function: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """Call the function with the environment of the process that wants it."""
    os.environ.clear()
    os.environ.update(environment)
    fork_server.keep_temporary_files_together()
    function(*arguments)
