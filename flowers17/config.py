"""Typed, frozen settings of a study, and where it reads and writes.

`StudySettings` decides a study's numbers. Where things lie and how many workers there are is in
`Places`, which never enters an artifact's key. Profiles over them are in `profiles`, and what a
person asks for in `request`. One long module, since a value has one home and the form shows all.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

ExtractorName = Literal["vgg16", "inceptionv3", "mobilenet", "xception"]
ClassifierName = Literal["naive_bayes", "knn", "svm", "logistic_regression", "random_forest"]
ProfileName = Literal["demo", "quick", "report", "best"]
RunnerName = Literal["local", "processes"]
AugmentationName = Literal["none", "zoom", "flips", "wide", "strong"]
PrecisionName = Literal["auto", "float32", "mixed_bfloat16"]
DeviceName = Literal["auto", "cpu", "gpu"]
OptimizerName = Literal["sgd", "adam"]
PoisonName = Literal["labels", "patch"]
MetaLearnerName = Literal["random_forest", "logistic_regression", "gradient_boosting"]
AttackName = Literal["noise", "fgsm", "pgd", "targeted", "jsma", "one_pixel"]
MethodName = Literal["chosen", "average", "weighted_average", MetaLearnerName]


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


class AdversarySettings(Model):
    """Adversarial examples, made anew of every batch of a training against the network itself."""

    attack: Literal["fgsm", "pgd"] = Field("pgd", description="one step, or several within reach")
    epsilon: float = Field(
        4, gt=0, le=255, description="L-infinity budget in 255ths: steps of 8-bit colours"
    )
    n_steps: int = Field(5, ge=1, le=1000, description="gradient steps of `pgd`")
    share: float = Field(0.5, gt=0, le=1, description="share of each batch that is attacked")

    @property
    def name(self) -> str:
        """How tables call it, e.g. `pgd 4`."""
        return f"{self.attack} {self.epsilon:g}"


class FilterSettings(Model):
    """A smoothing filter in front of a network."""

    kind: Literal["median", "gaussian", "bits"] = Field(
        description="median of a square, Gaussian blur, or fewer grey levels"
    )
    strength: float = Field(
        gt=0,
        description="side of the square (odd), standard deviation in pixels, or bits a channel",
    )

    @model_validator(mode="after")
    def _has_a_strength_of_its_kind(self) -> "FilterSettings":
        whole, size = self.strength == int(self.strength), int(self.strength)
        fits = {
            "median": whole and size >= 3 and size % 2 == 1,
            "gaussian": True,
            "bits": whole and 1 <= size <= 8,
        }
        if not fits[self.kind]:
            raise ValueError(
                "strength: expected an odd whole number from 3 on for `median`, or one from 1 to 8 "
                f"for `bits`, got {self.strength:g} for `{self.kind}`"
            )
        return self

    @property
    def name(self) -> str:
        """How tables call it, e.g. `median 3`, `gaussian 0.8`, `4 bits`."""
        number = f"{self.strength:g}"
        return f"{number} bits" if self.kind == "bits" else f"{self.kind} {number}"


class RecipeSettings(Model):
    """How a network is trained."""

    epochs: int = Field(50, ge=1, le=100_000, description="passes over the training images")
    batch_size: int = Field(32, ge=1, le=4096, description="images a step")
    optimizer: OptimizerName = Field(
        "sgd", description="stochastic gradient descent, or Adam (which has its own momentum)"
    )
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
    adversary: AdversarySettings | None = Field(
        None, description="adversarial examples among the batches; empty: none"
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


class HeadSettings(Model):
    """A head on an extractor, and what trains it: a row of Table 9."""

    optimizer: OptimizerName = Field("adam", description="of both phases")
    batch_norm: bool = Field(False, description="batch normalisation of the dense layer")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the dense layer's units dropped")

    @property
    def name(self) -> str:
        """How tables call it, e.g. `adam + batch norm + dropout`."""
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

    @property
    def name(self) -> str:
        """How tables call it, e.g. `mobilenet adam + dropout`, `xception@299 adam, best`."""
        return f"{self.maps.name} {self.head.name}{', best' if self.recipe == 'best' else ''}"


class UnfrozenSettings(Model):
    """The first block of each extractor that phase B trains, with all behind it."""

    vgg16: str = Field("block5", description="`block1` to `block5`")
    inceptionv3: str = Field("mixed9", description="`mixed1` to `mixed10`")
    mobilenet: str = Field("block12", description="`block1` to `block13`")
    xception: str = Field("block14", description="`block2` to `block14`")


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
    own_phase_a: RecipeSettings = Field(
        RecipeSettings(
            epochs=20,
            learning_rate=1e-3,
            schedule="one-cycle",
            label_smoothing=0.1,
            selection="last",
            flips_at_test=True,
        ),
        description="of our own recipe, the extractor frozen",
    )
    own_phase_b: RecipeSettings = Field(
        RecipeSettings(
            epochs=20,
            learning_rate=1e-4,
            schedule="one-cycle",
            label_smoothing=0.1,
            selection="last",
            flips_at_test=True,
        ),
        description="of our own recipe, the last blocks unfrozen",
    )
    own_augmentation: AugmentationName | Literal["mirrored"] = Field(
        "mirrored",
        description="of our own recipe; `mirrored`: mirrored images too, their activations stored",
    )


class MemberSettings(Model):
    """One base model of an ensemble: a network from scratch or fine-tuned, or a classifier."""

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
    fine_tuned: FineTunedSettings | None = Field(None, description="a fine-tuned network")

    @model_validator(mode="after")
    def _is_one_of_three(self) -> "MemberSettings":
        given = [bool(self.learner), bool(self.classifier), bool(self.fine_tuned)]
        if sum(given) != 1 or bool(self.classifier) != bool(self.maps):
            raise ValueError(
                "expected either `learner`, or `classifier` and `maps`, or `fine_tuned`, got "
                f"learner {self.learner!r}, classifier {self.classifier!r}, {len(self.maps)} maps "
                f"and {'a' if self.fine_tuned else 'no'} fine-tuned network; give one of the three"
            )
        return self

    @property
    def name(self) -> str:
        """How tables call it, e.g. `mk-2 wide`, `residual best`, `svm on mobilenet`."""
        if self.fine_tuned:
            return self.fine_tuned.name
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


def _from_scratch(one: MemberSettings) -> MemberSettings:
    if not one.learner:
        raise ValueError(f"expected a network from scratch, got {one.name}; give its `learner`")
    return one


NetworkSettings = Annotated[MemberSettings, AfterValidator(_from_scratch)]


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


class TargetedSettings(Model):
    """PGD towards targets: the source/target matrix."""

    n_images: int = Field(102, ge=1, le=100_000, description="images attacked, at most")
    n_targets: int = Field(
        16, ge=1, le=1000, description="targets of each image, drawn from the other classes"
    )


class JsmaSettings(Model):
    """The Jacobian-based saliency map attack."""

    n_images: int = Field(17, ge=1, le=100_000, description="images attacked, at most")
    n_targets: int = Field(
        1, ge=1, le=1000, description="targets of each image, drawn from the other classes"
    )
    theta: float = Field(1.0, ge=-1, le=1, description="what a step adds to a feature; not 0")
    gamma: float = Field(0.145, gt=0, le=1, description="share of the features that may change")
    variant: Literal["pairwise", "single"] = Field(
        "pairwise", description="two features by all classes, as in the paper, or by the target's"
    )

    @model_validator(mode="after")
    def _moves(self) -> "JsmaSettings":
        if self.theta == 0:
            raise ValueError("expected a theta other than 0, which changes nothing, got 0")
        return self


class OnePixelSettings(Model):
    """The one-pixel attack."""

    n_images: int = Field(102, ge=1, le=100_000, description="images attacked, at most")
    n_pixels: int = Field(1, ge=1, le=1000, description="pixels that may change")
    population: int = Field(400, ge=3, le=100_000, description="candidates of an image")
    generations: int = Field(100, ge=0, le=100_000, description="generations of children, at most")
    images_per_batch: int = Field(
        4, ge=1, le=100_000, description="images after which a killed attack goes on"
    )


Budget = Annotated[float, Field(gt=0, le=255)]


class AttackSettings(Model):
    """Attacks on the study's models (Part C)."""

    models: tuple[MemberSettings, ...] = Field(
        (MemberSettings(learner="mk-2"),),
        description="networks and classifiers attacked: as an ensemble's members, refitted on the "
        "split's training images",
    )
    fine_tuned: tuple[FineTunedSettings, ...] = Field(
        (), description="fine-tuned networks attacked, at their own size of images"
    )
    methods: tuple[MethodName, ...] = Field(
        ("random_forest",),
        description="ways of combining in which the ensembles of the split are attacked, as black "
        "boxes; `chosen`: each one's own",
    )
    split: str = Field("clean", min_length=1, description="whose validation images are attacked")
    n_images: int = Field(
        340, ge=1, le=100_000, description="images attacked, at most, drawn evenly from the classes"
    )
    attacks: tuple[AttackName, ...] = Field(
        ("noise", "fgsm", "pgd", "targeted", "jsma", "one_pixel"),
        description="`targeted` is PGD towards every class; networks alone have gradients",
    )
    budgets: tuple[Budget, ...] = Field(
        (0.5, 1, 2, 4, 8, 16, 32, 64, 128),
        description="L-infinity budgets of noise, FGSM and PGD, in 255ths: steps of 8-bit colours",
    )
    budget: Budget = Field(
        8, description="the one of targeted attacks, transfer and pictures, in 255ths"
    )
    pgd_steps: int = Field(20, ge=1, le=100_000, description="steps of PGD, each 2.5 ε over them")
    targeted: TargetedSettings = TargetedSettings()
    jsma: JsmaSettings = JsmaSettings()
    one_pixel: OnePixelSettings = OnePixelSettings()
    images_per_batch: int = Field(
        32, ge=1, le=100_000, description="images after which a killed attack goes on"
    )


