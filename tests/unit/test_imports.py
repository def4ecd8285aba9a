"""Imports go one way, and starting is cheap: nobody waits for TensorFlow before it is needed."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowers17.packages import OFFERED
from tests.support.processes import ROOT, output_of

# A module may import from its own layer and from layers above it in this list, never below.
LAYERS = (
    (
        "flowers17.errors",
        "flowers17.packages",
        "flowers17.files",
        "flowers17.digests",
        "flowers17.manifests",
        "flowers17.materials",
        "flowers17.store_folder",
        "flowers17.terminal",
        "flowers17.interrupts",
        "flowers17.environment",
        "flowers17.rules",
    ),
    ("flowers17.backbones",),
    ("flowers17.config", "flowers17.seeds", "flowers17.artifacts"),
    ("flowers17.shared",),
    (
        "flowers17.profiles",
        "flowers17.validation",
        "flowers17.request",
        "flowers17.stages",
    ),
    ("flowers17.estimates",),
    (
        "flowers17.preloaded",
        "flowers17.fork_server",
        "flowers17.isolation",
        "flowers17.plan",
        "flowers17.cluster",
    ),
    ("flowers17.sweeps",),
    ("flowers17.data",),
    ("flowers17.learners", "flowers17.transfer"),
    ("flowers17.ensemble", "flowers17.robustness"),
    ("flowers17.small_data",),
    ("flowers17.prediction", "flowers17.reporting"),
    ("flowers17.site",),
    ("tasks",),
    ("flows",),
    ("flowers17.cli", "flowers17.commands", "flowers17.study"),
)
# What computes: it knows arrays and artifacts, not how stages are described, stored and run.
LIBRARY = (
    "flowers17.data",
    "flowers17.learners",
    "flowers17.transfer",
    "flowers17.ensemble",
    "flowers17.robustness",
    "flowers17.small_data",
    "flowers17.prediction",
    "flowers17.reporting",
)
MACHINERY = (
    "flowers17.sweeps",
    "flowers17.stages",
    "flowers17.preloaded",
    "flowers17.fork_server",
    "flowers17.isolation",
    "flowers17.interrupts",
    "flowers17.cluster",
    "flowers17.plan",
    "flowers17.request",
    "flowers17.profiles",
)


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    _module(path): path
    for top in ("flowers17", "tasks", "flows")
    for path in sorted((ROOT / top).rglob("*.py"))
}


def _imports(module: str) -> Iterator[str]:
    """Yield whatever a module imports, also inside functions; `from a import b` yields a.b."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: keys of stages follow absolute imports only"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _below(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _layer(name: str) -> int | None:
    for number, layer in enumerate(LAYERS):
        if _below(name, *layer):
            return number
    return None


@pytest.mark.parametrize("module", MODULES)
def test_go_one_way(module: str) -> None:
    own = _layer(module)
    if own is None:
        assert module == "flowers17", f"{module}: give it a place in LAYERS"
        return
    wrong = [name for name in _imports(module) if (other := _layer(name)) and other > own]
    assert wrong == []


@pytest.mark.parametrize("module", [one for one in MODULES if _below(one, *LIBRARY)])
def test_of_what_computes_leave_the_machinery_alone(module: str) -> None:
    assert [name for name in _imports(module) if _below(name, *MACHINERY)] == []


@pytest.mark.parametrize("module", [one for one in MODULES if _below(one, "flowers17")])
def test_of_the_library_leave_prefect_out(module: str) -> None:
    if not _below(module, "flowers17.commands"):
        assert [name for name in _imports(module) if _below(name, "prefect")] == []


@pytest.mark.parametrize("module", [one for one in MODULES if MODULES[one].name == "__init__.py"])
def test_of_packages_run_no_code(module: str) -> None:
    statements = ast.parse(MODULES[module].read_text()).body
    rest = statements[1:] if ast.get_docstring(ast.Module(statements, [])) else statements
    if module == "flowers17.config":  # what others import from it
        rest = [one for one in rest if not isinstance(one, ast.ImportFrom)]
    if module == "flowers17":  # version
        rest = [one for one in rest if not isinstance(one, ast.Assign)]
    code = []
    if module in OFFERED:
        code = ["from flowers17.packages import offer", "offer(__name__)"]
    if module == "flowers17":
        code = [code[0].replace(" offer", " install_finder, offer"), "install_finder()", code[1]]
    assert [ast.unparse(one) for one in rest] == code


@pytest.mark.parametrize("module", MODULES)
def test_nothing_outside_tests_asserts_or_unpickles(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text())
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)] == []
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    unsafe = {"pickle.load", "joblib.load", "torch.load", "eval", "exec"}
    assert unsafe & {ast.unparse(one) for one in calls} == set()
    allowing = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword)
        and node.arg == "allow_pickle"
        and not (isinstance(node.value, ast.Constant) and node.value.value is False)
    ]
    assert allowing == []


def _loaded_by(*modules: str) -> set[str]:
    code = f"import json, sys, {', '.join(modules)}; print(json.dumps(sorted(sys.modules)))"
    return {name.partition(".")[0] for name in json.loads(output_of(code))}


def test_of_the_command_line_load_neither_networks_nor_prefect() -> None:
    loaded = _loaded_by("flowers17.cli")
    heavy = {"numpy", "tensorflow", "keras", "prefect", "sklearn", "matplotlib"}
    assert loaded & heavy == set()


def test_of_tasks_and_flows_load_no_networks() -> None:
    parts = [one for one in MODULES if _below(one, "tasks", "flows")]
    assert _loaded_by(*parts) & {"tensorflow", "keras"} == set()


def test_of_poisoning_load_no_networks() -> None:
    assert _loaded_by("flowers17.robustness.poisoning") & {"tensorflow", "keras"} == set()
