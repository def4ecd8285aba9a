"""Backbones: how a pre-trained network is named, and the facts about those of Keras.

Imports no Keras, so that planning a study is fast. The facts in `backbones.json` are derived from
the networks by `transfer.backbone_facts`. They stand in no key, so that another network changes
none: a network's name and Keras's version, which do, tell all that decides a result.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from flowers17.errors import InvalidSettings, hint_for, short_repr

FACTS_FILE = Path(__file__).with_name("backbones.json")  # a folder would count in keys
_WITH_WEIGHTS = re.compile(r"file:(?P<weights>.+\.weights\.h5)\+(?P<network>.+)")
_FUNCTION = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")
_SHARE = re.compile(r"(0?\.0*[1-9]\d*|1(\.0*)?)")
_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?")


@dataclass(frozen=True)
class Cuts:
    """Points at which one tensor alone crosses a network, where it can be cut in two.

    blocks: by name, in order, the share of the layers that a cut before the block leaves behind it;
    layers: the same, before single layers.
    """

    blocks: Mapping[str, float]
    layers: Mapping[str, float]

    def name_of(self, extractor: str, unfrozen: str) -> str:
        """Name of the block or layer from which on an extractor is trained.

        unfrozen: that name, or a share of the depth such as `0.2`, the last fifth.
        Raises InvalidSettings if there is none, or none near the share.
        """
        shares = {**self.layers, **self.blocks}
        if unfrozen in shares:
            return unfrozen
        # Which may be `others`, or hold the name with its folders.
        setting = f"setting fine_tuning.unfrozen, for {extractor}"
        if not shares:
            raise InvalidSettings(
                f"{setting}: expected a network that can be cut in two, got one with branches or "
                "shortcuts past every point behind its first weights; leave it out of fine_tuning, "
                "or use it for features"
            )
        if not _SHARE.fullmatch(unfrozen):
            raise InvalidSettings(
                f"{setting}: expected one of {', '.join(self.blocks)}, the first of the layers to "
                f"train, or a share of the depth such as 0.2, got {unfrozen!r}; at other points "
                "a branch or a shortcut passes by"
            )
        share = float(unfrozen)
        for points in (self.blocks, self.layers):
            nearest = min(points, key=lambda name: abs(points[name] - share), default=None)
            if nearest and share / 2 <= points[nearest] <= 2 * share:
                return nearest
        least = min(shares.values(), key=lambda each: abs(each - share))
        raise InvalidSettings(
            f"{setting}: expected a share of the depth near a point where the network can be cut "
            f"in two, got {unfrozen}; elsewhere a branch or a shortcut passes by. Give the "
            "nearest: " + shlex.join(["--set", f"fine_tuning.unfrozen.{extractor}={least:.2f}"])
        )

    def behind(self, name: str) -> tuple[str, ...]:
        """Names of a block or layer and of all blocks behind it."""
        share = {**self.layers, **self.blocks}[name]
        return (name, *(block for block in self.blocks if self.blocks[block] < share))


def check_share(text: str) -> str:
    """The text, a point's name or a share of the depth; raises ValueError for other numbers."""
    if _NUMBER.fullmatch(text) and not _SHARE.fullmatch(text):
        raise ValueError(
            "expected a share of the depth, above 0 and at most 1, such as 0.2 for the last fifth, "
            f"got {short_repr(text)}"
        )
    return text


def no_norms(extractor: str, unfrozen: str) -> InvalidSettings:
    """Error on a head that keeps an extractor's batch normalisation where there is none."""
    return InvalidSettings(
        f"setting extractor_norms: expected batch normalisation in {extractor} from {unfrozen} on "
        "for mode `inference`, found none; leave the mode out"
    )


