"""The command line in this process, which has imported everything already."""

import io
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout

import pytest

from flowers17.cli import main


def called(*words: str, api: str, settings: Iterable[str] = ()) -> tuple[int | str, str, str]:
    """Exit code, standard output and standard error of `flowers17 …` with a server's API."""
    options = [word for setting in settings for word in ("--set", setting)]
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(io.StringIO()) as printed,
        redirect_stderr(io.StringIO()) as complaints,
    ):
        patch.setenv("PREFECT_API_URL", api)
        try:
            main([*words, *options])
            code: int | str = 0
        except SystemExit as end:
            code = end.code or 0
    return code, printed.getvalue(), complaints.getvalue()
