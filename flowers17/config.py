"""Typed, frozen settings of a study, and where it reads and writes.

`StudySettings` decides a study's numbers. Where things lie and how many workers there are is in
`Places`, which never enters an artifact's key. Profiles over them are in `profiles`, and what a
person asks for in `request`. One long module, since a value has one home and the form shows all.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ExtractorName = Literal["vgg16", "inceptionv3", "mobilenet", "xception"]
ClassifierName = Literal["naive_bayes", "knn", "svm", "logistic_regression", "random_forest"]
ProfileName = Literal["demo", "quick", "report", "best"]
RunnerName = Literal["local", "processes"]
AugmentationName = Literal["none", "zoom", "flips", "wide", "strong"]
PrecisionName = Literal["auto", "float32", "mixed_bfloat16"]
DeviceName = Literal["auto", "cpu", "gpu"]
MetaLearnerName = Literal["random_forest", "logistic_regression", "gradient_boosting"]


Filters = Annotated[int, Field(ge=1, le=8192)]


class Model(BaseModel):
    """A frozen model that rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DatasetSettings(Model):
    """Which images, at which size."""

    source: str = Field(
        "rendered",
        min_length=1,
        description="`rendered`, `oxford17`, or the path of an archive or of a folder of class "
        "folders",
    )
    image_size: int = Field(128, ge=16, le=1024, description="side of the square images, in pixels")
    n_classes: int = Field(17, ge=2, le=17, description="classes of the rendered flowers")
    images_per_class: int = Field(
        80, ge=2, le=10_000, description="images a class of the rendered flowers"
    )


class SplitSettings(Model):
    """How images are divided into training and validation."""

    validation_fraction: float = Field(
        0.25, gt=0, lt=1, description="share of a class held out; 0.25 gives the report's 60/20"
    )
    n_repeats: int = Field(
        8, ge=0, le=100, description="further clean splits, for means and intervals"
    )


class FeatureMapSettings(Model):
    """One extractor at one input size."""

    extractor: ExtractorName = Field(description="the pre-trained network")
    input_size: int | None = Field(
        None, ge=32, le=512, description="network input in pixels; empty: the dataset's image size"
    )
    pixels: Literal["dataset", "original"] = Field(
        "dataset",
        description="`dataset`: from images of that size; `original`: from the photographs",
    )
    pooling: Literal["flatten", "average"] = Field(
        "flatten", description="the whole feature map, or its global average"
    )

    @property
    def name(self) -> str:
        """How tables and logs call it, e.g. `mobilenet`, `xception@299-original-average`."""
        size = f"@{self.input_size}" if self.input_size else ""
        parts = [self.extractor + size]
        parts += ["original"] if self.pixels == "original" else []
        parts += ["average"] if self.pooling == "average" else []
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
        False, description="choose hyper-parameters by cross-validation on the training part"
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
        description="the columns of Table 8",
    )
    combinations: tuple[CombinationSettings, ...] = Field(
        (), description="what the study left out: searched, reduced, larger, together"
    )
    classifiers: ClassifierSettings = ClassifierSettings()


