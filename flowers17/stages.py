"""Stages: what makes an artifact, the key it lies under, and building it once.

A stage's key is the SHA-256 of its material: name, version, configuration, seed, the digests of its
inputs, the code that computes it and the versions of the libraries that matter. Never in it: paths,
labels, worker counts.
"""

import ast
import hashlib
import importlib
import importlib.util
import json
import math
import os
import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from flowers17.artifacts import Artifact, Reference, Store
from flowers17.digests import canonical_json, file_sha256, sha256_of
from flowers17.errors import InvalidInput, StageFailed
from flowers17.keras_settings import check_keras_settings, keras_backend
from flowers17.seeds import derived_seed

RUN_VARIABLE = "FLOWERS17_RUN"
# How a stage is described, stored and run does not change what it computes.
INFRASTRUCTURE = frozenset(
    {
        *("flowers17.ancestry", "flowers17.artifacts", "flowers17.cli", "flowers17.config"),
        *("flowers17.digests", "flowers17.errors", "flowers17.estimates", "flowers17.files"),
        *("flowers17.fingerprints", "flowers17.fork_server", "flowers17.isolation"),
        *("flowers17.keras_settings", "flowers17.manifests", "flowers17.materials"),
        *("flowers17.packages", "flowers17.plain_values", "flowers17.plan"),
        *("flowers17.precedents", "flowers17.profiles", "flowers17.request", "flowers17.shared"),
        *("flowers17.stages", "flowers17.store_folder", "flowers17.terminal", "tasks.engine"),
    }
)
LIBRARIES = ("imagehash", "keras", "numpy", "pillow", "scikit-learn", "scipy")


History = list[dict[str, float]]


class Progress(Protocol):
    """Takes the progress of a stage: units done, units in all, name of a unit.

    history: of a training, at times: an entry for each epoch so far.
    """

    def __call__(
        self, n_done: int, total: int, unit: str, history: History | None = None
    ) -> None: ...


def _silent(n_done: int, total: int, unit: str, history: History | None = None) -> None:
    pass


@dataclass(frozen=True)
class Stage:
    """Node of a study's graph: the function, settings and inputs that an artifact is computed from.

    name: the stage, a folder of the store; label: this instance, for people, unique in a study.
    build: `module:function`, called with a Job, returns the artifact's metrics.
    config: canonical JSON text of what decides the result. resources: paths the build needs, whose
    content is identified in `config`. optional: whether the study goes on without it if weights
    that it needs are not available; tolerant: whether it is built from whichever inputs there
    are; unless_failed: whether a tolerant one does without optional inputs only.
    variant: tells it from others of its label, if a graph holds more than one study.
    isolated: whether it is built in a process of its own (TensorFlow, or memory to give back),
    at most `timeout_s` seconds long. tags: those whose concurrency limits
    hold while it is built.
    """

    name: str
    label: str
    build: str
    config: str = "{}"
    seed: int | None = None
    inputs: Mapping[str, "Stage"] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False
    tolerant: bool = False
    unless_failed: bool = False
    variant: str = ""
    isolated: bool = False
    timeout_s: float = 24 * 3600
    tags: tuple[str, ...] = ()
    version: int = 1

    @classmethod
    def of(cls, name: str, label: str, build: str = "", config: Any = None, **rest: Any) -> "Stage":
        """Stage whose configuration is given as a JSON value.

        By default it is built by the module of its name in `tasks`, and optional if it is not
        tolerant and one of its inputs is.
        """
        required = () if rest.get("tolerant") else rest.get("inputs", {}).values()
        optional = {"optional": any(stage.optional for stage in required)}
        build = build or f"tasks.{name}:build"
        return cls(name, label, build, canonical_json(config or {}), **{**optional, **rest})

    @property
    def title(self) -> str:
        """Display name, unique in a graph."""
        return f"{self.label} [{self.variant}]" if self.variant else self.label

    def code(self) -> dict[str, str]:
        """Digests of the project's modules that compute the artifact, by name."""
        return code_digests(self.build.partition(":")[0])


