"""Two studies compared, as a page of its own that a browser shows without a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowers17.errors import InvalidInput
from flowers17.reporting.html import environment
from flowers17.reporting.studies.pair import (
    difference_lines,
    difference_text,
    few,
    number_text,
)
from flowers17.reporting.wording import p_text


def write(comparison: Mapping[str, Any], path: Path) -> None:
    """Write the page of a comparison (`comparing.comparison_of`).

    Raises InvalidInput if the file cannot be written.
    """
    try:
        path.write_text(page(comparison))
    except OSError as problem:
        raise InvalidInput(
            f"--html {path}: expected a file that can be written, got {problem.strerror}; choose "
            "another"
        ) from problem


def page(comparison: Mapping[str, Any]) -> str:
    """HTML of the page."""
    return environment().get_template("comparison.html").render(template_values(comparison))


def template_values(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """What the template `comparison.html` shows of a comparison."""
    lines = difference_lines(comparison["differences"])
    return {
        **comparison,
        "differing": lines,
        "equal": [title for title, differences in lines if not differences],
        **{"number": number_text, "difference": difference_text, "p": p_text, "few": few},
    }
