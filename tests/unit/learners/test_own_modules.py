"""A user's own modules are found, and hashed for a key, without running any of their code."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flowers17.artifacts import read_sha256
from flowers17.cli import main
from flowers17.config import RunOptions
from flowers17.errors import InvalidSettings
from flowers17.learners.own_modules import check_function, module_file
from flowers17.request import request_from
from flows.flow_names import FLOWS

CODE = "open('ran', 'w')\n\n\ndef build(shape, n_classes):\n    pass\n"
Module = Callable[[str], Path]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Return what writes a module into a folder on the path; importing it leaves a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def written(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CODE)
        return path

    return written


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("own_net", ["own_net.py"]),
        ("own_package", ["own_package/__init__.py"]),
        ("own_package.net", ["own_package/__init__.py", "own_package/net.py"]),
        ("own_spaces.inner.net", ["own_spaces/inner/net.py"]),
    ],
)
def test_a_plan_runs_no_code_that_its_settings_name(
    name: str, files: list[str], module: Module, tmp_path: Path
) -> None:
    path = [module(file) for file in files][-1]
    before = set(sys.modules)
    request = request_from(
        [f'learners.plain=["{name}:build"]', "learners.best=[]"], store=str(tmp_path / "store")
    )
    [report] = FLOWS["learners"].stages(request.settings, RunOptions(device="cpu"))
    inputs = dict(report.inputs)
    own = [stage for label, stage in inputs.items() if label.startswith(f"{name}:build")]
    assert own
    assert all(f'"sha256":"{read_sha256(path)}"' in stage.config for stage in own)
    main_code(["plan", "learners", "--store", "store", "--set", f'learners.plain=["{name}:build"]'])
    assert not (tmp_path / "ran").exists()
    assert not {loaded for loaded in set(sys.modules) - before if loaded.startswith("own_")}


def main_code(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize(
    "name",
    [
        *(":x", ".:x", "a..b:x", "a b:x"),
        *("nowhere_at_all:build", "own_net:", "own_net:missing", "own_net.inner:build"),
        *("own_damaged:build", "own_space:build", "../own_net:build", "own\x00net:build"),
    ],
)
def test_what_is_no_function_with_a_file_is_refused_before_the_run(
    name: str, module: Module, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    module("own_net.py")
    module("own_space/net.py")
    module("own_damaged.py").write_text("def build(:")
    with pytest.raises(InvalidSettings, match=r"a function that can be imported, got .*PYTHONPATH"):
        check_function(name)
    if name.isprintable():
        assert main_code(["plan", "learners", "--set", f'learners.plain=["{name}"]']) == 2
        assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["os:abort", "os.path:join", "sys:exit", "builtins:print"])
def test_python_s_own_modules_are_refused_as_such(name: str) -> None:
    with pytest.raises(InvalidSettings, match="got one of Python's standard library"):
        check_function(name)
    assert main_code(["plan", "learners", "--set", f'learners.plain=["{name}"]']) == 2


def test_a_module_s_file_is_that_which_python_imports() -> None:
    assert module_file("tests.support.tiny_training") == Path(
        str(sys.modules["tests"].__path__[0]), "support", "tiny_training.py"
    )
    assert module_file("os") is None


def test_functions_that_a_module_has_from_elsewhere_are_its_own(module: Module) -> None:
    path = module("own_other.py")
    for code in ("from own_net import build\n", "build = print\n", "from own_net import *\n"):
        path.write_text(code)
        assert check_function("own_other:build") == path