def in_order(stages: Iterable[Stage]) -> list[Stage]:
    """Stages and all that they need, inputs before what reads them, each once.

    Raises InvalidInput if two different stages have one title.
    """
    ordered: dict[str, Stage] = {}

    def add(stage: Stage) -> None:
        if stage.title not in ordered:
            for needed in stage.inputs.values():
                add(needed)
            ordered[stage.title] = stage
        elif ordered[stage.title] != stage:
            raise InvalidInput(f"expected one stage {stage.title!r}, got two that differ")

    for stage in stages:
        add(stage)
    return list(ordered.values())


@dataclass(frozen=True)
class Job:
    """Argument of a build function: configuration, inputs, and where its files go.

    store: holds all that the inputs were made from. folder: where the artifact's files go.
    unfinished: folder for checkpoints of long work (the work creates it);
    it survives a kill and goes when the artifact is there.
    """

    config: Mapping[str, Any]
    seed: int
    artifacts: Mapping[str, Artifact | None]
    resources: Mapping[str, Path]
    store: Store
    folder: Path
    unfinished: Path
    progress: Progress = _silent

    @property
    def inputs(self) -> dict[str, Artifact]:
        """The inputs that are there, by name."""
        return {name: artifact for name, artifact in self.artifacts.items() if artifact}

    @property
    def missing(self) -> list[str]:
        """The labels of the inputs that a tolerant stage does without."""
        return [name for name, artifact in self.artifacts.items() if artifact is None]

    def save_array(self, name: str, array: np.ndarray) -> None:
        """Store an array as `<name>.npy`."""
        with (self.folder / f"{name}.npy").open("wb") as stream:
            # Given a real file, NumPy would tell of a full disk without saying that it is full.
            plain: Any = SimpleNamespace(write=stream.write)
            np.save(plain, array, allow_pickle=False)

    def new_array(self, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
        """Array on the disk, to be filled, which is stored as `<name>.npy`.

        Its bytes need not fit into memory. Its place is taken at once: where a mapped file outgrows
        the disk, the kernel kills the process instead of telling what is wrong.
        """
        path = self.folder / f"{name}.npy"
        kind = np.dtype(dtype)
        with path.open("wb") as stream:
            header = {"descr": kind.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            start, n_bytes = stream.tell(), kind.itemsize * math.prod(shape)
            stream.flush()
            os.posix_fallocate(stream.fileno(), 0, start + n_bytes)
        return np.memmap(path, kind, "r+", start, shape)

    def save_json(self, name: str, value: Any) -> None:
        """Store a value as `<name>.json`, canonically."""
        (self.folder / f"{name}.json").write_text(canonical_json(value) + "\n")


@dataclass(frozen=True)
class Outcome:
    """Artifact of a stage, and whether it was in the store before."""

    reference: Reference
    reused: bool


References = Mapping[str, Reference | None]


def key_material(stage: Stage, inputs: References) -> dict[str, Any]:
    """Content whose digest is a stage's key; an absent optional input counts as None."""
    return {
        "stage": stage.name,
        "version": stage.version,
        "config": json.loads(stage.config),
        "seed": stage.seed,
        "inputs": {
            name: reference.digest if (reference := inputs[name]) else None for name in stage.inputs
        },
        "code": stage.code(),
        "libraries": library_versions(),
    }


def stage_key(stage: Stage, inputs: References) -> str:
    """Key of a stage's artifact: 64 hexadecimal digits."""
    return sha256_of(key_material(stage, inputs))


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
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"expected a module of flowers17, got {module!r}")
    source = Path(spec.origin)
    with _PARSING:
        tree = ast.parse(source.read_text())
    imported = tuple(_own_imports(tree))
    code = ast.dump(_without_docstrings(tree))
    own = {module: hashlib.sha256(code.encode()).hexdigest()}
    return own | _data_digests(source.parent), imported


@cache
def _data_digests(package: Path) -> dict[str, str]:
    folders = [path for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"]
    data_folders = [folder for folder in folders if not (folder / "__init__.py").exists()]
    paths = [path for folder in data_folders for path in folder.rglob("*") if path.is_file()]
    return {f"{package.name}/{path.relative_to(package)}": file_sha256(path) for path in paths}


def _is_module(name: str) -> bool:
    # Asked of a name inside a module that is no package, find_spec would import the module.
    package = importlib.util.find_spec(name.rpartition(".")[0])
    holds_modules = package is not None and package.submodule_search_locations is not None
    return holds_modules and importlib.util.find_spec(name) is not None


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements inside; `ast.walk` would look into ten times as many nodes."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(node, part, ()):
            yield statement
            yield from _statements(statement)


def _own_imports(tree: ast.AST) -> Iterable[str]:
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [node.module]
            if node.module.partition(".")[0] in ("flowers17", "tasks"):
                names += [name for name in inner if _is_module(name)]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] in ("flowers17", "tasks"))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in (tree, *_statements(tree)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            has_docstring = ast.get_docstring(node, clean=False) is not None
            node.body = node.body[has_docstring:]
    return tree


def ensure(
    stage: Stage, inputs: References, store: Store, *, progress: Progress = _silent
) -> Outcome:
    """Artifact of a stage, built if it is not in the store and whole.

    Processes that want the same artifact wait for the first of them and reuse what it built.
    Raises what the build raises; StoreUnusable if the store cannot be written.
    """
    if outcome := existing(stage, inputs, store):
        return outcome
    key = stage_key(stage, inputs)
    with store.claim(stage.name, key):
        if outcome := existing(stage, inputs, store, locked=True):
            return outcome
        return Outcome(_built(stage, key, inputs, store, progress).reference, reused=False)


def existing(
    stage: Stage, inputs: References, store: Store, *, locked: bool = False
) -> Outcome | None:
    """Artifact of a stage if it is in the store and whole; locked as in `Store.find`.

    Checkpoints that a process left, killed right after it had published, are removed.
    """
    key = stage_key(stage, inputs)
    artifact = store.find(stage.name, key, locked=locked)
    if artifact is None:
        return None
    shutil.rmtree(store.unfinished(stage.name, key), ignore_errors=True)
    return Outcome(artifact.reference, reused=True)


def _built(
    stage: Stage, key: str, inputs: References, store: Store, progress: Progress
) -> Artifact:
    material = key_material(stage, inputs)
    build = build_function(stage.build)
    started = time.monotonic()
    with store.writing(stage.name, key) as folder:
        job = Job(
            config=material["config"],
            seed=derived_seed(stage.seed or 0, stage.name),
            artifacts={name: store.open(ref) if ref else None for name, ref in inputs.items()},
            resources={name: Path(path) for name, path in stage.resources.items()},
            store=store,
            folder=folder,
            unfinished=store.unfinished(stage.name, key),
            progress=progress,
        )
        metrics = build(job)
        artifact = store.publish(
            folder,
            {
                "stage": stage.name,
                "label": stage.label,
                "key": key,
                "material": material,
                "inputs": {name: ref.to_json() if ref else None for name, ref in inputs.items()},
                "metrics": metrics,
                "duration_s": round(time.monotonic() - started, 3),
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "machine": machine(),
                "run": os.environ.get(RUN_VARIABLE),
            },
        )
    shutil.rmtree(store.unfinished(stage.name, key), ignore_errors=True)
    return artifact


@contextmanager
def within_run(run: str) -> Iterator[None]:
    """Let the manifests of what is built inside name a run; inside of another run, that one."""
    if RUN_VARIABLE in os.environ:
        yield
        return
    os.environ[RUN_VARIABLE] = run  # the processes of stages have it too
    try:
        yield
    finally:
        del os.environ[RUN_VARIABLE]


def build_function(path: str) -> Callable[[Job], Mapping[str, Any]]:
    """Function that `module:function` names."""
    module, _, name = path.partition(":")
    function = getattr(importlib.import_module(module), name, None)
    if function is None:
        raise StageFailed(f"expected a function {name!r} in {module}, found none")
    return function


@cache
def machine() -> dict[str, Any]:
    """Facts of this machine that durations depend on; without its host name."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
