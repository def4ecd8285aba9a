"""Objects of a shared store: their names, and the storage below an address that fsspec knows.

Manifests are `<stage>/<key>/manifest.json`, files of artifacts `<stage>/<key>/<digest>/<name>`,
checkpoints `.unfinished/<stage>-<key>/<name>`, leases `.locks/<stage>-<key>/<generation>`.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from flowers17.artifacts import MANIFEST
from flowers17.errors import ArtifactDamaged, StoreUnusable
from flowers17.manifests import KEY, STAGE

# Protocols whose storage decides who creates an object; other drivers look first, then write.
EXCLUSIVE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
CONFLICTS = 5  # tries, where two create the same object at the same moment
ABANDONED_S = 3600.0  # a lease that was not renewed for so long by the storage's clock
DIGITS = 16  # of a content's digest, in the name of its folder
_MANIFEST_OBJECT = re.compile(rf"({STAGE})/({KEY})/{re.escape(MANIFEST)}")
_FILE_OBJECT = re.compile(rf"(([^./][^/]*)/([^/]+)/[0-9a-f]{{{DIGITS}}})/.+")
_UNFINISHED_OBJECT = re.compile(r"(\.unfinished/([^/]+))/.+")


@dataclass(frozen=True)
class ObjectInfo:
    """An object in a listing.

    size: in bytes. version: text that changes with the content. changed: in seconds since 1970.
    """

    size: int
    version: str
    changed: float


class Remote:
    """The objects below an address; names are relative to it. It connects at the first call.

    Every method raises StoreUnusable if the storage refuses or does not answer.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.protocol = address.partition("://")[0]

    def read(self, name: str) -> bytes | None:
        """The bytes of an object, None if there is no such object."""
        with self._reporting():
            try:
                return bytes(self._system.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def read_all(self, names: Sequence[str]) -> dict[str, bytes]:
        """The bytes of those objects that exist, several fetched at a time."""
        if not names:
            return {}
        paths = {self._path(name): name for name in names}
        with self._reporting():
            answers = self._system.cat(list(paths), on_error="return")
            for data in answers.values():
                if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
                    raise data
        return {paths[path]: data for path, data in answers.items() if isinstance(data, bytes)}

    def write(self, name: str, data: bytes) -> None:
        """Write an object; one of the same name is replaced."""
        with self._reporting():
            self._system.pipe_file(self._path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Create an object; whether its content is `data` now. An existing object stays."""
        with self._reporting():
            for attempt in range(CONFLICTS):
                try:
                    self._system.pipe_file(self._path(name), data, mode="create")
                    return True
                except FileExistsError:
                    break
                except OSError as problem:
                    if "Conflict" not in f"{problem}{problem.__cause__}":
                        raise
                    time.sleep(0.1 * 2**attempt)
        # A driver that repeats a request whose answer was lost is refused its own object.
        return self.read(name) == data

    def listing(self, below: str = "") -> dict[str, ObjectInfo]:
        """Every object below a name, in the order of names."""
        with self._reporting():
            infos = self._system.find(self._path(below), detail=True)
        start = len(self._root) + 1
        return {path[start:]: _object_info(path, info) for path, info in sorted(infos.items())}

    def upload(self, files: Mapping[str, Path]) -> None:
        """Write objects from files."""
        with self._reporting():
            self._system.put([str(path) for path in files.values()], self._paths(files))

    def download(self, files: Mapping[str, Path]) -> None:
        """Write objects to files; raises ArtifactDamaged if one of them is missing."""
        with self._reporting():
            try:
                self._system.get(self._paths(files), [str(path) for path in files.values()])
            except FileNotFoundError as problem:
                raise ArtifactDamaged(
                    f"{self.address}: expected {', '.join(files)}, found not all of them"
                ) from problem

    def remove(self, names: Sequence[str]) -> None:
        """Delete those objects that exist."""
        if names:
            with self._reporting(), suppress(FileNotFoundError):
                self._system.rm(self._paths(names))

    def check(self, name: str) -> None:
        """Raise StoreUnusable unless objects can be written, and created once only.

        name: of an object that nobody else uses; it is removed again.
        """
        if self.create(name, b"first"):
            is_refused = not self.create(name, b"second")
            self.remove([name])
            if is_refused:
                return
        raise StoreUnusable(
            f"store {self.address}: expected a storage that creates an object only if there is "
            "none (for S3: that heeds If-None-Match), this one does not; use another, or a folder"
        )

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system of fsspec, and the path that the names are below."""
        if self.protocol not in EXCLUSIVE:
            raise StoreUnusable(
                f"store {self.address}: expected one of {', '.join(sorted(EXCLUSIVE))}, which "
                f"create an object only if there is none, got {self.protocol!r}; mount the "
                "storage and give the folder"
            )
        with self._reporting():
            import fsspec

            # Other machines write there, too: a cached listing would be out of date.
            system, root = fsspec.url_to_fs(self.address, use_listings_cache=False)
        return system, root.rstrip("/")

    @property
    def _system(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _paths(self, names: Sequence[str] | Mapping[str, Path]) -> list[str]:
        return [self._path(name) for name in names]

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except (StoreUnusable, ArtifactDamaged):
            raise
        except Exception as problem:  # each driver has its own
            raise StoreUnusable(
                f"store {self.address}: {self._explanation(problem)} (nothing finished is lost)"
            ) from problem

    def _explanation(self, problem: Exception) -> str:
        kinds = {kind.__name__ for kind in type(problem).__mro__}
        cause = f"{type(problem).__name__}: {problem}"
        if isinstance(problem, ImportError):
            package = PACKAGES.get(self.protocol, "adlfs")
            return f"expected the package {package}, it is not installed; pip install {package}"
        if kinds & {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}:
            return (
                f"expected credentials where {PACKAGES.get(self.protocol, 'adlfs')} looks for them "
                f"(for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws), found none "
                f"({cause}); set them and run the same command again"
            )
        if isinstance(problem, PermissionError):
            return (
                f"access is refused ({cause}); check the credentials, and that they may list, "
                "read, write and delete there"
            )
        if isinstance(problem, FileNotFoundError):
            return f"expected a bucket, found none ({cause}); create it, or correct --store"
        return f"the storage does not answer as it should ({cause}); run the same command again"


def manifest_name(stage: str, key: str) -> str:
    """The manifest of an artifact."""
    return f"{stage}/{key}/{MANIFEST}"


def artifact_of(name: str) -> tuple[str, str] | None:
    """Stage and key of a manifest's name; None for another object."""
    match = _MANIFEST_OBJECT.fullmatch(name)
    return (match[1], match[2]) if match else None


def files_place(manifest: Mapping[str, Any]) -> str:
    """The name below which the files of a manifest are."""
    return f"{manifest['stage']}/{manifest['key']}/{manifest['digest'][:DIGITS]}"


def abandoned_groups(objects: Mapping[str, ObjectInfo]) -> dict[str, list[ObjectInfo]]:
    """Files and checkpoints, by the name below which they are, that no process works on.

    It works on those whose newest lease was made, renewed or released less than ABANDONED_S ago.
    """
    newest = {
        name.split("/")[1]: info.changed
        for name, info in objects.items()
        if name.startswith(".locks/")
    }
    busy = {name for name, changed in newest.items() if changed > time.time() - ABANDONED_S}
    groups: dict[str, list[ObjectInfo]] = {}
    for name, info in objects.items():
        file, checkpoint = _FILE_OBJECT.fullmatch(name), _UNFINISHED_OBJECT.fullmatch(name)
        if file and f"{file[2]}-{file[3]}" not in busy:
            groups.setdefault(file[1], []).append(info)
        elif checkpoint and checkpoint[2] not in busy:
            groups.setdefault(checkpoint[1], []).append(info)
    return groups


def _object_info(path: str, info: Mapping[str, Any]) -> ObjectInfo:
    names = ("LastModified", "last_modified", "updated", "mtime", "created")
    changed = next((info[name] for name in names if info.get(name)), 0.0)
    if isinstance(changed, str):
        changed = datetime.fromisoformat(changed)
    if isinstance(changed, datetime):
        changed = (changed if changed.tzinfo else changed.replace(tzinfo=UTC)).timestamp()
    size = int(info.get("size") or 0)
    tag = info.get("ETag") or info.get("etag") or ""
    return ObjectInfo(size, f"{path} {size} {tag} {changed}", float(changed))
