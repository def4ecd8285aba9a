"""The command `flowers17`: run, plan, sweep, predict, show, compare, serve, recover and others.

Exit codes: 0 done; 1 a stage failed or something needs attention; 2 a wrong option, setting or
input. The parameters of commands become options by `commands.options`.
"""

import errno
import gc
import os
import sys
from collections.abc import Sequence

from flowers17.commands.options import app, err, print_json
from flowers17.errors import Flowers17Error, InvalidInput, PackageShadowed, ServerLost, short_repr

try:  # importing them makes their functions commands
    from flowers17.commands import flow_commands, store_commands  # noqa: F401
except PackageShadowed as problem:  # no command can show it, as all need the list of flows
    sys.exit(f"error {problem}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors made on purpose are shown without a traceback."""
    gc.set_threshold(50_000)  # what is imported is no garbage, and is gone through each time
    if os.environ.get("PREFECT_SERVER_ANALYTICS_ENABLED", "false").lower() in ("false", "0"):
        os.environ.setdefault("DO_NOT_TRACK", "1")  # nor does Prefect say that it would track
    try:
        app(arguments)
    except Flowers17Error as problem:
        err.text_line(("error", "red"), f" {problem}")
        if problem.details and "--json" in (arguments or sys.argv):
            print_json({"error": str(problem), **problem.details})
        if isinstance(problem, ServerLost):
            os._exit(1)  # on the way out, Prefect would wait for it again
        sys.exit(2 if isinstance(problem, InvalidInput) else 1)
    except OSError as problem:
        if problem.errno != errno.ENAMETOOLONG:
            raise
        path = short_repr(problem.filename)
        err.text_line(("error", "red"), f" expected a shorter path, got {path}")
        sys.exit(2)
