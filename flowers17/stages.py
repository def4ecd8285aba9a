"""Stages: what makes an artifact, the key it lies under, and building it once.

A stage's key is the SHA-256 of its material: name, version, configuration, seed, the digests of its
inputs, the code that computes it and the versions of the libraries that matter. Never in it: paths,
labels, worker counts.
"""

import importlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from flowers17.artifacts import Artifact, Reference, Store
from flowers17.digests import canonical_json, sha256_of
from flowers17.environment import code_digests, library_versions, machine
from flowers17.errors import InvalidInput, StageFailed
from flowers17.seeds import derived_seed

RUN_VARIABLE = "FLOWERS17_RUN"
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
            raise InvalidInput(
                f"expected one stage {stage.title!r}, got two that differ; if two files or presets "
                "have one name, rename one"
            )

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

    def save_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Store arrays by name, each as `<name>.npy`."""
        for name, array in arrays.items():
            self.save_array(name, array)

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
    module, _, name = stage.build.partition(":")
    build = getattr(importlib.import_module(module), name, None)
    if build is None:
        raise StageFailed(f"expected a function {name!r} in {module}, found none")
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
