"""Settings of pre-trained networks: features, classifiers on them, fine-tuning (Part B)."""

from itertools import product
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, PositiveFloat, TypeAdapter, model_validator

from flowers17.backbones.choice import chosen_networks
from flowers17.backbones.facts import backbone_of, check_share, known_facts
from flowers17.config.base import OWN_RECIPES, Model
from flowers17.config.learners import AugmentationName, OptimizerName, RecipeSettings
from flowers17.errors import InvalidSettings


def _known(extractor: str) -> str:
    """Extractor's name, if it is one; raises ValueError otherwise."""
    try:
        backbone_of(extractor)
    except InvalidSettings as problem:
        raise ValueError(str(problem).removeprefix("extractor: ")) from None
    return extractor


ExtractorName = Annotated[str, AfterValidator(_known)]
KernelName = Literal["linear", "rbf", "poly"]
Count = Annotated[int, Field(ge=1, le=1000)]
ClassifierName = Literal["naive_bayes", "knn", "svm", "logistic_regression", "random_forest"]
# They treat columns one by one. The others use inner products alone, which row-space coordinates
# keep, and so do principal components, which are computed from these.
COLUMN_CLASSIFIERS: tuple[ClassifierName, ...] = ("naive_bayes", "random_forest")


class FeatureMapSettings(Model):
    """One extractor at one input size."""

    extractor: ExtractorName
    input_size: int | None = Field(None, ge=32, le=1024)
    pixels: Literal["dataset", "original"] = "dataset"
    pooling: Literal["flatten", "average"] = "flatten"
    mirrored: bool = False

    @property
    def name(self) -> str:
        """Display name, e.g. `mobilenet`, `xception@299-original-average`."""
        size = f"@{self.input_size}" if self.input_size else ""
        parts = [backbone_of(self.extractor).short_name + size]
        parts += ["original"] if self.pixels == "original" else []
        parts += ["average"] if self.pooling == "average" else []
        parts += ["mirrored"] if self.mirrored else []
        return "-".join(parts)


class NaiveBayesSettings(Model):
    """Gaussian naive Bayes."""

    var_smoothing: float = Field(1e-2, gt=0)
    search_var_smoothing: tuple[PositiveFloat, ...] = Field((1e-3, 1e-2, 1e-1), min_length=1)


class NeighboursSettings(Model):
    """k-nearest neighbours, by Euclidean distance."""

    n_neighbors: int = Field(5, ge=1, le=1000)
    weights: Literal["uniform", "distance"] = "distance"
    search_n_neighbors: tuple[Count, ...] = Field((1, 3, 5, 7, 11), min_length=1)


class SvmSettings(Model):
    """Support vector machine, one against one; rows have unit length, which scales gamma."""

    kernel: KernelName = "rbf"
    C: float = Field(10.0, gt=0)
    gamma: float = Field(1.0, gt=0)
    degree: int = Field(3, ge=1, le=10)
    coef0: float = Field(1.0, ge=0)
    exact_up_to: int = Field(10_000, ge=1, le=50_000)
    n_landmarks: int = Field(1000, ge=10, le=20_000)
    search_kernel: tuple[KernelName, ...] = Field(get_args(KernelName), min_length=1)
    search_C: tuple[PositiveFloat, ...] = Field((1.0, 10.0, 100.0), min_length=1)
    search_gamma: tuple[PositiveFloat, ...] = Field((0.5, 1.0, 2.0), min_length=1)


class LogisticRegressionSettings(Model):
    """Multinomial logistic regression with an L2 penalty."""

    C: float = Field(100.0, gt=0)
    search_C: tuple[PositiveFloat, ...] = Field((1.0, 10.0, 100.0, 1000.0), min_length=1)


class RandomForestSettings(Model):
    """Random forest."""

    n_estimators: int = Field(500, ge=1, le=10_000)
    min_samples_leaf: int = Field(1, ge=1, le=1000)
    search_min_samples_leaf: tuple[Count, ...] = Field((1, 2, 4), min_length=1)
    search_n_estimators: int = Field(100, ge=1, le=10_000)


class ClassifierSettings(Model):
    """The classifiers on features, their normalisation and hyper-parameters."""

    names: tuple[ClassifierName, ...] = Field(get_args(ClassifierName), min_length=1)
    naive_bayes: NaiveBayesSettings = NaiveBayesSettings()
    knn: NeighboursSettings = NeighboursSettings()
    svm: SvmSettings = SvmSettings()
    logistic_regression: LogisticRegressionSettings = LogisticRegressionSettings()
    random_forest: RandomForestSettings = RandomForestSettings()


class CombinationSettings(Model):
    """One row of the table beyond the study: features, a classifier, and how it is chosen."""

    maps: tuple[FeatureMapSettings, ...] = Field(min_length=1)
    classifier: ClassifierName = "logistic_regression"
    n_components: int | None = Field(None, ge=1)
    search: bool = False


