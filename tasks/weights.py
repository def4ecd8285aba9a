"""Stages `weights` and `backbone`: an extractor's download, and what is known once it is built.

Keras's own networks need no stage `backbone`: their facts are known before.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from flowers17.backbones.facts import backbone_of
from flowers17.config import FeatureMapSettings, RunOptions, StudySettings
from flowers17.data.download import download
from flowers17.errors import DownloadFailed, Flowers17Error, WeightsMissing
from flowers17.seeds import derived_seed
from flowers17.stages import Job, Stage
from flowers17.transfer.weights import resolve_weights

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(f"flowers17.{__name__}")
# Of requests, httpx and kagglehub: what was begun did not arrive whole.
_BROKEN = ("ChunkedEncodingError", "ReadError", "RemoteProtocolError", "DataCorruptionError")
_MAX_BYTES = 2**32  # ConvNeXt's largest has 1.4 GB


class Source(NamedTuple):
    """Source of an extractor's weights, as parts of the stage that reads them.

    config: part of the stage's configuration; all stages have one seed of random weights, so that
    they read the same network. seed: of the stage, if the network is untrained. optional: whether
    the weights may be missing at run time.
    """

    config: Mapping[str, Any]
    inputs: Mapping[str, Stage]
    resources: Mapping[str, str]
    seed: int | None
    optional: bool


def source(settings: StudySettings, options: RunOptions, feature_map: FeatureMapSettings) -> Source:
    """Source of an extractor's weights for a stage; see `resolve_weights`."""
    extractor = feature_map.extractor
    weights = resolve_weights(extractor, options.weights_dir, weights=settings.features.weights)
    download = weights.kind == "download"
    is_random = settings.features.weights == "random"
    weights_from = Source(
        {
            "kind": "random" if is_random else weights.kind,
            "sha256": weights.sha256,
            "seed": derived_seed(settings.seed, "features") if is_random else None,
            **({"code": weights.code} if weights.code else {}),
        },
        {"weights": stage(extractor)} if download else {},
        {"weights": str(weights.path)} if weights.path else {},
        seed=settings.seed if is_random else None,
        optional=download,
    )
    if backbone_of(extractor).facts:
        return weights_from
    backbone = _backbone_stage(settings, feature_map, weights_from)
    return weights_from._replace(inputs={**weights_from.inputs, "backbone": backbone})


def _backbone_stage(
    settings: StudySettings, feature_map: FeatureMapSettings, weights_from: Source
) -> Stage:
    """Stage of the facts of an own network, which refuses it before anything is computed with it.

    Its content is the network's alone: another cut makes no features anew.
    """
    extractor = feature_map.extractor
    short_name, size = backbone_of(extractor).short_name, settings.dataset.image_size
    tuned = (each for each in settings.fine_tuned if each.maps.extractor == extractor)
    norms = [network.head.extractor_norms for network in tuned]
    return Stage.of(
        "backbone",
        f"network {short_name}@{feature_map.input_size or size}",
        "tasks.weights:build_backbone",
        config={
            "extractor": short_name,
            "input_size": feature_map.input_size or size,
            "weights": dict(weights_from.config),
            "unfrozen_from": settings.fine_tuning.unfrozen.of(extractor) if norms else None,
            "norms": "inference" if "inference" in norms else "training",
        },
        seed=weights_from.seed,
        inputs=weights_from.inputs,
        resources=weights_from.resources,
        isolated=True,
    )


def build_backbone(job: Job) -> Mapping[str, Any]:
    """Build the network, a function's twice, and cut it where fine-tuning will."""
    from flowers17.transfer.extractors import check_network, fingerprint
    from flowers17.transfer.fine_tuning import cut, cuts_of

    config, model = job.config, extractor(job)
    expected = {}
    if backbone_of(config["extractor"]).kind == "function":
        expected = {"fingerprint": fingerprint(model)}
        check_network(extractor(job), expected, config["extractor"])
    shape, cuts = list(model.output_shape[1:]), cuts_of(model)[0]
    last = [layer for layer in model.layers if layer.name != "as_map"][-1]
    ending = {}
    if hasattr(last, "units"):
        text = f"the dense layer {last.name}; if its {last.units} numbers are scores of classes, "
        ending = {"ends in": text + "cut the network before it"}
        logger.warning("%s ends in %s", config["extractor"], ending["ends in"])
    if config["unfrozen_from"]:
        cut(model, config["extractor"], config["unfrozen_from"], norms=config["norms"])
    counts = {"n_parameters": model.count_params(), "n_layers": len(model.layers)}
    job.save_json("facts", {"map_shape": shape, **counts, "cuts": asdict(cuts), **expected})
    return {"can be cut before": ", ".join(cuts.blocks), **ending}


def extractor(job: Job) -> "keras.Model":
    """Freshly built extractor with the weights of a job."""
    from flowers17.transfer.extractors import build_extractor, check_network

    downloaded = job.inputs.get("weights")
    model = build_extractor(
        job.config["extractor"],
        input_size=job.config["input_size"],
        weights_path=downloaded.path if downloaded else job.resources.get("weights"),
        seed=job.config["weights"]["seed"] or 0,
        untrained=job.config["weights"]["kind"] == "random",
    )
    if backbone := job.inputs.get("backbone"):
        check_network(model, backbone.json("facts"), job.config["extractor"])
    return model


def stage(extractor: str) -> Stage:
    """Stage that downloads an extractor's weights; optional, since a study can go on without."""
    facts = backbone_of(extractor).facts
    return Stage.of(
        "weights",
        f"weights {backbone_of(extractor).short_name}",
        config={"extractor": extractor, **(facts.digests if facts else {})},
        optional=True,
        isolated=facts is None,  # KerasHub loads TensorFlow
    )


def build(job: Job) -> Mapping[str, Any]:
    """Download the weights; raises WeightsMissing with the way to provide them by hand."""
    facts = backbone_of(job.config["extractor"]).facts
    if facts is None:
        return _preset(job)
    try:
        job.unfinished.mkdir(parents=True, exist_ok=True)
        downloaded = download(
            facts.url,
            job.unfinished / facts.file_name,
            md5=facts.digests.get("md5"),
            sha256=facts.digests.get("sha256"),
            max_bytes=_MAX_BYTES,
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


def _preset(job: Job) -> Mapping[str, Any]:
    """Download a preset of KerasHub, which shows the progress, into the artifact's folder."""
    from flowers17.transfer.backbones import first_line, save_preset

    name = backbone_of(job.config["extractor"]).name
    try:
        save_preset(name, job.folder, job.progress)
    except Flowers17Error:
        raise
    except Exception as problem:  # those of the libraries that KerasHub downloads by
        reason = (
            f"hub:{name}: expected a preset of KerasHub by download or in the weights folder; "
            f"{first_line(problem)}. Check the name and the connection, or put the preset's folder "
            f"{name.rpartition('/')[2]} into the folder given as --weights-dir"
        )
        if type(problem).__name__ in _BROKEN:
            raise DownloadFailed(reason, transient=True) from problem
        raise WeightsMissing(reason) from problem
    return {"bytes": sum(file.stat().st_size for file in job.folder.iterdir())}
