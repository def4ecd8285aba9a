"""Settings of feature extraction and classifiers on features (Part B.1)."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from flowers17.backbones.choice import chosen_networks
from flowers17.backbones.facts import backbone_of, known_facts
from flowers17.config.base import Model
from flowers17.errors import InvalidSettings


def _known(extractor: str) -> str:
    """Extractor's name, if it is one; raises ValueError otherwise."""
    try:
        backbone_of(extractor)
    except InvalidSettings as problem:
        raise ValueError(str(problem).removeprefix("extractor: ")) from None
    return extractor


ExtractorName = Annotated[str, AfterValidator(_known)]
ClassifierName = Literal["naive_bayes", "knn", "svm", "logistic_regression", "random_forest"]
# They treat columns one by one. The others use inner products alone, which row-space coordinates
# keep, and so do principal components, which are computed from these.
COLUMN_CLASSIFIERS: tuple[ClassifierName, ...] = ("naive_bayes", "random_forest")


class FeatureMapSettings(Model):
    """One extractor at one input size."""

    extractor: ExtractorName = Field(
        description="the pre-trained network: one of Keras by name, `hub:PRESET` of KerasHub, "
        "`file:PATH.keras`, `module:function`, or `file:PATH.weights.h5+NETWORK`"
    )
    input_size: int | None = Field(
        None, ge=32, le=1024, description="network input in pixels; empty: the dataset's image size"
    )
    pixels: Literal["dataset", "original"] = Field(
        "dataset",
        description="`dataset`: from images of that size; `original`: from the photographs",
    )
    pooling: Literal["flatten", "average"] = Field(
        "flatten", description="the whole feature map, or its global average"
    )
    mirrored: bool = Field(
        False, description="the mean of the features of an image and of its mirror image"
    )

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

    var_smoothing: float = Field(
        1e-2, gt=0, description="share of the largest column variance added to all"
    )
    search_var_smoothing: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1e-3, 1e-2, 1e-1), min_length=1, description="values that a search tries"
    )


class NeighboursSettings(Model):
    """k-nearest neighbours, by Euclidean distance."""

    n_neighbors: int = Field(5, ge=1, le=1000, description="neighbours that vote")
    weights: Literal["uniform", "distance"] = Field(
        "distance", description="votes of equal weight, or weighted by inverse distance"
    )
    search_n_neighbors: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        (1, 3, 5, 7, 11), min_length=1, description="numbers of neighbours that a search tries"
    )


class SvmSettings(Model):
    """Support vector machine, one against one; rows have unit length, which scales gamma."""

    kernel: Literal["linear", "rbf", "poly"] = Field("rbf", description="kernel")
    C: float = Field(10.0, gt=0, description="inverse strength of the regularisation")
    gamma: float = Field(1.0, gt=0, description="scale of the RBF and polynomial kernels")
    degree: int = Field(3, ge=1, le=10, description="degree of the polynomial kernel")
    coef0: float = Field(1.0, ge=0, description="constant of the polynomial kernel")
    exact_up_to: int = Field(
        10_000,
        ge=1,
        le=50_000,
        description="training images up to which the kernel is computed whole; with more it is "
        "approximated (Nyström), one against the rest",
    )
    n_landmarks: int = Field(
        1000, ge=10, le=20_000, description="images that such an approximation is spanned by"
    )
    search_kernel: tuple[Literal["linear", "rbf", "poly"], ...] = Field(
        ("linear", "rbf", "poly"), min_length=1, description="kernels that a search tries"
    )
    search_C: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1.0, 10.0, 100.0), min_length=1, description="values of C that a search tries"
    )
    search_gamma: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.5, 1.0, 2.0), min_length=1, description="values of gamma that a search tries"
    )


class LogisticRegressionSettings(Model):
    """Multinomial logistic regression with an L2 penalty."""

    C: float = Field(100.0, gt=0, description="inverse strength of the penalty")
    search_C: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1.0, 10.0, 100.0, 1000.0), min_length=1, description="values of C that a search tries"
    )


class RandomForestSettings(Model):
    """Random forest."""

    n_estimators: int = Field(500, ge=1, le=10_000, description="trees")
    min_samples_leaf: int = Field(1, ge=1, le=1000, description="fewest images of a leaf")
    search_min_samples_leaf: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        (1, 2, 4), min_length=1, description="smallest leaves that a search tries"
    )
    search_n_estimators: int = Field(
        100, ge=1, le=10_000, description="trees of the forests that a search compares"
    )


class ClassifierSettings(Model):
    """The classifiers on features, their normalisation and hyper-parameters."""

    names: tuple[ClassifierName, ...] = Field(
        ("naive_bayes", "knn", "svm", "logistic_regression", "random_forest"),
        min_length=1,
        description="which classifiers are evaluated",
    )
    naive_bayes: NaiveBayesSettings = NaiveBayesSettings()
    knn: NeighboursSettings = NeighboursSettings()
    svm: SvmSettings = SvmSettings()
    logistic_regression: LogisticRegressionSettings = LogisticRegressionSettings()
    random_forest: RandomForestSettings = RandomForestSettings()


class CombinationSettings(Model):
    """One row of the table beyond the study: features, a classifier, and how it is chosen."""

    maps: tuple[FeatureMapSettings, ...] = Field(
        min_length=1, description="feature maps, each normalised, set side by side"
    )
    classifier: ClassifierName = Field("logistic_regression", description="the classifier")
    n_components: int | None = Field(
        None, ge=1, description="principal components kept; empty: all"
    )
    search: bool = Field(
        False,
        description="choose hyper-parameters by cross-validation on the training part, "
        "near-duplicates together",
    )


class FeatureSettings(Model):
    """Feature extraction and classifiers on features (Part B.1)."""

    weights: Literal["imagenet", "random"] = Field(
        "imagenet", description="`random` weights are untrained, and labelled so everywhere"
    )
    table: tuple[FeatureMapSettings, ...] = Field(
        tuple(
            FeatureMapSettings(extractor=name)
            for name in ("vgg16", "inceptionv3", "mobilenet", "xception")
        ),
        min_length=1,
        description="the columns of Table 8; `auto`: a small, a middle and a large network of "
        "today at their native sizes, that fit `minutes`",
    )
    minutes: float = Field(
        30.0,
        gt=0,
        description="for `table: auto`: what the features of 1,000 images may take in all, told "
        "from what `flowers17 backbones --measure` measured here, else from operations",
    )
    combinations: tuple[CombinationSettings, ...] = Field(
        (), description="what the study left out: searched, reduced, larger, together"
    )
    classifiers: ClassifierSettings = ClassifierSettings()

    @model_validator(mode="before")
    @classmethod
    def _choose(cls, values: Any) -> Any:
        """Values with the chosen networks in the place of `table: auto`."""
        if not isinstance(values, dict) or values.get("table") != "auto":
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
