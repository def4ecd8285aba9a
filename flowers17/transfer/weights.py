"""Facts about each extractor, and the source of its weights.

Imports no Keras, so that planning a study is fast. File names, addresses and MD5 digests are those
of keras/src/applications; parameter totals are REFERENCE.md's Table 7.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from flowers17.config import ExtractorName
from flowers17.digests import file_sha256
from flowers17.errors import ChecksumMismatch, InvalidInput, InvalidSettings

_SERVER = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class ExtractorFacts:
    """Facts about a network of `keras.applications` without its fully connected top.

    module, function: that build it. native_size: side of its training images in pixels;
    min_size: smallest input side. n_parameters: all; n_trainable: without moving averages.
    download_name, url, md5: Keras's own weight file (Keras publishes no digest for MobileNet).
    file_names: accepted in a weights folder, in order of preference.
    """

    module: str
    function: str
    native_size: int
    min_size: int
    n_parameters: int
    n_trainable: int
    n_layers: int
    download_name: str
    url: str
    md5: str | None
    file_names: tuple[str, ...]


EXTRACTORS: MappingProxyType[str, ExtractorFacts] = MappingProxyType(
    {
        "vgg16": ExtractorFacts(
            module="vgg16",
            function="VGG16",
            native_size=224,
            min_size=32,
            n_parameters=14_714_688,
            n_trainable=14_714_688,
            n_layers=19,
            download_name="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
            url=f"{_SERVER}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
            md5="6d6bbae143d832006294945121d1f1fc",
            file_names=("vgg16_notop.weights.h5",),
        ),
        "inceptionv3": ExtractorFacts(
            module="inception_v3",
            function="InceptionV3",
            native_size=299,
            min_size=75,
            n_parameters=21_802_784,
            n_trainable=21_768_352,
            n_layers=311,
            download_name="inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
            url=f"{_SERVER}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
            md5="bcbd6486424b2319ff4ef7d526e38f63",
            file_names=("inceptionv3_notop.weights.h5", "inception_v3_notop.weights.h5"),
        ),
        "mobilenet": ExtractorFacts(
            module="mobilenet",
            function="MobileNet",
            native_size=224,
            min_size=32,
            n_parameters=3_228_864,
            n_trainable=3_206_976,
            n_layers=86,
            download_name="mobilenet_1_0_224_tf_no_top.h5",
            url=f"{_SERVER}/mobilenet/mobilenet_1_0_224_tf_no_top.h5",
            md5=None,
            file_names=("mobilenet_224_notop.weights.h5", "mobilenet_notop.weights.h5"),
        ),
        "xception": ExtractorFacts(
            module="xception",
            function="Xception",
            native_size=299,
            min_size=71,
            n_parameters=20_861_480,
            n_trainable=20_806_952,
            n_layers=132,
            download_name="xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
            url=f"{_SERVER}/xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
            md5="b0042744bf5b25fce3cb969f33bebb97",
            file_names=("xception_notop.weights.h5",),
        ),
    }
)


@dataclass(frozen=True)
class WeightsSource:
    """Source of an extractor's weights.

    kind: `file`, with path and sha256; `download`, both None before the download; `random`,
    untrained, both None.
    """

    kind: Literal["file", "download", "random"]
    path: Path | None = None
    sha256: str | None = None


def extractor_facts(extractor: str) -> ExtractorFacts:
    """Facts about an extractor; raises InvalidSettings for an unknown name."""
    try:
        return EXTRACTORS[extractor]
    except KeyError:
        raise InvalidSettings(
            f"extractor: expected one of {', '.join(EXTRACTORS)}, got {extractor!r}"
        ) from None


def check_input_size(extractor: str, input_size: int) -> None:
    """Raise InvalidSettings if the input size is below the extractor's minimum."""
    min_size = extractor_facts(extractor).min_size
    if input_size < min_size:
        raise InvalidSettings(
            f"extractor {extractor}: expected an input of at least {min_size} pixels a side, got "
            f"{input_size}; give its feature map a larger `input_size`, raise dataset.image_size "
            "if it has none, or leave the extractor out"
        )


def keras_cache() -> Path:
    """Folder of the weights that Keras downloaded."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".keras") / "models"


def resolve_weights(
    extractor: ExtractorName,
    weights_dir: Path | None,
    *,
    weights: Literal["imagenet", "random"] = "imagenet",
) -> WeightsSource:
    """Source of an extractor's weights, without a network request.

    A file in `weights_dir` comes first, then Keras's cache, then Keras's download.
    Raises InvalidInput if `weights_dir` is no folder, ChecksumMismatch if a file of Keras's name
    differs from the one that Keras publishes.
    """
    facts = extractor_facts(extractor)
    if weights == "random":
        return WeightsSource("random")
    candidates = [keras_cache() / facts.download_name]
    if weights_dir is not None:
        folder = Path(weights_dir).expanduser()
        if not folder.is_dir():
            raise InvalidInput(
                f"weights_dir {folder}: expected a folder with extractor weights, found "
                f"{'a file' if folder.exists() else 'nothing'}; correct --weights-dir"
            )
        candidates = [folder / name for name in (*facts.file_names, facts.download_name)]
        candidates.append(keras_cache() / facts.download_name)
    for path in candidates:
        if path.is_file():
            if path.name == facts.download_name and facts.md5 is not None:
                _check_md5(path, facts.md5)
            return WeightsSource("file", path, file_sha256(path))
    return WeightsSource("download")


def _check_md5(path: Path, expected: str) -> None:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != expected:
        raise ChecksumMismatch(
            f"{path}: expected md5 {expected}, got {digest}; it is truncated or another file: "
            "delete it, and Keras's own is downloaded again"
        )