class FeatureSettings(Model):
    """Feature extraction and classifiers on features (Part B.1)."""

    weights: Literal["imagenet", "random"] = "imagenet"
    table: tuple[FeatureMapSettings, ...] = Field(
        tuple(
            FeatureMapSettings(extractor=name)
            for name in ("vgg16", "inceptionv3", "mobilenet", "xception")
        ),
        min_length=1,
    )
    minutes: float = Field(30.0, gt=0)
    combinations: tuple[CombinationSettings, ...] = ()
    classifiers: ClassifierSettings = ClassifierSettings()

    @model_validator(mode="before")
    @classmethod
    def _choose(cls, values: Any) -> Any:
        """Values with the chosen networks in the place of `table: auto`."""
        if not isinstance(values, dict) or str(values.get("table")).casefold() != "auto":
            return values
        minutes = TypeAdapter(float).validate_python(
            values.get("minutes", cls.model_fields["minutes"].default)
        )
        return {
            **values,
            "table": [
                FeatureMapSettings(
                    extractor=name,
                    input_size=known_facts()[name].native_size,
                    pixels="original",
                    pooling="average",
                )
                for name in chosen_networks(minutes)
            ],
        }


class HeadSettings(Model):
    """A head on an extractor, and what trains it: a row of Table 9."""

    optimizer: OptimizerName = "adam"
    batch_norm: bool = False
    dropout: float = Field(0.0, ge=0, lt=1)
    extractor_norms: Literal["training", "inference"] = "training"

    @property
    def name(self) -> str:
        """Display name, e.g. `adam + batch norm + dropout`."""
        parts: list[str] = [self.optimizer]
        parts += ["batch norm"] if self.batch_norm else []
        parts += ["dropout"] if self.dropout else []
        parts += ["extractor norms in inference mode"] if self.extractor_norms != "training" else []
        return " + ".join(parts)


class FineTunedSettings(Model):
    """A network to fine-tune: an extractor at an input size, a head, and by which recipe."""

    maps: FeatureMapSettings
    head: HeadSettings = HeadSettings(batch_norm=True, dropout=0.5)
    recipe: Literal["report", "best"] = "report"

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

    def in_phase(self, phase: Literal["a", "b"]) -> "FineTunedSettings":
        """The network as a phase trains it: phase A unfreezes none of the extractor's norms."""
        change = {"extractor_norms": "training"} if phase == "a" else {}
        return self.model_copy(update={"head": self.head.model_copy(update=change)})


class UnfrozenSettings(Model):
    """Where phase B begins to train each extractor, by the extractor's name.

    A block's name, the first layer's, or a share of the depth such as 0.2, the last fifth. A name
    with folders and one without stand for the same file or preset.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str]

    vgg16: str = "block5"
    inceptionv3: str = "mixed9"
    mobilenet: str = "block12"
    xception: str = "block14"
    others: Annotated[str, AfterValidator(check_share)] = "0.2"

    @model_validator(mode="before")
    @classmethod
    def _as_text(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        pairs = list(values.items())
        for name, value in pairs:  # which grows
            if isinstance(value, dict):  # the name has dots: file:mine.keras
                pairs += [(f"{name}.{rest}", below) for rest, below in value.items()]
        numbers = {name: str(value) for name, value in pairs if isinstance(value, float | int)}
        return {name: value for name, value in pairs if not isinstance(value, dict)} | numbers

    def of(self, extractor: str) -> str:
        """Block, layer or share from which on an extractor is trained."""
        short_name = backbone_of(extractor).short_name
        entries = ((name, block) for name, block in self if name != "others")
        blocks = {backbone_of(name).short_name: block for name, block in entries}
        return str(blocks.get(short_name, self.others))


class FineTuningSettings(Model):
    """Two-phase fine-tuning of pre-trained networks (Part B.2)."""

    table: tuple[FeatureMapSettings, ...] = (
        FeatureMapSettings(extractor="vgg16"),
        FeatureMapSettings(extractor="mobilenet"),
    )
    heads: tuple[HeadSettings, ...] = tuple(
        HeadSettings(optimizer=optimizer, batch_norm=batch_norm, dropout=dropout)
        for batch_norm, dropout in ((False, 0.0), (True, 0.0), (False, 0.5), (True, 0.5))
        for optimizer in ("adam", "sgd")
    )
    further_rows: tuple[FineTunedSettings, ...] = ()
    units: int = Field(512, ge=1, le=65_536)
    unfrozen: UnfrozenSettings = UnfrozenSettings()
    activations: Literal["stored", "computed"] = "stored"
    phase_a: RecipeSettings = RecipeSettings(epochs=25, learning_rate=1e-3)
    phase_b: RecipeSettings = RecipeSettings(epochs=50, learning_rate=1e-4)
    repeated: tuple[FineTunedSettings, ...] = ()
    n_seeds: int = Field(3, ge=2, le=100)
    own: tuple[FineTunedSettings, ...] = ()
    own_splits: int = Field(8, ge=0, le=100)
    refit: bool = False
    own_phase_a: RecipeSettings = RecipeSettings.model_validate(OWN_RECIPES["phase a"])
    own_phase_b: RecipeSettings = RecipeSettings.model_validate(OWN_RECIPES["phase b"])
    own_layer_decay: float = Field(1.0, gt=0, le=1)
    own_augmentation: AugmentationName | Literal["mirrored"] = "mirrored"

    @property
    def networks(self) -> tuple[FineTunedSettings, ...]:
        """The networks of Table 9."""
        pairs = product(self.table, self.heads)
        networks = [FineTunedSettings(maps=maps, head=head) for maps, head in pairs]
        return tuple(dict.fromkeys((*networks, *self.further_rows)))
