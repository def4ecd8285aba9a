"""The study's own numbers, table by table, from `known/study.yaml`: their only home."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from flowers17.files import yaml_beside

_STUDY = yaml_beside(__file__, "known/study.yaml")

EXTRACTORS: Mapping[str, str] = _STUDY["extractors"]
CLASSIFIERS: Mapping[str, str] = _STUDY["classifiers"]
LEARNERS: Mapping[str, str] = _STUDY["learners"]
AUGMENTATIONS: Mapping[str, str] = _STUDY["augmentations"]
IMAGE_SIZE: int = _STUDY["image_size"]
N_CLASSES: int = _STUDY["n_classes"]
N_TRAINING_IMAGES: int = _STUDY["n_training_images"]
N_VALIDATION: int = _STUDY["n_validation_images"]
PLAIN_EPOCHS: int = _STUDY["plain_epochs"]
AUGMENTED_EPOCHS: int = _STUDY["augmented_epochs"]


@dataclass(frozen=True)
class LearnerShape:
    """One row of Table 1: a network for 128×128 images of 17 classes.

    n_dense: without the output layer, as the study counts. blocks: filters of its 3×3 convolutions,
    a 2×2 pooling after each block; units: of its dense layer. Blocks and units follow from the
    parameters, which they meet exactly.
    """

    n_convolutions: int
    n_poolings: int
    n_dense: int
    padding: str
    activation: str
    n_parameters: int
    blocks: tuple[tuple[int, ...], ...]
    units: int

    @property
    def n_operations(self) -> int:
        """Floating-point operations of one forward pass of one 128×128 image.

        Two for each multiplication of convolutions and of dense layers.
        """
        side, channels, n_products = IMAGE_SIZE, 3, 0
        for block in self.blocks:
            for filters in block:
                side -= 2 * (self.padding == "valid")
                n_products += 9 * channels * filters * side**2
                channels = filters
            side //= 2
        return 2 * (n_products + (channels * side**2 + N_CLASSES) * self.units)


TABLE_1 = TypeAdapter(dict[str, LearnerShape]).validate_python(_STUDY["table_1"])
TABLE_4 = TypeAdapter(dict[str, LearnerShape]).validate_python(_STUDY["table_4"])


@dataclass(frozen=True)
class Trained:
    """A network at the epoch of its lowest validation loss; accuracies on 1,020 and 340 images."""

    train_accuracy: float
    validation_accuracy: float
    train_loss: float | None = None
    validation_loss: float | None = None


TABLE_2 = TypeAdapter(dict[str, Trained]).validate_python(_STUDY["table_2"])
TABLE_3 = TypeAdapter(dict[str, dict[str, Trained]]).validate_python(_STUDY["table_3"])
TABLE_5: Mapping[str, float] = _STUDY["table_5"]
AVERAGE_OF_TABLE_5: float = _STUDY["average_of_table_5"]
STACKING_OF_TABLE_5: float = _STUDY["stacking_of_table_5"]
BEST_SINGLE_NETWORK = max(TABLE_5.values())
TABLE_6: Mapping[str, float] = _STUDY["table_6"]


@dataclass(frozen=True)
class ExtractorShape:
    """One row of Table 7: an extractor without its top, on 128×128 images.

    shape: of the feature map, height, width, channels; n_columns: their product.
    """

    n_layers: int
    n_parameters: int
    shape: tuple[int, int, int]
    n_columns: int


TABLE_7 = TypeAdapter(dict[str, ExtractorShape]).validate_python(_STUDY["table_7"])
TABLE_8: Mapping[str, Mapping[str, float]] = _STUDY["table_8"]
BEST_OF_TABLE_8 = max(value for row in TABLE_8.values() for value in row.values())
# Accuracy on 340 images by head, extractor and phase: a trains the head alone, b last blocks too.
TABLE_9: Mapping[str, Mapping[str, Mapping[str, float]]] = _STUDY["table_9"]
BEST_OF_TABLE_9 = max(phases["b"] for row in TABLE_9.values() for phases in row.values())
TABLE_10: Sequence[tuple[str, str, float]] = _STUDY["table_10"]
HEAD_UNITS: int = _STUDY["head_units"]
DROPOUT: float = _STUDY["dropout"]
PHASE_EPOCHS: Mapping[str, int] = _STUDY["phase_epochs"]
PHASE_RATES: Mapping[str, float] = _STUDY["phase_rates"]

PartName = Literal["data", "a1", "a2", "b1", "b2", "c", "test", "next"]


@dataclass(frozen=True)
class Part:
    """One part of the study."""

    name: PartName
    title: str
    about: str


PARTS = TypeAdapter(tuple[Part, ...]).validate_python(_STUDY["parts"])


@dataclass(frozen=True)
class Entry:
    """A table or figure of the study: where it belongs and what it shows."""

    kind: Literal["table", "figure"]
    number: int
    title: str
    part: PartName

    @property
    def name(self) -> str:
        """Display name, e.g. `Table 8`."""
        return f"{self.kind.capitalize()} {self.number}"


CONTENTS = TypeAdapter(tuple[Entry, ...]).validate_python(_STUDY["contents"])


def title_of(kind: Literal["table", "figure"], number: int) -> str:
    """The title of one of the study's tables or figures.

    >>> title_of("table", 8)
    'Classifiers on extracted features'
    """
    return next(entry.title for entry in CONTENTS if (entry.kind, entry.number) == (kind, number))
