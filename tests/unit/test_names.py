"""Identifiers are nouns that say what they name, never a pronoun or a participle."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import ROOT

PACKAGES = ("flowers17", "flows", "tasks")
PRONOUNS = frozenset({"one", "ones", "ours", "theirs", "whole", "studys"})
PARTICIPLES = frozenset(
    {
        *("asked", "done", "found", "given", "gone", "got", "kept", "made", "parted", "said"),
        *("seen", "taken", "told", "unattacked", "uncombined", "untuned", "wanted"),
    }
)


def _defined_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of variables, parameters, attributes, functions, classes and aliases."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.alias | ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            name = node.asname if isinstance(node, ast.alias) else node.name
            if name:
                yield node.lineno, name


def _vague_names(text: str) -> list[str]:
    """Lines and names of a module's identifiers that are pronouns or participles."""
    return [
        f"{line}: {name}"
        for line, name in _defined_names(ast.parse(text))
        if name.strip("_").lower() in PRONOUNS | PARTICIPLES
    ]


def test_every_kind_of_identifier_is_looked_at() -> None:
    kinds = (
        "one = 1",
        "one: int = 1",
        "self._found = 1",
        "def said(): pass",
        "async def said(): pass",
        "class Given: pass",
        "def f(a, *made, b=1, **told): pass",
        "lambda wanted: 0",
        "[0 for one in ()]",
        "(found := 1)",
        "import numpy as theirs",
        "with a as kept: pass",
        "try: pass\nexcept Exception as told: pass",
        "match a:\n case [one, *done]: pass",
    )
    assert [len(_vague_names(text)) for text in kinds] == [1] * 6 + [2] + [1] * 6 + [2]
    assert _vague_names("n_found = reference.done(found=1) + one") == []


def test_identifiers_are_no_pronouns_and_no_participles() -> None:
    vague = {}
    for package in PACKAGES:
        for path in sorted(Path(ROOT, package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if lines := _vague_names(path.read_text()):
                vague[name] = lines
    assert vague == {}
