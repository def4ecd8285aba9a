"""Labels are for people: no module reads out of them what a stage is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT

FOLDERS = ("flowers17/reporting", "flowers17/commands", "flowers17/sweeps", "tasks", "flows")
MODULES = [
    *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")),
    ROOT / "flowers17" / "cli.py",
]
# What takes a text apart, and how a regular expression is laid on one.
APART = {
    *("startswith", "endswith", "partition", "rpartition", "split", "rsplit", "replace"),
    *("removeprefix", "removesuffix", "find", "index"),
}
PATTERN = {"match", "fullmatch", "search", "findall", "finditer", "split", "sub"}
BY_LABEL = {"artifacts", "missing"}  # mappings whose keys are labels


class Reader(ast.NodeVisitor):
    """Finds where a function takes labels apart; `names` are those that hold labels."""

    def __init__(self) -> None:
        self.names = {"label"}
        self.lines: list[int] = []

    def is_label(self, node: ast.AST) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self.names
            case ast.Attribute(attr="label") | ast.Subscript(slice=ast.Constant(value="label")):
                return True
            case (
                ast.Call(func=ast.Attribute(value=inner))
                | ast.Call(func=ast.Name(id="str"), args=[inner])
            ):
                return self.is_label(inner)
        return False

    def _bind(self, target: ast.AST, values: ast.AST) -> None:
        """Learn which name holds labels where something is iterated over."""
        nodes = list(ast.walk(values))
        if any(isinstance(node, ast.Attribute) and node.attr == "values" for node in nodes):
            return
        over = any(isinstance(node, ast.Attribute) and node.attr in BY_LABEL for node in nodes)
        first = target.elts[0] if isinstance(target, ast.Tuple) else target
        if isinstance(first, ast.Name) and (over or any(map(self.is_label, nodes))):
            self.names.add(first.id)

    def visit_For(self, node: ast.For) -> None:
        self._bind(node.target, node.iter)
        self.generic_visit(node)

    def _comprehension(self, node: ast.AST) -> None:
        for generator in getattr(node, "generators", ()):
            self._bind(generator.target, generator.iter)
        self.generic_visit(node)

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def visit_Assign(self, node: ast.Assign) -> None:
        of_labels = any(
            isinstance(part, ast.Attribute) and part.attr == "missing"
            for part in ast.walk(node.value)
        )
        for target in node.targets:
            if isinstance(target, ast.Name) and (of_labels or self.is_label(node.value)):
                self.names.add(target.id)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            way, of = node.func.attr, node.func.value
            takes_apart = way in APART and self.is_label(of)
            matches = way in PATTERN and any(map(self.is_label, node.args))
            looks_up = way == "get" and isinstance(of, ast.Attribute) and of.attr == "artifacts"
            if takes_apart or matches or looks_up:
                self.lines.append(node.lineno)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for operator, right in zip(node.ops, node.comparators, strict=True):
            inside = isinstance(operator, ast.In | ast.NotIn)
            named = isinstance(right, ast.Attribute) and right.attr == "artifacts"
            if inside and (self.is_label(right) or named):
                self.lines.append(node.lineno)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        sliced = isinstance(node.slice, ast.Slice) and self.is_label(node.value)
        named = isinstance(node.value, ast.Attribute) and node.value.attr == "artifacts"
        if sliced or named:
            self.lines.append(node.lineno)
        self.generic_visit(node)


def _functions(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def taken_apart(source: str) -> list[int]:
    """The lines at which functions take labels apart or look artifacts up by them."""
    lines: set[int] = set()
    for function in _functions(ast.parse(source)):
        reader = Reader()
        reader.visit(function)  # once to learn the names, once to find
        reader.lines.clear()
        reader.visit(function)
        lines |= set(reader.lines)
    return sorted(lines)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_reads_structure_out_of_a_label(path: Path) -> None:
    assert taken_apart(path.read_text()) == []


@pytest.mark.parametrize(
    "body",
    [
        "label.startswith('weights ')",
        "_FROM_SCRATCH.match(label)",
        "re.search(rf'\\b{extractor}\\b', label)",
        "[one for one in sorted(inputs.missing) if one.startswith('stacking of ')]",
        "[why for one, why in inputs.missing.items() if 'features' in one]",
        "split.label.removesuffix(' split')",
        "manifest['label'].partition(', ')[2]",
        "str(report['label'])[:7]",
        "[one for one in sorted(set(job.missing) - known) if name in re.split(r'[\\s,]+', one)]",
        "inputs.artifacts[f'{member} refit, {split} split']",
    ],
)
def test_ways_of_reading_a_label_are_seen(body: str) -> None:
    assert taken_apart(f"def function():\n    return {body}\n") == [2]


@pytest.mark.parametrize(
    "body",
    [
        "sorted(inputs.artifacts.items())",
        "[one for one in inputs.artifacts.values() if one.startswith('a')]",
        "f'folds of {split.label}'",
        "[label for label in wanted if label in failed]",
        "name.partition(' ')[0]",
    ],
)
def test_other_texts_are_left_alone(body: str) -> None:
    assert taken_apart(f"def function():\n    return {body}\n") == []
