"""Stage `weights`: an extractor's ImageNet weights, downloaded from Keras's server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowers17.config import ExtractorName, RunOptions, StudySettings
from flowers17.data.download import download
from flowers17.errors import DownloadFailed, WeightsMissing
from flowers17.seeds import derived_seed
from flowers17.stages import Job, Stage
from flowers17.transfer.weights import extractor_facts, resolve_weights

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Source:
    """Source of an extractor's weights, as parts of the stage that reads them.

    config: part of the stage's configuration; all stages have one seed of random weights, so that
    they read the same network. optional: whether the weights may be missing at run time.
    """

    config: Mapping[str, Any]
    inputs: Mapping[str, Stage]
    resources: Mapping[str, str]
    optional: bool

    @property
    def are_random(self) -> bool:
        """Whether the network is untrained, its weights drawn from a seed."""
        return bool(self.config["kind"] == "random")


def source(settings: StudySettings, options: RunOptions, extractor: ExtractorName) -> Source:
    """Source of an extractor's weights for a stage; see `resolve_weights`."""
    weights = resolve_weights(extractor, options.weights_dir, weights=settings.features.weights)
    download = weights.kind == "download"
    return Source(
        {
            "kind": weights.kind,
            "sha256": weights.sha256,
            "seed": derived_seed(settings.seed, "features") if weights.kind == "random" else None,
        },
        {"weights": stage(extractor)} if download else {},
        {"weights": str(weights.path)} if weights.path else {},
        optional=download,
    )


def extractor(job: Job) -> "keras.Model":
    """Freshly built extractor with the weights of a job."""
    from flowers17.transfer.extractors import build_extractor

    path = job.resources.get("weights")
    if "weights" in job.inputs:
        path = next(job.inputs["weights"].path.glob("*.h5"))
    return build_extractor(
        job.config["extractor"],
        input_size=job.config["input_size"],
        weights_path=path,
        seed=job.config["weights"]["seed"] or 0,
    )


def stage(extractor: str) -> Stage:
    """Stage that downloads an extractor's weights; optional, since a study can go on without."""
    facts = extractor_facts(extractor)
    return Stage.of(
        "weights",
        f"weights {extractor}",
        config={"extractor": extractor, "md5": facts.md5},
        optional=True,
    )


def build(job: Job) -> Mapping[str, Any]:
    """Download the weights; raises WeightsMissing with the way to provide them by hand."""
    facts = extractor_facts(job.config["extractor"])
    try:
        job.unfinished.mkdir(parents=True, exist_ok=True)
        downloaded = download(
            facts.url,
            job.unfinished / facts.download_name,
            md5=facts.md5,
            progress=lambda n_done, n_bytes: job.progress(n_done, n_bytes or 0, "bytes"),
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
