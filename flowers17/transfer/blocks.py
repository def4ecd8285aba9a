"""Blocks of each extractor by name, and the points at which it is cut in two.

Imports no Keras. Names are those of keras/src/applications. InceptionV3's blocks have several
first layers, so that it is cut behind the concatenation before a block.
"""

from dataclasses import dataclass
from types import MappingProxyType

from flowers17.errors import InvalidSettings


@dataclass(frozen=True)
class CutPoint:
    """A point between two layers of a network: before or behind `layer`."""

    layer: str
    behind: bool = False


def _mobilenet(number: int) -> CutPoint:
    # Blocks that halve the size begin with their padding.
    kind = "pad" if number in (2, 4, 6, 12) else "dw"
    return CutPoint(f"conv_{kind}_{number}")


def _xception(number: int) -> CutPoint:
    return CutPoint(f"block{number}_sepconv1" + ("_act" if 3 <= number <= 13 else ""))


BLOCKS: MappingProxyType[str, MappingProxyType[str, CutPoint]] = MappingProxyType(
    {
        "vgg16": MappingProxyType({f"block{n}": CutPoint(f"block{n}_conv1") for n in range(1, 6)}),
        "inceptionv3": MappingProxyType(
            {f"mixed{n}": CutPoint(f"mixed{n - 1}", behind=True) for n in range(1, 11)}
        ),
        "mobilenet": MappingProxyType({f"block{n}": _mobilenet(n) for n in range(1, 14)}),
        "xception": MappingProxyType({f"block{n}": _xception(n) for n in range(2, 15)}),
    }
)


def blocks_from(extractor: str, block: str) -> tuple[str, ...]:
    """Names of a block and of all behind it; raises InvalidSettings for unknown names.

    >>> blocks_from("vgg16", "block4")
    ('block4', 'block5')
    """
    cut_point(extractor, block)
    names = tuple(BLOCKS[extractor])
    return names[names.index(block) :]


def cut_point(extractor: str, block: str) -> CutPoint:
    """Point at which an extractor is cut to unfreeze a block and all behind it.

    Raises InvalidSettings if there is no such extractor or block.

    >>> cut_point("mobilenet", "block13")
    CutPoint(layer='conv_dw_13', behind=False)
    """
    if extractor not in BLOCKS:
        raise InvalidSettings(f"extractor: expected one of {', '.join(BLOCKS)}, got {extractor!r}")
    if block not in BLOCKS[extractor]:
        raise InvalidSettings(
            f"fine_tuning.unfrozen.{extractor}: expected one of {', '.join(BLOCKS[extractor])}, "
            f"got {block!r}; nothing else can be unfrozen"
        )
    return BLOCKS[extractor][block]
