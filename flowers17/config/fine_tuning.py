"""Settings of two-phase fine-tuning (Part B.2)."""

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from flowers17.backbones.facts import backbone_of
from flowers17.config.base import Model
from flowers17.config.features import FeatureMapSettings
from flowers17.config.learners import AugmentationName, OptimizerName, RecipeSettings


class HeadSettings(Model):
    """A head on an extractor, and what trains it: a row of Table 9."""

    optimizer: OptimizerName = Field("adam", description="of both phases")
    batch_norm: bool = Field(False, description="batch normalisation of the dense layer")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the dense layer's units dropped")

    @property
    def name(self) -> str:
        """Display name, e.g. `adam + batch norm + dropout`."""
        parts: list[str] = [self.optimizer]
        parts += ["batch norm"] if self.batch_norm else []
        parts += ["dropout"] if self.dropout else []
        return " + ".join(parts)


class FineTunedSettings(Model):
    """A network to fine-tune: an extractor at an input size, a head, and by which recipe."""

    maps: FeatureMapSettings = Field(description="the extractor; its pooling is the head's")
    head: HeadSettings = Field(
        HeadSettings(batch_norm=True, dropout=0.5), description="the head and its optimizer"
    )
    recipe: Literal["report", "best"] = Field(
        "report", description="how it is trained: as in the study, or by our own recipe"
    )

    @model_validator(mode="after")
    def _check_maps(self) -> "FineTunedSettings":
        if self.maps.mirrored:
            raise ValueError(
                "maps.mirrored: expected false for a network to fine-tune, got true; set "
                "fine_tuning.own_augmentation to `mirrored`, which our own recipe reads"
            )
        return self

    @property
    def name(self) -> str:
        """Display name, e.g. `mobilenet adam + dropout`, `xception@299 adam, best`."""
        return f"{self.maps.name} {self.head.name}{', best' if self.recipe == 'best' else ''}"


class UnfrozenSettings(Model):
    """Where phase B begins to train each extractor, by the extractor's name.

    A block's name, the first layer's, or a share of the depth such as 0.2, the last fifth.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str]

    vgg16: str = Field("block5", description="`block1` to `block5`, or as `others`")
    inceptionv3: str = Field("mixed9", description="`mixed0` to `mixed10`, or as `others`")
    mobilenet: str = Field("block12", description="`block1` to `block13`, or as `others`")
    xception: str = Field("block14", description="`block1` to `block14`, or as `others`")
    others: str = Field(
        "0.2",
        description="of every extractor without an entry of its own: a block, a layer, or a share "
        "of the depth",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_text(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        for name in values.keys() - cls.model_fields.keys():
            backbone_of(name)
        return {
            name: str(value) if isinstance(value, float | int) else value
            for name, value in values.items()
        }

    def of(self, extractor: str) -> str:
        """Block, layer or share from which on an extractor is trained."""
        return str(getattr(self, extractor, self.others))


def _own_recipe(learning_rate: float) -> RecipeSettings:
    return RecipeSettings(
        epochs=20,
        learning_rate=learning_rate,
        schedule="one-cycle",
        label_smoothing=0.1,
        selection="last",
        flips_at_test=True,
    )


class FineTuningSettings(Model):
    """Two-phase fine-tuning of pre-trained networks (Part B.2)."""

    table: tuple[FeatureMapSettings, ...] = Field(
        (FeatureMapSettings(extractor="vgg16"), FeatureMapSettings(extractor="mobilenet")),
        description="the columns of Table 9",
    )
    heads: tuple[HeadSettings, ...] = Field(
        tuple(
            HeadSettings(optimizer=optimizer, batch_norm=batch_norm, dropout=dropout)
            for batch_norm, dropout in ((False, 0.0), (True, 0.0), (False, 0.5), (True, 0.5))
            for optimizer in ("adam", "sgd")
        ),
        description="the rows of Table 9",
    )
    units: int = Field(512, ge=1, le=65_536, description="units of a head's dense layer")
    unfrozen: UnfrozenSettings = UnfrozenSettings()
    activations: Literal["stored", "computed"] = Field(
        "stored",
        description="what the frozen part gives: computed once and stored, or at every step; at "
        "every step in any case under an augmentation of images",
    )
    phase_a: RecipeSettings = Field(
        RecipeSettings(epochs=25, learning_rate=1e-3),
        description="of the study, the extractor frozen; the optimizer is the head's",
    )
    phase_b: RecipeSettings = Field(
        RecipeSettings(epochs=50, learning_rate=1e-4),
        description="of the study, the last blocks unfrozen; the optimizer is the head's",
    )
    repeated: tuple[FineTunedSettings, ...] = Field(
        (), description="networks of Table 9 that are trained again with further seeds"
    )
    n_seeds: int = Field(3, ge=2, le=100, description="seeds of those, the first one included")
    own: tuple[FineTunedSettings, ...] = Field(
        (), description="networks fine-tuned on repeated clean splits"
    )
    own_splits: int = Field(
        8, ge=0, le=100, description="repeated clean splits for those, at most those there are"
    )
    refit: bool = Field(
        False, description="fine-tune each network once more, on all images, to predict with"
    )
    own_phase_a: RecipeSettings = Field(
        _own_recipe(learning_rate=1e-3),
        description="of our own recipe, the extractor frozen",
    )
    own_phase_b: RecipeSettings = Field(
        _own_recipe(learning_rate=1e-4),
        description="of our own recipe, the last blocks unfrozen",
    )
    own_layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="discriminative rates in phase B of our own recipe: the head learns at the "
        "recipe's rate, each block at this times the rate of what is behind it; 1: all at one rate",
    )
    own_augmentation: AugmentationName | Literal["mirrored"] = Field(
        "mirrored",
        description="of our own recipe; `mirrored`: mirrored images too, their activations stored",
    )
