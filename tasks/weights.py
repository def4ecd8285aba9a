"""Stage `weights`: an extractor's ImageNet weights, downloaded from where Keras has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowers17.config import ExtractorName, Places, StudySettings
from flowers17.data.download import download
from flowers17.errors import DownloadFailed, WeightsMissing
from flowers17.seeds import derived_seed
from flowers17.stages import Job, Stage
from flowers17.transfer.weights import extractor_facts, resolve_weights

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Source:
    """Where an extractor's weights come from, as parts of the stage that reads them.

    config: what decides the result; the seed of random weights is one for all stages, so that
    they mean one network. optional: whether the weights may turn out to be missing.
    """

    config: Mapping[str, Any]
    inputs: Mapping[str, Stage]
    resources: Mapping[str, str]
    optional: bool

    @property
    def are_random(self) -> bool:
        """Whether the network is untrained, its weights drawn from a seed."""
        return bool(self.config["kind"] == "random")


def source(settings: StudySettings, places: Places, extractor: ExtractorName) -> Source:
    """Return where a stage reads an extractor's weights from; see `resolve_weights`."""
    found = resolve_weights(extractor, places.weights_dir, weights=settings.features.weights)
    download = found.kind == "download"
    return Source(
        {
            "kind": found.kind,
            "sha256": found.sha256,
            "seed": derived_seed(settings.seed, "features") if found.kind == "random" else None,
        },
        {"weights": stage(extractor)} if download else {},
        {"weights": str(found.path)} if found.path else {},
        optional=download,
    )


def extractor(job: Job) -> "keras.Model":
    """Return a freshly built extractor with the weights that a job was given."""
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
