"""Every error that flowers17 raises on purpose.

A message holds the expectation, the input, the place, and what to do next.
"""

import itertools
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar

from flowers17.files import yaml_beside

MAX_CHARACTERS = 2_000
_MAX_REPR_CHARACTERS = 200
_LEFT_OUT = 50  # room for the words that stand for what was left out


def legible(text: str, limit: int = MAX_CHARACTERS) -> str:
    """Return a text fit for terminals, logs and JSON: escaped, and of at most so many characters.

    Characters that are not printable, line ends and tabs apart, become Python's escapes. Of a
    longer text the beginning and the end stay, with the number of characters left out between them.

    >>> legible("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    if len(text) <= limit:
        escaped = "".join(map(_escaped, text))
        if len(escaped) <= limit:
            return escaped
    half = (limit - _LEFT_OUT) // 2
    head, tail = _fitting_prefix(text, half), _fitting_prefix(reversed(text), half)
    n_left_out = len(text) - len(head) - len(tail)
    return f"{''.join(head)} … ({n_left_out} characters left out) … {''.join(reversed(tail))}"


def _escaped(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape").decode()


def _fitting_prefix(characters: Iterable[str], limit: int) -> list[str]:
    escaped = list(map(_escaped, itertools.islice(characters, limit)))
    ends = itertools.accumulate(map(len, escaped))
    return [text for text, end in zip(escaped, ends, strict=True) if end <= limit]


def short_repr(value: Any) -> str:
    """Representation of a value in a message: its `repr`, shortened."""
    try:
        return legible(repr(value), _MAX_REPR_CHARACTERS)
    except (ValueError, RecursionError):  # an integer of more digits than Python writes, deep lists
        return f"a value of type {type(value).__name__} that is too large to be shown"


def hint_for(name: str, names: Iterable[str], otherwise: str = "see `flowers17 settings`") -> str:
    """Suggestion for an unknown name: a similar known one, whatever its case, or where to look."""
    known = {other.casefold(): other for other in names}
    near = get_close_matches(name[:100].casefold(), known, n=1, cutoff=0.5)
    return f"did you mean {known[near[0]]}?" if near else otherwise


@cache
def _expectations() -> dict[str, str]:
    texts: dict[str, str] = yaml_beside(__file__, "expectations.yaml")
    return texts


def expectation(error: Mapping[str, Any]) -> str:
    """What a value should have been, in words, by one of the errors that pydantic tells.

    >>> expectation({"type": "greater_than_equal", "ctx": {"ge": 1}})
    'expected at least 1'
    """
    if text := _expectations().get(error["type"]):
        context = error.get("ctx", {}).items()
        numbers = {key: f"{value:g}" for key, value in context if isinstance(value, float)}
        return f"expected {text.format(**{**dict(context), **numbers})}"
    return str(error["msg"]).replace("Input should be ", "expected ", 1)


class Flowers17Error(Exception):
    """Base of all errors raised on purpose; its message can be shown as it is.

    max_characters: limit of a message, which `legible` shortens. details: what scripts may want to
    know of it, as JSON.
    """

    max_characters: ClassVar[int] = MAX_CHARACTERS
    details: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, message: object = "", *rest: object) -> None:
        super().__init__(legible(str(message), self.max_characters), *rest)


class InvalidInput(Flowers17Error, ValueError):
    """An argument, image, archive, folder or file has unexpected content."""


class UnusableImage(InvalidInput):
    """An image that cannot be used. kind: what is wrong and what to do, the same for others."""

    def __init__(self, name: str, kind: str, detail: str = "") -> None:
        super().__init__(f"{name}: {kind}{f' ({detail})' if detail else ''}")
        self.name, self.kind, self.detail = name, kind, detail


class UnusableImages(InvalidInput):
    """All images of a data set that cannot be used, grouped by what is wrong with them."""

    max_characters = 20_000
    max_names = 10  # of a kind

    @classmethod
    def among(
        cls, problems: Iterable[tuple[str, UnusableImage]], n_images: int
    ) -> "UnusableImages":
        """Error on images by their names and what is wrong. n_images: looked at, in all."""
        names: dict[str, list[str]] = {}
        for name, problem in problems:
            detail = f" ({problem.detail})" if problem.detail else ""
            names.setdefault(problem.kind, []).append(name + detail)
        lines = [f"{sum(map(len, names.values())):,} of {n_images:,} images cannot be used:"]
        unusable: list[dict[str, Any]] = []
        for kind, of_kind in names.items():
            first, count = of_kind[: cls.max_names], len(of_kind)
            unusable.append({"kind": kind, "count": count, "first": first})
            lines.append(f"  {count:,} image{'s' * (count > 1)}: {kind}")
            lines += [f"    {legible(name, _MAX_REPR_CHARACTERS)}" for name in first]
            lines += [f"    … and {count - len(first):,} more"] * (count > len(first))
        error = cls("\n".join(lines))
        error.details = {"n_images": n_images, "unusable": unusable}
        return error


class InvalidSettings(InvalidInput):
    """A setting is unknown, of the wrong type or out of its range."""


class ChecksumMismatch(InvalidInput):
    """A file's digest is not the expected one."""


class DownloadFailed(Flowers17Error):
    """A download did not complete; transient: whether a retry may help."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class WeightsMissing(Flowers17Error):
    """No weights for an extractor: neither in the weights folder nor downloadable."""


class ArtifactMissing(Flowers17Error):
    """The store holds no such artifact."""


class ArtifactDamaged(Flowers17Error):
    """A stored file is not the one its manifest describes."""


class StoreUnusable(Flowers17Error):
    """The store cannot be written: read-only, full, or not a store."""


class StageFailed(Flowers17Error):
    """A stage's process ended without a result, for instance killed by a signal."""


class CheckpointDamaged(Flowers17Error):
    """A training's checkpoint is not as it was written."""


class CheckpointsInUse(Flowers17Error):
    """Another process is training with the same checkpoints."""


class TrainingDiverged(Flowers17Error):
    """A training's loss is no longer a finite number."""


class PackageShadowed(Flowers17Error, ImportError):
    """Another package of the name of one of ours is imported in its place."""


class ServerLost(Flowers17Error):
    """The Prefect server no longer answers in the middle of a run, or refuses a request."""


class TrackingFailed(Flowers17Error):
    """A tracking server cannot be reached, or refuses a request."""
