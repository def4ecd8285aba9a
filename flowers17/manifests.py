"""Manifests: fields and types, digests by which a reader believes them, and lineage.

Others may have written to the store: every field that commands read is checked.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from flowers17.digests import canonical_json, sha256_of
from flowers17.errors import ArtifactDamaged, Flowers17Error, expectation
from flowers17.files import read_regular

Manifest = Mapping[str, Any]
ArtifactId = tuple[str, str]  # stage and key
LARGEST = 32 * 2**20  # bytes of a manifest; a study of thousands of stages has a few
DEEPEST = 32  # lists and mappings inside one another
STAGE, KEY = r"[A-Za-z][\w-]{0,99}", r"[0-9a-f]{64}"


def is_safe(name: str) -> bool:
    """Whether a relative path stays below the folder that it is joined to.

    >>> [is_safe(name) for name in ("a/b.npz", "../b", "/b", "", "a/./b")]
    [True, False, False, False, False]
    """
    path = PurePosixPath(name)
    plain = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
    return plain and str(path) == name and len(name) <= 1000 and name.isprintable()


def _safe(name: str) -> str:
    if not is_safe(name):
        raise ValueError("expected the name of a file below the artifact's folder")
    return name


def _time(text: str) -> str:
    datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    return text


def bounded(value: Any, deepest: int = DEEPEST) -> Any:
    """A JSON value, unchanged; raises ValueError if it is nested deeper, or a number too large."""
    if isinstance(value, dict | list):
        if not deepest:
            raise ValueError(f"expected at most {DEEPEST} levels")
        for item in value.values() if isinstance(value, dict) else value:
            bounded(item, deepest - 1)
    elif isinstance(value, int) and abs(value) >= 2**64:
        raise ValueError("expected numbers below 2**64")
    return value


Stage = Annotated[str, Field(pattern=f"^{STAGE}$")]
Digest = Annotated[str, Field(pattern=f"^{KEY}$")]
Text = Annotated[str, Field(max_length=2000)]
Size = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Number = Annotated[int, Field(ge=-(2**63), lt=2**64)]
# What using a value of another kind than expected raises.
_MALFORMED = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError, StopIteration, TypeError),
    ValueError,
)
_STRICT = ConfigDict(strict=True, extra="allow")


class _File(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    sha256: Digest
    size: Size


class _Reference(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    stage: Stage
    key: Digest
    digest: Digest


class _Material(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    config: dict[str, Any]
    seed: Number | None
    inputs: dict[str, Digest | None]
    code: dict[str, Text]
    libraries: dict[str, Text]


class _Manifest(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    stage: Stage
    label: Text
    key: Digest
    digest: Digest
    material: _Material
    inputs: dict[str, _Reference | None]
    files: dict[Annotated[str, AfterValidator(_safe)], _File]
    metrics: dict[str, Number | float | Text | bool | None]
    machine: dict[str, Number | float | Text | bool | None]
    duration_s: Seconds
    created: Annotated[str, AfterValidator(_time)]


_TYPES = TypeAdapter(_Manifest)


def check(manifest: Any) -> None:
    """Raise ValueError, which says what is wrong, unless a JSON value is a manifest.

    Its digests are not looked at.
    """
    bounded(manifest)
    try:
        _TYPES.validate_python(manifest)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        field = ascii(".".join(map(str, first["loc"])))[:200]
        raise ValueError(f"{field}: {expectation(first)[:300]}") from None


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest as plain JSON, with `seal`, the digest of everything else in it."""
    plain = json.loads(canonical_json({**manifest, "seal": None}))
    return {**plain, "seal": sha256_of(plain)}


def read_manifest(path: Path, *, below: Path | None = None) -> dict[str, Any]:
    """The manifest in a file, as it was published.

    below: as in `open_regular`. Raises ArtifactDamaged if a type or a digest does not fit, or if
    the key is not the digest of the material: whoever wrote it, a key names its material.
    """
    try:
        manifest = json.loads(read_regular(path, below=below, at_most=LARGEST).decode())
        check(manifest)
        if manifest != sealed(manifest):
            raise ValueError("not as it was published")
        if manifest["key"] != sha256_of(manifest["material"]):
            raise ValueError("its key is not the digest of its material")
    except (OSError, ValueError, TypeError, RecursionError) as problem:
        raise ArtifactDamaged(f"{path.parent}: unreadable manifest ({problem})") from problem
    return manifest


@contextmanager
def read_as_written(name: str) -> Iterator[None]:
    """Raise ArtifactDamaged where a value in an artifact's files is not as this version writes it.

    name: of the artifact. Its digests may fit nevertheless: another program may have made them.
    """
    try:
        yield
    except Flowers17Error:
        raise
    except _MALFORMED as problem:
        reason = problem if isinstance(problem, ValueError) else repr(problem)
        raise ArtifactDamaged(
            f"{name}: expected what this version of flowers17 writes, could not read {reason}; run "
            "the study again"
        ) from problem


def artifact_id(manifest: Manifest) -> ArtifactId:
    """Stage and key of a manifest, or of a reference to an artifact."""
    return manifest["stage"], manifest["key"]


def by_id(manifests: Iterable[Manifest]) -> dict[ArtifactId, Manifest]:
    """Manifests by stage and key."""
    return {artifact_id(manifest): manifest for manifest in manifests}


def family(manifest: Manifest, known: Mapping[ArtifactId, Manifest]) -> Iterator[Manifest]:
    """Yield a manifest and those of all that it was made from, each once, the nearest first.

    known: of the store, as `by_id` returns them; what is not among them is left out.
    """
    waiting, reached = [manifest], {artifact_id(manifest)}
    while waiting:
        relative = waiting.pop(0)
        yield relative
        for reference in filter(None, relative["inputs"].values()):  # None: it did without
            identity = artifact_id(reference)
            if identity in known and identity not in reached:
                reached.add(identity)
                waiting.append(known[identity])
