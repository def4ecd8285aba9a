"""Source of an extractor's weights, and what is known of it before it is built.

Imports no Keras, so that planning a study is fast.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flowers17.backbones.facts import Backbone, backbone_of, known_facts
from flowers17.config.run_options import weights_folder
from flowers17.digests import digest_difference, file_sha256, sha256_of
from flowers17.errors import ChecksumMismatch, InvalidInput, InvalidSettings
from flowers17.learners.own_modules import check_function


@dataclass(frozen=True)
class WeightsSource:
    """Source of an extractor's weights.

    kind: `file`, with path and sha256 of a file, or of all files of a preset's folder; `download`,
    both None before the download; `function`, whose network comes with weights; `random`,
    untrained. path: may stand beside `random`, for a network that is described there. code: SHA-256
    of the module of a user's own function.
    """

    kind: Literal["file", "download", "function", "random"]
    path: Path | None = None
    sha256: str | None = None
    code: str | None = None


def check_input_size(extractor: str, input_size: int) -> None:
    """Raise InvalidSettings if the input size is below the extractor's minimum, where known."""
    facts = backbone_of(extractor).facts
    if facts and input_size < facts.min_size:
        raise InvalidSettings(
            f"extractor {extractor}: expected an input of at least {facts.min_size} pixels a side, "
            f"got {input_size}; give its feature map a larger `input_size`, raise "
            "dataset.image_size if it has none, or leave the extractor out"
        )


def keras_cache() -> Path:
    """Folder of the weights that Keras downloaded."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".keras") / "models"


def resolve_weights(
    extractor: str,
    weights_dir: Path | None,
    *,
    weights: Literal["imagenet", "random"] = "imagenet",
) -> WeightsSource:
    """Source of an extractor's weights, without a network request.

    What the extractor names itself comes first, then a file in `weights_dir`, then Keras's cache,
    then a download by Keras or KerasHub.
    Raises InvalidInput if `weights_dir` is no folder, or if a file that the extractor names is not
    there, ChecksumMismatch if a file of Keras's name differs from the one that Keras publishes.
    """
    backbone = backbone_of(extractor)
    code = file_sha256(check_function(backbone.name)) if backbone.kind == "function" else None
    needs_path = backbone.kind in ("hub", "file")
    if weights == "random" and not needs_path:
        return WeightsSource("random", code=code)
    if backbone.kind == "function" and not backbone.weights:
        return WeightsSource("function", code=code)
    places = [path.absolute() for path in _candidates(backbone, weights_folder(weights_dir))]
    for path in places:
        if path.exists():
            kind: Literal["file", "random"] = "random" if weights == "random" else "file"
            return WeightsSource(kind, path, _sha256(path), code)
    if backbone.weights or backbone.kind == "file":
        raise InvalidInput(
            f"extractor {extractor}: expected its file at {' or '.join(map(str, places))}, found "
            f"none; give the folder that holds {places[0].name} as --weights-dir"
        )
    return WeightsSource("download")


def _candidates(backbone: Backbone, folder: Path | None) -> list[Path]:
    """Places where an extractor's file or folder may lie, in order of preference."""
    if backbone.weights or backbone.kind in ("hub", "file"):
        path = backbone.weights or Path(backbone.name)
        return [path, *([folder / path.name] if folder else [])]
    facts = known_facts()[backbone.name]
    candidates = [folder / name for name in facts.file_names] if folder else []
    candidates.append(keras_cache() / facts.file_name)
    for path in candidates:
        is_of_keras = path.is_file() and path.name == facts.file_name
        if is_of_keras and (difference := digest_difference(path, facts.digests)):
            raise ChecksumMismatch(
                f"{path}: {difference}; it is truncated or another file: delete it, and Keras's "
                "own is downloaded again"
            )
    return candidates


def _sha256(path: Path) -> str:
    """SHA-256 of a file, or of the files in a preset's folder."""
    if path.is_file():
        return file_sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return sha256_of({str(file.relative_to(path)): file_sha256(file) for file in files})
