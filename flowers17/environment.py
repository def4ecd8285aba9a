"""What artifacts depend on beside settings and inputs: our code, libraries, and Keras's settings.

Keras reads settings from its environment and `keras.json`; they are read here without importing it.
The backend may be chosen in either. The numbers of that file must be Keras's defaults: others
would give other results under the same key. Durations depend on the machine, too.
"""

import ast
import hashlib
import json
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import Any

from flowers17.digests import file_sha256
from flowers17.errors import InvalidSettings
from flowers17.files import yaml_beside

INFRASTRUCTURE: list[str] = yaml_beside(__file__, "infrastructure.yaml")
LIBRARIES = ("imagehash", "keras", "numpy", "pillow", "scikit-learn", "scipy")
KERAS_DEFAULTS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


def keras_backend() -> str:
    """Return the backend that Keras computes with: $KERAS_BACKEND, keras.json's, or TensorFlow."""
    return str(os.environ.get("KERAS_BACKEND") or _settings().get("backend", "tensorflow"))


def check_keras_settings() -> None:
    """Raise InvalidSettings if keras.json holds other numbers than Keras's defaults."""
    settings = _settings()
    for name, expected in KERAS_DEFAULTS.items():
        if settings.get(name, expected) != expected:
            raise InvalidSettings(
                f"{_settings_path()}: expected {name} {expected}, with which all "
                f"results here are computed, got {settings[name]}; change it, or set KERAS_HOME "
                "to a folder without that file"
            )


def _settings() -> dict[str, Any]:
    """Content of keras.json; empty if there is none, or Keras would not read it."""
    try:
        settings = json.loads(_settings_path().read_text())
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _settings_path() -> Path:
    """Path of the file, as Keras looks for it."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = os.path.expanduser("~")  # noqa: PTH111 (Path.home() fails where there is none)
        home = f"{user if os.access(user, os.W_OK) else '/tmp'}/.keras"
    return Path(home, "keras.json").expanduser()


@cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide numbers, the Keras backend among them.

    Raises InvalidSettings if Keras's own file of settings would change numbers.
    """
    check_keras_settings()
    backend = keras_backend()
    versions = {"keras-backend": backend}
    for name in (*LIBRARIES, backend):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return versions


@cache
def code_digests(module: str) -> dict[str, str]:
    """Digests of a module and of every module of the project that it imports, directly or not.

    Comments, layout and docstrings do not count, nor does INFRASTRUCTURE. Data files in a folder
    beside such a module (known digests, templates) do.
    """
    digests: dict[str, str] = {}
    read: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        is_ours = any(name == own or name.startswith(f"{own}.") for own in INFRASTRUCTURE)
        if name not in read and not is_ours:
            read.add(name)
            own_digests, imported = _read_code(name)
            digests |= own_digests
            waiting += imported
    return digests


# Up to Python 3.12 two threads that parse at once raise SystemError (CPython issue 106905).
_PARSING = threading.Lock()


@cache
def _read_code(module: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Digests of a module and of the data beside it, and the project's modules that it imports."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"expected a module of flowers17, got {module!r}")
    source = Path(spec.origin)
    digest, modules, members = _code_facts(source)
    imported = (*modules, *filter(_is_module, members))
    return {module: digest} | _data_digests(source.parent), imported


def _code_facts(source: Path) -> tuple[str, list[str], list[str]]:
    """Digest of a module's code, modules of ours that it imports, and what it imports from them.

    Parsing all of them would take a second of each run. So the facts lie beside the compiled
    module, with the digest of what they were found in; who can write there can change the code.
    """
    text = source.read_bytes()
    state = hashlib.sha256(sys.version.encode() + text).hexdigest()
    record = Path(cache_from_source(str(source))).with_suffix(".json")
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(record.read_bytes())
        if content["state"] == state:
            return content["digest"], content["modules"], content["members"]
    with _PARSING:
        tree = ast.parse(text)
    modules, members = _own_imports(tree)
    for node in (tree, *_statements(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            has_docstring = ast.get_docstring(node, clean=False) is not None
            node.body = node.body[has_docstring:]
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    with suppress(OSError):  # the package may be another user's
        record.parent.mkdir(exist_ok=True)
        partial = record.with_name(f"{record.name}.{os.getpid()}")
        facts = {"digest": digest, "modules": modules, "members": members}
        partial.write_text(json.dumps({"state": state, **facts}))
        partial.replace(record)
    return digest, modules, members


@cache
def _data_digests(package: Path) -> dict[str, str]:
    folders = [path for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"]
    data_folders = [folder for folder in folders if not (folder / "__init__.py").exists()]
    paths = [path for folder in data_folders for path in folder.rglob("*") if path.is_file()]
    return {f"{package.name}/{path.relative_to(package)}": file_sha256(path) for path in paths}


def _is_module(name: str) -> bool:
    # Asked of a name inside a module that is no package, find_spec would import the module.
    package = find_spec(name.rpartition(".")[0])
    holds_modules = package is not None and package.submodule_search_locations is not None
    return holds_modules and find_spec(name) is not None


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements inside; `ast.walk` would look into ten times as many nodes."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(node, part, ()):
            yield statement
            yield from _statements(statement)


def _own_imports(tree: ast.AST) -> tuple[list[str], list[str]]:
    """Modules of ours that are imported, and names imported from them, which may be modules."""
    modules, members = list[str](), list[str]()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.append(node.module)
            members += [f"{node.module}.{alias.name}" for alias in node.names]
    return list(filter(_is_ours, modules)), list(filter(_is_ours, members))


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in ("flowers17", "tasks")


@cache
def machine() -> dict[str, Any]:
    """Facts of this machine that durations depend on; without its host name."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": processor_facts().get("model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def processor_facts() -> dict[str, str]:
    """What the kernel tells of the first processor, by name; empty where it tells nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in reversed(lines))
    return {name.strip(): value.strip() for name, _, value in pairs}