class DetectorSettings(Model):
    """A small CNN that refuses images which it takes for adversarial."""

    budgets: tuple[Budget, ...] = Field(
        (2, 4), min_length=1, description="of the FGSM and PGD images it is trained on, in 255ths"
    )
    recipe: RecipeSettings = Field(
        RecipeSettings(epochs=10, batch_size=64, optimizer="adam", learning_rate=1e-3),
        description="how it is trained",
    )
    held_out: float = Field(
        0.2, gt=0, lt=1, description="share of the training images that choose epoch and threshold"
    )
    false_alarms: float = Field(
        0.05, ge=0, lt=1, description="share of clean images that may be refused"
    )

    @property
    def name(self) -> str:
        """How tables call it, e.g. `detector of 2, 4`."""
        return f"detector of {', '.join(f'{one:g}' for one in self.budgets)}"


class DefenceSettings(Model):
    """Defences, each against attacks that know it (Part C)."""

    networks: tuple[NetworkSettings, ...] = Field(
        (MemberSettings(learner="mk-2"),), description="networks from scratch that are defended"
    )
    adversaries: tuple[AdversarySettings, ...] = Field(
        (AdversarySettings(attack="fgsm"), AdversarySettings()),
        description="against which they are trained again",
    )
    filters: tuple[FilterSettings, ...] = Field(
        (
            FilterSettings(kind="median", strength=3),
            FilterSettings(kind="gaussian", strength=1),
            FilterSettings(kind="bits", strength=4),
        ),
        description="put in front of them",
    )
    detectors: tuple[DetectorSettings, ...] = Field(
        (DetectorSettings(),), description="beside them"
    )
    budgets: tuple[Budget, ...] = Field(
        (1, 2, 4, 8), min_length=1, description="of FGSM and PGD, in 255ths"
    )


class PoisoningSettings(Model):
    """Poisoned training images, and what they do (Part C)."""

    networks: tuple[NetworkSettings, ...] = Field(
        (MemberSettings(learner="mk-2"),), description="networks from scratch that are poisoned"
    )
    kinds: tuple[PoisonName, ...] = Field(
        ("labels", "patch"), description="wrong labels, or a patch that opens a backdoor"
    )
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (0, 0.1), description="shares of the training images; 0: the same, not poisoned"
    )
    target: int = Field(0, ge=0, description="class, from 0, that the patch is to be taken for")
    patch_size: float = Field(0.1, gt=0, le=0.5, description="side of the patch, in image sides")


class StudySettings(Model):
    """Everything that decides a study's numbers."""

    seed: int = Field(17, ge=0, lt=2**31, description="root of every derived seed")
    dataset: DatasetSettings = DatasetSettings()
    splits: SplitSettings = SplitSettings()
    learners: LearnersSettings = LearnersSettings()
    features: FeatureSettings = FeatureSettings()
    fine_tuning: FineTuningSettings = FineTuningSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    attacks: AttackSettings = AttackSettings()
    defences: DefenceSettings = DefenceSettings()
    poisoning: PoisoningSettings = PoisoningSettings()


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
