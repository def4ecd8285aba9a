"""Shared options of stages that compute for hours, on a processor or a GPU."""

from typing import Any, Literal

TWO_WEEKS_S = 14 * 24 * 3600.0


def long_work(kind: str, device: Literal["cpu", "gpu"]) -> dict[str, Any]:
    """Options of a long stage: its own process, a time limit, and tags.

    kind: a tag; concurrency limits apply to it and to `gpu`.

    >>> long_work("training", "gpu")["tags"]
    ('training', 'gpu')
    """
    tags = (kind, "gpu") if device == "gpu" else (kind,)
    return {"isolated": True, "timeout_s": TWO_WEEKS_S, "tags": tags}
