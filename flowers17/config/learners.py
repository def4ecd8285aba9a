"""Settings of CNNs from scratch, and of any training (Part A.1)."""

from typing import Annotated, Literal

from pydantic import Field

from flowers17.config.base import Model

AugmentationName = Literal["none", "zoom", "flips", "wide", "strong"]
PrecisionName = Literal["auto", "float32", "mixed_bfloat16"]
ConvolutionsName = Literal["auto", "direct"]
OptimizerName = Literal["sgd", "adam"]


Filters = Annotated[int, Field(ge=1, le=8192)]


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
        """Display name, e.g. `pgd 4`."""
        return f"{self.attack} {self.epsilon:g}"


class RecipeSettings(Model):
    """Recipe of a training: epochs, optimizer, schedule and regularisation."""

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
            batch_size=32,
            learning_rate=0.03,
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
    refit: bool = Field(
        False, description="train each network once more, on all images, to predict with"
    )
    definitions: tuple[LearnerDefinition, ...] = Field((), description="learners of your own")
    precision: PrecisionName = Field(
        "auto", description="`auto`: mixed_bfloat16 where the processor or GPU computes in it"
    )
    convolutions: ConvolutionsName = Field(
        "auto",
        description="of trainings and fine-tuning; `auto`: in float32 on a processor those over "
        "many channels by Winograd's minimal filtering, which rounds differently; `direct`: all "
        "as the backend does",
    )
