"""Unit tests of what changed since a branch began, by who imports what: `make check` runs them.

Run as `python -m tests.support.changed BRANCH`; it prints paths of test files, one a line. A
test file counts if it changed or imports a changed module, by itself or through `tests.support`.
A changed module that no test imports counts through those that import it. What is no Python counts
by its name: test files whose text has it. The rest is for `make test`.
"""

import ast
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ("flowers17", "tasks", "flows", "tests")


def modules(root: Path) -> dict[str, Path]:
    """Our modules' files by name."""
    paths = sorted(path for folder in CODE for path in (root / folder).rglob("*.py"))
    return {module_name(path.relative_to(root)): path for path in paths}


def module_name(path: Path) -> str:
    """Name of the module that a file, relative to the root, is."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(name: str, path: Path, names: Iterable[str]) -> set[str]:
    """Which of our modules a module imports, anywhere in its file."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    candidates: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            candidates |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            origin = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            candidates |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    return candidates & set(names)


def affected_tests(changed: Iterable[str], root: Path) -> list[str]:
    """Unit tests of changed files, all as paths relative to the root."""
    paths = modules(root)
    imports = {name: imported(name, path, paths) for name, path in paths.items()}
    texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
    tests = {name for name in paths if name.startswith("tests.unit.") and ".test_" in name}

    @cache
    def tests_importing(module: str) -> frozenset[str]:
        through = {
            name
            for name in paths
            if module in imports[name] and name.startswith("tests.") and name not in tests
        }
        inner = (tests_importing(name) for name in through)
        return frozenset(name for name in tests if module in imports[name]).union(*inner)

    selected: set[str] = set()
    for file in map(Path, changed):
        module = module_name(file) if file.suffix == ".py" else ""
        if module in tests:
            selected.add(module)
        elif module in paths:
            importers = (name for name in paths if module in imports[name])
            selected |= tests_importing(module) or frozenset().union(
                *map(tests_importing, importers)
            )
        else:
            selected |= {name for name in tests if file.name in texts[name]}
    return sorted(str(paths[name].relative_to(root)) for name in selected)


def changed_files(branch: str) -> list[str]:
    """Files that differ from where this branch left the other one, new ones included."""
    base = _git("merge-base", "HEAD", branch)[0]
    new = _git("ls-files", "--others", "--exclude-standard")
    return [*_git("diff", "--name-only", base), *new]


def _git(*words: str) -> list[str]:
    command = ["git", *words]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()


if __name__ == "__main__":
    print("\n".join(affected_tests(changed_files(sys.argv[1]), ROOT)))
