"""Checkpoints of a training: a generation of files after each epoch, complete or absent.

A generation is a small manifest with the names of its files: arrays of the weights, the optimizer
and the best weights. Files are flushed and renamed first, the manifest last, so that a kill at any
moment leaves the previous generation. The two newest generations are kept and share no file, so
that damage costs at most one of them. A kernel lock excludes a second training.
"""

import fcntl
import json
import logging
import os
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flowers17.digests import canonical_json, read_sha256, sha256_of
from flowers17.errors import CheckpointDamaged, CheckpointsInUse, InvalidInput
from flowers17.files import open_regular, read_regular, replacing
from flowers17.manifests import LARGEST, bounded

N_KEPT = 2
FORMAT = 1
LOCK = "lock"
_MANIFEST = re.compile(r"generation-(\d{6})\.json")
_ARRAYS = re.compile(r"[a-z]+-\d{6}\.npz")
# What reading a file raises that somebody twisted, whose digest may fit nevertheless.
_DAMAGE = (
    *(AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError),
    *(OverflowError, RecursionError, RuntimeError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)
Shapes = Mapping[str, Sequence[tuple[int, ...]]]
_FILE_NAMES = re.compile(rf"({LOCK}|generation-\d{{6}}\.json|[a-z]+-\d{{6}}\.npz)(\.partial)?")
Files = dict[str, dict[str, str]]
logger = logging.getLogger(__name__)


def shapes_of(weights: Sequence[Any], state: Sequence[Any]) -> Shapes:
    """Shapes of a training's arrays by role: weights, best weights, further state."""
    groups = {"weights": weights, "state": state, "best": weights}
    return {role: [tuple(array.shape) for array in group] for role, group in groups.items()}


@dataclass(frozen=True)
class Generation:
    """The state after an epoch: arrays by role, and values (plain JSON)."""

    epoch: int
    arrays: Mapping[str, Sequence[np.ndarray]]
    values: Mapping[str, Any]

    def check(self, shapes: Shapes) -> None:
        """Raise ValueError unless arrays have the given shapes by role and the history fits."""
        own = {role: [array.shape for array in group] for role, group in self.arrays.items()}
        if own != {role: list(group) for role, group in shapes.items()}:
            raise ValueError("its arrays have other shapes")
        if any(array.dtype.kind not in "biuf" for group in self.arrays.values() for array in group):
            raise ValueError("its arrays hold no numbers")
        history = self.values["history"]
        numbers = [float(value) for epoch in history for value in epoch.values()]
        epochs = [epoch["epoch"] for epoch in history]
        if epochs != list(range(1, self.epoch + 1)) or not np.isfinite(numbers).all():
            raise ValueError("its history is not one entry an epoch")
        if self.values["best_epoch"] not in epochs:
            raise ValueError("its best epoch is none of its epochs")


class Checkpoints:
    """Checkpoints of one training in a folder; a context manager that holds the lock."""

    def __init__(self, folder: Path, configuration: str) -> None:
        """Set the folder, and the digest of everything that determines the training's numbers."""
        self.folder, self.configuration = folder, configuration
        self._kept_files: list[tuple[int, Files]] = []  # the kept generations' files, oldest first

    def __enter__(self) -> "Checkpoints":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as problem:
            raise InvalidInput(
                f"{self.folder}: expected a folder for checkpoints, found a file; choose another"
            ) from problem
        entries = self.folder.iterdir()
        foreign = [
            path.name
            for path in entries
            if not _FILE_NAMES.fullmatch(path.name) or path.is_symlink() or not path.is_file()
        ]
        if foreign:
            raise InvalidInput(
                f"{self.folder}: expected an empty folder or checkpoints of a training, found "
                f"{sorted(foreign)[0]!r}; choose another folder"
            )
        self._lock = os.fdopen(open_regular(self.folder / LOCK, os.O_WRONLY | os.O_CREAT), "wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise CheckpointsInUse(
                f"{self.folder}: expected to be the only training here, another process is at it; "
                "wait for it, or choose another folder"
            ) from None
        return self

    def __exit__(self, *problem: object) -> None:
        self._lock.close()

    def latest(self, shapes: Shapes | None = None) -> Generation | None:
        """Newest valid generation, or None.

        shapes: of the training's arrays by role, checked beside the digests. A damaged generation
        is skipped with a warning. Raises InvalidInput if the checkpoints belong to a training with
        another configuration.
        """
        names = (_MANIFEST.fullmatch(path.name) for path in self.folder.iterdir())
        for epoch in sorted((int(name[1]) for name in names if name), reverse=True):
            try:
                return self._read(epoch, shapes)
            except CheckpointDamaged as damage:
                logger.warning("%s; the checkpoint before it is used", damage)
        return None

    def save(
        self,
        epoch: int,
        arrays: Mapping[str, Sequence[np.ndarray]],
        values: Mapping[str, Any],
        *,
        since: Mapping[str, int] | None = None,
    ) -> None:
        """Save the state after an epoch as the newest generation.

        arrays: by role; an object under two roles is written once. since: the last epoch that
        changed a role; its file in the oldest generation, which is removed now, is then reused.
        """
        files: Files = {}
        before, older = self._kept_files[0] if len(self._kept_files) == N_KEPT else (0, {})
        for role, group in arrays.items():
            twin = next((other_role for other_role in files if arrays[other_role] is group), None)
            if twin:
                files[role] = files[twin]
            elif role in older and (since or {}).get(role, epoch) <= before:
                files[role] = older[role]
            else:
                files[role] = self._write_arrays(role, epoch, group)
        manifest = {
            "format": FORMAT,
            "configuration": self.configuration,
            "epoch": epoch,
            "files": files,
            "values": dict(values),
        }
        text = canonical_json({**manifest, "seal": sha256_of(manifest)})
        with replacing(self.folder / _manifest_name(epoch)) as stream:
            stream.write(text.encode())
        self._kept_files = [*self._kept_files, (epoch, files)][-N_KEPT:]
        self._prune()

    def _write_arrays(self, role: str, epoch: int, group: Sequence[np.ndarray]) -> dict[str, str]:
        name = f"{role}-{epoch:06d}.npz"
        with replacing(self.folder / name) as stream:
            named: dict[str, Any] = {f"{index:05d}": array for index, array in enumerate(group)}
            np.savez(stream, allow_pickle=False, **named)
        return {"name": name, "sha256": read_sha256(self.folder / name)}

    def _read(self, epoch: int, shapes: Shapes | None) -> Generation:
        path = self.folder / _manifest_name(epoch)
        try:
            manifest = bounded(json.loads(read_regular(path, at_most=LARGEST)))
            seal = manifest.pop("seal")
            expected = {"format": FORMAT, "epoch": epoch}
            if seal != sha256_of(manifest) or not expected.items() <= manifest.items():
                raise ValueError("not as it was written")
            configuration, files = str(manifest["configuration"]), dict(manifest["files"])
        except _DAMAGE as cause:
            raise CheckpointDamaged(f"{path}: unreadable checkpoint ({cause})") from cause
        if configuration != self.configuration:
            raise InvalidInput(
                f"{self.folder}: expected checkpoints of this training, found those of another "
                f"configuration ({configuration[:12]!r}… instead of "
                f"{self.configuration[:12]}…); choose another folder, or delete this one"
            )
        try:
            arrays = {role: self._read_arrays(entry) for role, entry in files.items()}
            generation = Generation(epoch, arrays, dict(manifest["values"]))
            if shapes is not None:
                generation.check(shapes)
        except _DAMAGE as cause:
            raise CheckpointDamaged(f"{path}: damaged checkpoint ({cause})") from cause
        self._kept_files = [(epoch, files)]
        return generation

    def _read_arrays(self, entry: Mapping[str, Any]) -> list[np.ndarray]:
        if not _ARRAYS.fullmatch(entry["name"]):
            raise ValueError(f"expected a file of arrays, got {entry['name']!r}")
        path = self.folder / entry["name"]
        try:
            if read_sha256(path) != entry["sha256"]:
                raise ValueError("its bytes are not those written")
            with zipfile.ZipFile(path) as members:  # a packed one may be larger than the memory
                if any(member.compress_type != zipfile.ZIP_STORED for member in members.infolist()):
                    raise ValueError("expected arrays as they were written")
            with np.load(path, allow_pickle=False) as archive:
                return [np.asarray(archive[name]) for name in sorted(archive.files)]
        except _DAMAGE as cause:
            raise CheckpointDamaged(f"{path}: damaged checkpoint ({cause})") from cause

    def _prune(self) -> None:
        kept_names = {LOCK, *(_manifest_name(epoch) for epoch, _ in self._kept_files)}
        kept_names |= {entry["name"] for _, files in self._kept_files for entry in files.values()}
        # Manifests first, since a manifest without its files would count as damaged.
        paths = sorted(self.folder.iterdir(), key=lambda path: path.suffix != ".json")
        for path in paths:
            if path.name not in kept_names:
                path.unlink(missing_ok=True)


def _manifest_name(epoch: int) -> str:
    return f"generation-{epoch:06d}.json"
