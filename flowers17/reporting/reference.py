"""The study's own numbers, table by table: their only home.

Everything here was reported by the study that `flowers17` reproduces; nothing was measured by us.
"""

from dataclasses import dataclass
from typing import Literal

EXTRACTORS = {
    "vgg16": "VGG16",
    "inceptionv3": "InceptionV3",
    "mobilenet": "MobileNet",
    "xception": "Xception",
}
CLASSIFIERS = {
    "naive_bayes": "naive Bayes",
    "knn": "k-nearest neighbours",
    "svm": "support vector machine",
    "logistic_regression": "logistic regression",
    "random_forest": "random forest",
}
LEARNERS = {
    "baseline": "Baseline",
    "mk-1": "Mk-1",
    "mk-2": "Mk-2",
    "mk-3": "Mk-3",
    "mk-4": "Mk-4",
    "mk-5": "Mk-5",
    "mk-6": "Mk-6",
}
IMAGE_SIZE = 128
N_CLASSES = 17
N_TRAINING_IMAGES, N_VALIDATION = 1_020, 340
PLAIN_EPOCHS = 50
AUGMENTED_EPOCHS = 150


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


TABLE_1 = {
    "baseline": LearnerShape(1, 1, 1, "same", "ReLU", 8_390_673, ((32,),), 64),
    "mk-1": LearnerShape(4, 4, 1, "same", "ReLU", 18_337_425, ((64,), (128,), (256,), (512,)), 512),
    "mk-2": LearnerShape(
        6, 3, 1, "same", "ReLU", 33_998_257, ((32, 32), (64, 64), (128, 256)), 512
    ),
    "mk-3": LearnerShape(
        9,
        4,
        1,
        "same",
        "ReLU",
        38_386_513,
        ((32, 64), (128, 128, 128), (256, 256), (512, 512)),
        1024,
    ),
}

# Table 4 without numbers of its own: the base learners of the ensemble, as Table 1 has them.
TABLE_4 = {
    "mk-2": TABLE_1["mk-2"],
    "mk-3": TABLE_1["mk-3"],
    "mk-4": LearnerShape(
        6, 3, 1, "valid", "Leaky ReLU", 19_318_193, ((32, 32), (64, 64), (128, 256)), 512
    ),
    "mk-5": LearnerShape(
        7, 4, 1, "valid", "tanh", 11_285_777, ((64,), (128, 128), (256, 256), (256, 512)), 1024
    ),
    "mk-6": LearnerShape(
        6, 3, 1, "same", "Leaky ReLU", 34_598_417, ((64, 64), (64, 128), (256, 256)), 512
    ),
}


@dataclass(frozen=True)
class Trained:
    """A network at the epoch of its lowest validation loss; accuracies on 1,020 and 340 images."""

    train_accuracy: float
    validation_accuracy: float
    train_loss: float | None = None
    validation_loss: float | None = None


TABLE_2 = {
    "baseline": Trained(0.809, 0.541, 0.686, 1.459),
    "mk-1": Trained(0.741, 0.526, 0.777, 1.477),
    "mk-2": Trained(0.664, 0.461, 1.03, 1.718),
    "mk-3": Trained(0.503, 0.455, 1.427, 1.784),
}
# By learner and augmentation: `none`, and `wide`, the study's #3.
TABLE_3 = {
    "mk-2": {"none": Trained(0.664, 0.461), "wide": Trained(0.815, 0.764)},
    "mk-3": {"none": Trained(0.503, 0.455), "wide": Trained(0.732, 0.747)},
}
# Validation accuracy on 340 images, of each base learner, trained under augmentation #3.
TABLE_5 = {"mk-2": 0.773, "mk-3": 0.788, "mk-4": 0.705, "mk-5": 0.723, "mk-6": 0.744}
AVERAGE_OF_TABLE_5 = 0.808
# By a random forest fitted on predictions for the learners' own training images.
STACKING_OF_TABLE_5 = 0.820
BEST_SINGLE_NETWORK = max(TABLE_5.values())
# Impurity importance in that random forest, summed over a learner's outputs.
TABLE_6 = {"mk-2": 0.268, "mk-3": 0.294, "mk-4": 0.076, "mk-5": 0.178, "mk-6": 0.182}


@dataclass(frozen=True)
class ExtractorShape:
    """One row of Table 7: an extractor without its top, on 128×128 images.

    shape: of the feature map, height, width, channels; n_columns: their product.
    """

    n_layers: int
    n_parameters: int
    shape: tuple[int, int, int]
    n_columns: int


TABLE_7 = {
    "vgg16": ExtractorShape(19, 14_714_688, (4, 4, 512), 8_192),
    "inceptionv3": ExtractorShape(311, 21_768_352, (2, 2, 2048), 8_192),
    "mobilenet": ExtractorShape(87, 3_206_976, (4, 4, 1024), 16_384),
    "xception": ExtractorShape(132, 20_806_952, (4, 4, 2048), 32_768),
}

# Validation accuracy on 340 images, by classifier and extractor.
TABLE_8 = {
    "naive_bayes": {"vgg16": 0.450, "inceptionv3": 0.655, "mobilenet": 0.705, "xception": 0.364},
    "knn": {"vgg16": 0.664, "inceptionv3": 0.711, "mobilenet": 0.852, "xception": 0.685},
    "svm": {"vgg16": 0.838, "inceptionv3": 0.805, "mobilenet": 0.929, "xception": 0.770},
    "logistic_regression": {
        "vgg16": 0.891,
        "inceptionv3": 0.864,
        "mobilenet": 0.944,
        "xception": 0.820,
    },
    "random_forest": {"vgg16": 0.864, "inceptionv3": 0.820, "mobilenet": 0.926, "xception": 0.794},
}
BEST_OF_TABLE_8 = max(value for row in TABLE_8.values() for value in row.values())