class LearnerDefinition(Model):
    """A CNN as a row of the table of learners: blocks, each ended by 2×2 max-pooling, a head."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9-]*$", description="lower-case letters, digits and dashes"
    )
    blocks: tuple[Annotated[tuple[Filters, ...], Field(min_length=1)], ...] = Field(
        min_length=1, description="filters of the 3×3 convolutions of each block"
    )
    dense: int = Field(ge=1, le=65_536, description="units of the hidden dense layer")
    padding: Literal["same", "valid"] = Field("same", description="padding of the convolutions")
    activation: Literal["relu", "leaky_relu", "tanh"] = Field(
        "relu", description="activation of convolutions and dense layer"
    )


class RecipeSettings(Model):
    """How a network is trained."""

    epochs: int = Field(50, ge=1, le=100_000, description="passes over the training images")
    batch_size: int = Field(32, ge=1, le=4096, description="images a step")
    learning_rate: float = Field(0.01, gt=0, description="its highest value, if it changes")
    schedule: Literal["constant", "one-cycle"] = Field(
        "constant", description="`one-cycle`: a linear rise, then a cosine down to zero"
    )
    warmup: float = Field(0.2, ge=0, lt=1, description="share of a one-cycle schedule that rises")
    momentum: float = Field(0.0, ge=0, lt=1, description="Nesterov momentum; 0: plain SGD")
    weight_decay: float = Field(
        0.0, ge=0, lt=1, description="share of the kernels taken off each step, times the rate"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="probability spread evenly over all classes"
    )
    mixup: float = Field(
        0.0, ge=0, le=10, description="both parameters of mixup's beta distribution; 0: no mixup"
    )
    mixup_until: float = Field(
        6 / 7, ge=0, le=1, description="share of the epochs after which mixup ends"
    )
    resolutions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (1.0,),
        min_length=1,
        description="parts of the image size trained on, each for an equal share of the epochs",
    )
    selection: Literal["val_loss", "last"] = Field(
        "val_loss",
        description="which epoch's weights are kept: the lowest validation loss, or the last",
    )
    flips_at_test: bool = Field(
        False, description="average the probabilities of an image and its mirror image"
    )

    def resolution(self, epoch: int) -> float:
        """Return the part of the image size that an epoch, from 1, is trained at.

        With fewer epochs than resolutions, the first ones are left out.

        >>> two = RecipeSettings(epochs=3, resolutions=(0.5, 1.0))
        >>> [two.resolution(epoch) for epoch in (1, 2, 3)]
        [0.5, 0.5, 1.0]
        """
        parts = self.resolutions[-self.epochs :]
        return parts[(epoch - 1) * len(parts) // self.epochs]


class LearnersSettings(Model):
    """CNNs trained from scratch (Part A.1)."""

    plain: tuple[str, ...] = Field(
        ("baseline", "mk-1", "mk-2", "mk-3"),
        description="learners trained on plain data: names, definitions' names, or module:function",
    )
    augmented: tuple[str, ...] = Field(
        ("mk-2", "mk-3"), description="learners trained under each of the augmentations"
    )
    augmentations: tuple[AugmentationName, ...] = Field(
        ("zoom", "flips", "wide"), description="the study's #1, #2 and #3"
    )
    recipe: RecipeSettings = Field(RecipeSettings(), description="of the study")
    augmented_epochs: int = Field(
        150, ge=1, le=100_000, description="epochs of the study's recipe under augmentation"
    )
    best: tuple[str, ...] = Field((), description="learners trained with our own recipe")
    best_augmentation: AugmentationName = Field("strong", description="of our own recipe")
    best_recipe: RecipeSettings = Field(
        RecipeSettings(
            epochs=80,
            batch_size=64,
            learning_rate=0.05,
            schedule="one-cycle",
            momentum=0.9,
            weight_decay=5e-3,
            label_smoothing=0.1,
            mixup=0.2,
            resolutions=(0.5, 0.75, 1.0),
            selection="last",
            flips_at_test=True,
        ),
        description="our own",
    )
    best_splits: int = Field(
        3,
        ge=0,
        le=100,
        description="repeated clean splits for our own recipe, at most those there are",
    )
    definitions: tuple[LearnerDefinition, ...] = Field((), description="learners of your own")
    precision: PrecisionName = Field(
        "auto", description="`auto`: mixed_bfloat16 where the processor or GPU computes in it"
    )


class MemberSettings(Model):
    """One base model of an ensemble: a network from scratch, or a classifier on features."""

    learner: str | None = Field(
        None, description="a network: a name as in `learners.plain`; empty: a classifier"
    )
    recipe: Literal["report", "best"] = Field(
        "report", description="how the network is trained: as in the study, or by our own recipe"
    )
    augmentation: AugmentationName = Field(
        "wide", description="of a network under the study's recipe; our own has its own"
    )
    classifier: ClassifierName | None = Field(None, description="a classifier on `maps`")
    maps: tuple[FeatureMapSettings, ...] = Field((), description="feature maps of the classifier")

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "MemberSettings":
        if bool(self.learner) == bool(self.classifier) or bool(self.classifier) != bool(self.maps):
            raise ValueError(
                "expected either `learner`, or `classifier` and `maps`, got "
                f"learner {self.learner!r}, classifier {self.classifier!r} and {len(self.maps)} "
                "maps; give one of the two"
            )
        return self

    @property
    def name(self) -> str:
        """How tables call it, e.g. `mk-2 wide`, `residual best`, `svm on mobilenet`."""
        if self.learner:
            how = "best" if self.recipe == "best" else self.augmentation
            return self.learner if how == "none" else f"{self.learner} {how}"
        return f"{self.classifier} on {' + '.join(one.name for one in self.maps)}"

    @property
    def combination(self) -> CombinationSettings:
        """The classifier and its feature maps."""
        return CombinationSettings.model_validate(
            {"maps": self.maps, "classifier": self.classifier}
        )


class EnsembleDefinition(Model):
    """Base models whose probabilities are averaged and stacked."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9-]*$", description="lower-case letters, digits and dashes"
    )
    members: tuple[MemberSettings, ...] = Field(
        min_length=2, description="the base models, two or more"
    )

    @model_validator(mode="after")
    def _has_distinct_members(self) -> "EnsembleDefinition":
        names = [one.name for one in self.members]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(
                f"ensemble {self.name}: expected distinct members, got {twice} twice; drop one"
            )
        return self