@dataclass(frozen=True)
class ExtractorFacts:
    """Facts about a network of `keras.applications` without its fully connected top.

    module, function: that build it. native_size: side of its training images in pixels;
    min_size: smallest input side. n_parameters: all; n_trainable: without moving averages.
    n_operations: of one image of the native size, as `learners.networks` counts them;
    n_activations: numbers in the inputs and outputs of its widest layer, then; map_shape: of its
    output, then. file_name, url, digest: of Keras's own weight file, the digest an MD5 or SHA-256
    (Keras publishes none for MobileNet).
    """

    module: str
    function: str
    native_size: int
    min_size: int
    n_parameters: int
    n_trainable: int
    n_layers: int
    n_operations: int
    n_activations: int
    map_shape: tuple[int, int, int]
    file_name: str
    url: str
    digest: str | None
    cuts: Cuts

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names accepted in a weights folder, in order of preference, the last one Keras's own."""
        stems = [self.function.lower(), f"{self.function.lower()}_{self.native_size}"]
        # A module of one network; that of several would not tell which.
        stems += [self.module] * (self.module.replace("_", "") == self.function.lower())
        names = [f"{stem}_notop.weights.h5" for stem in stems]
        return (*dict.fromkeys(names), self.file_name)

    @property
    def digests(self) -> dict[str, str | None]:
        """Digest of Keras's weight file by its kind, `md5` or `sha256`."""
        kind = "sha256" if self.digest and len(self.digest) == 64 else "md5"
        return {kind: self.digest}


@cache
def known_facts() -> dict[str, ExtractorFacts]:
    """Facts about each network of `keras.applications`, by its name in lower case."""
    table = json.loads(FACTS_FILE.read_text())["networks"]
    for row in table.values():
        row |= {"map_shape": tuple(row["map_shape"]), "cuts": Cuts(**row["cuts"])}
    return {name: ExtractorFacts(**row) for name, row in table.items()}


@dataclass(frozen=True)
class Backbone:
    """A network by name.

    kind, name: a network of `keras.applications`, a preset of KerasHub or its folder, the path of a
    `.keras` file, or `module:function`. weights: a file of weights for it, if the name gives one.
    """

    kind: Literal["keras", "hub", "file", "function"]
    name: str
    weights: Path | None = None

    @property
    def facts(self) -> ExtractorFacts | None:
        """Facts about one of Keras's networks; None: those of others show once they are built."""
        return known_facts()[self.name] if self.kind == "keras" else None

    @property
    def short_name(self) -> str:
        """Its name without folders, which stands in keys and labels."""
        base = f"file:{self.weights.name}+" if self.weights else ""
        prefix = "" if self.kind in ("keras", "function") else f"{self.kind}:"
        name = self.name if self.kind == "function" else self.name.rstrip("/").rpartition("/")[2]
        return base + prefix + name


def backbone_of(extractor: str) -> Backbone:
    """Backbone that an extractor's name stands for; raises InvalidSettings for no such name.

    >>> backbone_of("file:/tmp/mine.weights.h5+resnet50").short_name
    'file:mine.weights.h5+resnet50'
    """
    if match := _WITH_WEIGHTS.fullmatch(extractor):
        network = backbone_of(match["network"])
        if network.kind in ("keras", "function") and network.weights is None:
            return Backbone(network.kind, network.name, Path(match["weights"]))
    elif extractor in known_facts():
        return Backbone("keras", extractor)
    elif extractor.startswith("hub:") and extractor.rstrip("/") != "hub:":
        return Backbone("hub", extractor.removeprefix("hub:"))
    elif extractor.startswith("file:") and extractor.endswith(".keras"):
        return Backbone("file", extractor.removeprefix("file:"))
    elif _FUNCTION.fullmatch(extractor) and not extractor.startswith(("file:", "hub:")):
        return Backbone("function", extractor)
    name = extractor.casefold()
    family = [known for known in known_facts() if name and known.startswith(name)]
    hint = f"did you mean one of {', '.join(family)}?" if family and name not in family else ""
    raise InvalidSettings(
        "extractor: expected a network of `flowers17 backbones`, hub:PRESET, file:PATH.keras, "
        f"module:function, or file:PATH.weights.h5+NETWORK, got {short_repr(extractor)}; "
        + (hint or hint_for(extractor, known_facts(), "see `flowers17 backbones`"))
    )
