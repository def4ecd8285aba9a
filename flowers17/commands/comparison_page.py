"""Two studies compared, as a page of its own that a browser shows without a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowers17.commands.comparing import difference_text, differing, few, number_text
from flowers17.errors import InvalidInput
from flowers17.reporting.html import environment
from flowers17.reporting.wording import p_text


def write(found: Mapping[str, Any], path: Path) -> None:
    """Write the page of what `comparing.compared` returns; raises InvalidInput if it cannot be."""
    try:
        path.write_text(page(found))
    except OSError as problem:
        raise InvalidInput(
            f"--html {path}: expected a file that can be written, got {problem.strerror}; choose "
            "another"
        ) from problem


def page(found: Mapping[str, Any]) -> str:
    """Return the page's HTML."""
    lines = differing(found["differences"])
    templates = environment()
    templates.globals.update(number=number_text, difference=difference_text, p=p_text, few=few)
    return templates.get_template("comparison.html").render(
        found, differing=lines, equal=[title for title, which in lines if not which]
    )
