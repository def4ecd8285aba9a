"""Stage `archive`: download of the official Flowers-17 archive into the store."""

from collections.abc import Mapping
from typing import Any

from flowers17.data import oxford17
from flowers17.data.download import download
from flowers17.stages import Job, Stage

FILE_NAME = "17flowers.tgz"


def stage() -> Stage:
    """Stage of the official archive."""
    return Stage.of("archive", "archive", config={"sha256": oxford17.ARCHIVE_SHA256})


def build(job: Job) -> Mapping[str, Any]:
    """Download the archive; decoding verifies its images."""
    job.unfinished.mkdir(parents=True, exist_ok=True)
    downloaded = download(
        oxford17.ARCHIVE_URL,
        job.unfinished / FILE_NAME,
        progress=lambda n, total: job.progress(n, total or oxford17.ARCHIVE_BYTES, "bytes"),
    )
    downloaded.rename(job.folder / FILE_NAME)
    return {"bytes": (job.folder / FILE_NAME).stat().st_size}
