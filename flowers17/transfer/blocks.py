"""Where each extractor can be cut in two: its blocks, by name, and their first layers.

Nothing here imports Keras. Names are those of keras/src/applications; InceptionV3's blocks are cut
behind the concatenation before them, since a block of it has several first layers.
"""

from dataclasses import dataclass
from types import MappingProxyType

from flowers17.errors import InvalidSettings


@dataclass(frozen=True)
class Place:
    """A place in a network: before or behind a layer."""

    layer: str
    behind: bool = False


def _mobilenet(number: int) -> Place:
    # Blocks that halve the size begin with their padding.
    kind = "pad" if number in (2, 4, 6, 12) else "dw"
    return Place(f"conv_{kind}_{number}")


def _xception(number: int) -> Place:
    return Place(f"block{number}_sepconv1" + ("_act" if 3 <= number <= 13 else ""))


BLOCKS: MappingProxyType[str, MappingProxyType[str, Place]] = MappingProxyType(
    {
        "vgg16": MappingProxyType({f"block{n}": Place(f"block{n}_conv1") for n in range(1, 6)}),
        "inceptionv3": MappingProxyType(
            {f"mixed{n}": Place(f"mixed{n - 1}", behind=True) for n in range(1, 11)}
        ),
        "mobilenet": MappingProxyType({f"block{n}": _mobilenet(n) for n in range(1, 14)}),
        "xception": MappingProxyType({f"block{n}": _xception(n) for n in range(2, 15)}),
    }
)


def blocks_from(extractor: str, block: str) -> tuple[str, ...]:
    """Return a block's name and those of all behind it.

    Raises InvalidSettings if there is no such extractor or block.

    >>> blocks_from("vgg16", "block4")
    ('block4', 'block5')
    """
    place_before(extractor, block)
    names = tuple(BLOCKS[extractor])
    return names[names.index(block) :]


def place_before(extractor: str, block: str) -> Place:
    """Return where an extractor is cut to unfreeze a block and all behind it.

    Raises InvalidSettings if there is no such extractor or block.

    >>> place_before("mobilenet", "block13")
    Place(layer='conv_dw_13', behind=False)
    """
    if extractor not in BLOCKS:
        raise InvalidSettings(f"extractor: expected one of {', '.join(BLOCKS)}, got {extractor!r}")
    if block not in BLOCKS[extractor]:
        raise InvalidSettings(
            f"fine_tuning.unfrozen.{extractor}: expected one of {', '.join(BLOCKS[extractor])}, "
            f"got {block!r}; nothing else can be unfrozen"
        )
    return BLOCKS[extractor][block]
