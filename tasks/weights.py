"""Stage `weights`: an extractor's ImageNet weights, downloaded from where Keras has them."""

from collections.abc import Mapping
from typing import Any

from flowers17.data.download import download
from flowers17.errors import DownloadFailed, WeightsMissing
from flowers17.stages import Job, Stage
from flowers17.transfer.weights import extractor_facts


def stage(extractor: str) -> Stage:
    """Return the stage that downloads one extractor's weights; a study goes on without."""
    facts = extractor_facts(extractor)
    return Stage.of(
        "weights",
        f"weights {extractor}",
        "tasks.weights:build",
        {"extractor": extractor, "md5": facts.md5},
        optional=True,
    )


def build(job: Job) -> Mapping[str, Any]:
    """Download the weights; raises WeightsMissing that says how to bring them by hand."""
    facts = extractor_facts(job.config["extractor"])
    try:
        job.unfinished.mkdir(parents=True, exist_ok=True)
        downloaded = download(
            facts.url,
            job.unfinished / facts.download_name,
            md5=facts.md5,
            progress=lambda done, total: job.progress(done, total or 0, "bytes"),
        )
    except DownloadFailed as problem:
        if problem.transient:
            raise
        raise WeightsMissing(
            f"{job.config['extractor']}: expected ImageNet weights in the weights folder or by "
            f"download; {problem}. Put {facts.file_names[0]} into the folder given as --weights-dir"
        ) from problem
    downloaded.rename(job.folder / downloaded.name)
    return {"bytes": (job.folder / downloaded.name).stat().st_size}
