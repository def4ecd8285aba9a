"""Stage `archive`: the official Flowers-17 archive, downloaded and kept in the store."""

from collections.abc import Mapping
from typing import Any

from flowers17.data.download import download

from flowers17.data import oxford17
from flowers17.stages import Job, Stage


def stage() -> Stage:
    """Return the stage of the official archive."""
    return Stage.of(
        "archive", "archive", "tasks.archive:build", {"sha256": oxford17.ARCHIVE_SHA256}
    )


def build(job: Job) -> Mapping[str, Any]:
    """Download the archive; its images are verified where they are decoded."""
    target = job.folder / "17flowers.tgz"
    download(
        oxford17.ARCHIVE_URL,
        target,
        progress=lambda done, total: job.progress(done, total or oxford17.ARCHIVE_BYTES, "bytes"),
    )
    return {"bytes": target.stat().st_size}
