"""What stages have in common that compute for long, on a processor or a GPU."""

from typing import Any, Literal

TWO_WEEKS_S = 14 * 24 * 3600.0


def long_work(what: str, device: Literal["cpu", "gpu"]) -> dict[str, Any]:
    """Return how such a stage is run: a process of its own, a time limit, and tags.

    what: the tag of its kind; limits on concurrency are set for it and for `gpu`.

    >>> long_work("training", "gpu")["tags"]
    ('training', 'gpu')
    """
    tags = (what, "gpu") if device == "gpu" else (what,)
    return {"isolated": True, "timeout_s": TWO_WEEKS_S, "tags": tags}