class EnsembleSettings(Model):
    """Out-of-fold probabilities, averaging and stacking (Part A.2)."""

    ensembles: tuple[EnsembleDefinition, ...] = Field(
        (
            EnsembleDefinition(
                name="study",
                members=tuple(MemberSettings(learner=f"mk-{number}") for number in range(2, 7)),
            ),
        ),
        description="which base models are combined; `study` has the study's five",
    )
    splits: tuple[str, ...] = Field(
        ("clean",),
        min_length=1,
        description="splits whose training images are divided into folds: `clean`, `report`, "
        "`repeat-01` …; their validation images choose nothing",
    )
    n_folds: int = Field(5, ge=2, le=20, description="folds of a split's training images")
    choosing_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="share of a fold's training images that the epoch is chosen on",
    )
    meta_learners: tuple[MetaLearnerName, ...] = Field(
        ("random_forest", "logistic_regression", "gradient_boosting"),
        min_length=1,
        description="what is fitted on the base models' probabilities",
    )


class StudySettings(Model):
    """Everything that decides a study's numbers."""

    seed: int = Field(17, ge=0, lt=2**31, description="root of every derived seed")
    dataset: DatasetSettings = DatasetSettings()
    splits: SplitSettings = SplitSettings()
    learners: LearnersSettings = LearnersSettings()
    features: FeatureSettings = FeatureSettings()
    ensemble: EnsembleSettings = EnsembleSettings()


class Places(Model):
    """Where a study reads and writes, and how it is executed; never part of a key."""

    store: Path = Field(Path("store"), description="folder of the artifact store")
    weights_dir: Path | None = Field(
        None, description="folder with extractor weights; empty: Keras's download"
    )
    runner: RunnerName = Field(
        "local", description="`local`: one stage at a time; `processes`: several"
    )
    workers: int = Field(
        2, ge=1, le=256, description="stages at a time under the runner `processes`"
    )
    device: DeviceName = Field(
        "auto", description="what trains: `gpu` fails without one, `auto` uses it if there is one"
    )
    tensorboard: Path | None = Field(
        None, description="folder for TensorBoard's logs of every training; empty: none"
    )