@dataclass(frozen=True)
class TwoPhases:
    """Validation accuracy on 340 images of a fine-tuned network: head alone, last blocks too."""

    a: float
    b: float


# By configuration, as `HeadSettings.name` calls it, and extractor.
TABLE_9 = {
    "adam": {"vgg16": TwoPhases(0.891, 0.920), "mobilenet": TwoPhases(0.938, 0.941)},
    "sgd": {"vgg16": TwoPhases(0.779, 0.867), "mobilenet": TwoPhases(0.891, 0.902)},
    "adam + batch norm": {"vgg16": TwoPhases(0.888, 0.932), "mobilenet": TwoPhases(0.949, 0.947)},
    "sgd + batch norm": {"vgg16": TwoPhases(0.808, 0.844), "mobilenet": TwoPhases(0.882, 0.882)},
    "adam + dropout": {"vgg16": TwoPhases(0.888, 0.923), "mobilenet": TwoPhases(0.935, 0.947)},
    "sgd + dropout": {"vgg16": TwoPhases(0.785, 0.876), "mobilenet": TwoPhases(0.917, 0.911)},
    "adam + batch norm + dropout": {
        "vgg16": TwoPhases(0.885, 0.941),
        "mobilenet": TwoPhases(0.947, 0.967),
    },
    "sgd + batch norm + dropout": {
        "vgg16": TwoPhases(0.805, 0.855),
        "mobilenet": TwoPhases(0.905, 0.908),
    },
}
BEST_OF_TABLE_9 = max(phases.b for row in TABLE_9.values() for phases in row.values())
HEAD_UNITS = 512
DROPOUT = 0.5
PHASE_EPOCHS = {"a": 25, "b": 50}
PHASE_RATES = {"a": 1e-3, "b": 1e-4}

PartName = Literal["data", "a1", "a2", "b1", "b2", "c"]


@dataclass(frozen=True)
class Part:
    """One part of the study; `built` tells whether this version of the pipeline runs it."""

    name: PartName
    title: str
    built: bool
    about: str


PARTS = (
    Part("data", "Data", True, "Images, near-duplicates and splits."),
    Part(
        "a1",
        "Part A.1: CNNs from scratch",
        True,
        "Small networks trained on the images alone, without and with augmentation: as the study "
        "trains them, and by a recipe of our own.",
    ),
    Part(
        "a2",
        "Part A.2: ensemble",
        True,
        "Base models averaged, and stacked under a meta-learner: the study’s way, which fits the "
        "meta-learner on images that the base models were trained on, beside the way that does "
        "not.",
    ),
    Part(
        "b1",
        "Part B.1: feature extraction",
        True,
        "Networks trained on ImageNet turn each image into a feature map; a classical classifier "
        "learns the flowers from it.",
    ),
    Part(
        "b2",
        "Part B.2: fine-tuning",
        True,
        "A head on a network trained on ImageNet, learnt while the network is frozen (phase A), "
        "then together with the network’s last blocks (phase B); and the best of each part.",
    ),
    Part(
        "c",
        "Part C: adversarial machine learning",
        True,
        "FGSM, the one-pixel attack and JSMA against the classifiers, beside PGD and noise; what "
        "fools one model shown to the others; and checks of the attacks themselves.",
    ),
)


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


CONTENTS = (
    Entry("table", 1, "The networks trained from scratch: layers and parameters", "a1"),
    Entry("table", 2, "Networks trained on plain data, at the lowest validation loss", "a1"),
    Entry("table", 3, "Mk-2 and Mk-3 without and with augmentation", "a1"),
    Entry("table", 4, "The base learners of the ensemble, Mk-2 to Mk-6", "a2"),
    Entry("table", 5, "Base learners, their average, and stacking", "a2"),
    Entry("table", 6, "Feature importance of each base learner", "a2"),
    Entry("table", 7, "The extractors and their feature maps", "b1"),
    Entry("table", 8, "Classifiers on extracted features", "b1"),
    Entry("table", 9, "Fine-tuning VGG16 and MobileNet, eight configurations", "b2"),
    Entry("table", 10, "The best of each part", "b2"),
    Entry("figure", 1, "One random image of each class", "data"),
    Entry("figure", 2, "Learning curves on plain data", "a1"),
    Entry("figure", 3, "Learning curves of Mk-2 under three augmentations", "a1"),
    Entry("figure", 4, "Learning curves of Mk-3 under three augmentations", "a1"),
    Entry("figure", 5, "The ensemble’s forward pass", "a2"),
    Entry("figure", 6, "Importance of each of the ensemble’s 85 outputs", "a2"),
    Entry("figure", 7, "Feature extraction: the forward pass", "b1"),
    Entry("figure", 8, "Fine-tuning: the forward pass", "b2"),
)


def title_of(kind: Literal["table", "figure"], number: int) -> str:
    """The title of one of the study's tables or figures.

    >>> title_of("table", 8)
    'Classifiers on extracted features'
    """
    return next(entry.title for entry in CONTENTS if (entry.kind, entry.number) == (kind, number))
