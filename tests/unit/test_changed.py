"""Which unit tests `make check` runs for a change."""

from pathlib import Path

import pytest

from tests.support.changed import affected_tests, imported, modules

FILES = {
    "flowers17/__init__.py": "",
    "flowers17/errors.py": "",
    "flowers17/data/__init__.py": "from .splits import Split",
    "flowers17/data/splits.py": "from flowers17 import errors",
    "flowers17/data/hidden.py": "",
    "flowers17/data/shown.py": "def late():\n    from . import hidden",
    "tests/support/made.py": "import flowers17.data.splits",
    "tests/unit/test_errors.py": "from flowers17.errors import InvalidInput",
    "tests/unit/data/test_splits.py": "from flowers17.data.splits import Split",
    "tests/unit/data/test_shown.py": "from flowers17.data import shown",
    "tests/unit/test_made.py": "from tests.support import made",
    "tests/unit/test_docs.py": "NAME = 'operation.md'",
    "tests/pipeline/test_study.py": "from flowers17.data.splits import Split",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of a few modules."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("flowers17/errors.py", ["tests/unit/test_errors.py"]),
        (
            "flowers17/data/splits.py",
            ["tests/unit/data/test_splits.py", "tests/unit/test_made.py"],
        ),
        ("flowers17/data/hidden.py", ["tests/unit/data/test_shown.py"]),
        ("tests/support/made.py", ["tests/unit/test_made.py"]),
        ("tests/unit/test_errors.py", ["tests/unit/test_errors.py"]),
        ("docs/operation.md", ["tests/unit/test_docs.py"]),
        ("flowers17/gone.py", []),
    ],
)
def test_are_those_that_import_what_changed(root: Path, changed: str, tests: list[str]) -> None:
    assert affected_tests([changed], root) == tests


def test_imports_are_found_in_functions_and_in_relative_form(root: Path) -> None:
    paths = modules(root)
    name = "flowers17.data.shown"
    assert imported(name, paths[name], paths) == {"flowers17.data", "flowers17.data.hidden"}
