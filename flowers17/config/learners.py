"""Settings of CNNs from scratch, and of any training (Part A.1)."""

from typing import Annotated, Literal

from pydantic import Field

from flowers17.config.base import OWN_RECIPES, Model

AugmentationName = Literal["none", "zoom", "flips", "wide", "strong"]
PrecisionName = Literal["auto", "float32", "mixed_bfloat16"]
ConvolutionsName = Literal["auto", "direct"]
OptimizerName = Literal["sgd", "adam"]
Share = Annotated[float, Field(gt=0, le=1)]
Filters = Annotated[int, Field(ge=1, le=8192)]


class LearnerDefinition(Model):
    """A CNN as a row of the table of learners: blocks, each ended by 2×2 max-pooling, a head."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    blocks: tuple[Annotated[tuple[Filters, ...], Field(min_length=1)], ...] = Field(min_length=1)
    dense: int = Field(ge=1, le=65_536)
    padding: Literal["same", "valid"] = "same"
    activation: Literal["relu", "leaky_relu", "tanh"] = "relu"


class AdversarySettings(Model):
    """Adversarial examples, made anew of every batch of a training against the network itself."""

    attack: Literal["fgsm", "pgd"] = "pgd"
    epsilon: float = Field(4, gt=0, le=255)
    n_steps: int = Field(5, ge=1, le=1000)
    share: float = Field(0.5, gt=0, le=1)

    @property
    def name(self) -> str:
        """Display name, e.g. `pgd 4`."""
        return f"{self.attack} {self.epsilon:g}"


class RecipeSettings(Model):
    """Recipe of a training: epochs, optimizer, schedule and regularisation."""

    epochs: int = Field(50, ge=1, le=100_000)
    batch_size: int = Field(32, ge=1, le=4096)
    optimizer: OptimizerName = "sgd"
    learning_rate: float = Field(0.01, gt=0)
    schedule: Literal["constant", "one-cycle"] = "constant"
    warmup: float = Field(0.2, ge=0, lt=1)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    mixup: float = Field(0.0, ge=0, le=10)
    mixup_until: float = Field(6 / 7, ge=0, le=1)
    resolutions: tuple[Share, ...] = Field((1.0,), min_length=1)
    selection: Literal["val_loss", "last"] = "val_loss"
    flips_at_test: bool = False
    adversary: AdversarySettings | None = None


class LearnersSettings(Model):
    """CNNs trained from scratch (Part A.1)."""

    plain: tuple[str, ...] = ("baseline", "mk-1", "mk-2", "mk-3")
    augmented: tuple[str, ...] = ("mk-2", "mk-3")
    augmentations: tuple[AugmentationName, ...] = ("zoom", "flips", "wide")
    recipe: RecipeSettings = RecipeSettings()
    augmented_epochs: int = Field(150, ge=1, le=100_000)
    best: tuple[str, ...] = ()
    best_augmentation: AugmentationName = "strong"
    best_recipe: RecipeSettings = RecipeSettings.model_validate(OWN_RECIPES["from scratch"])
    best_splits: int = Field(3, ge=0, le=100)
    refit: bool = False
    definitions: tuple[LearnerDefinition, ...] = ()
    precision: PrecisionName = "auto"
    convolutions: ConvolutionsName = "auto"
