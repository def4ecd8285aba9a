"""Settings of the report's part on what to do next."""

from typing import Annotated, Literal

from pydantic import Field

from flowers17.config.base import Model
from flowers17.config.ensemble import NetworkSettings

QuestionName = Literal["more_images", "labels", "certainty", "saliency", "costs"]


class NextStepsSettings(Model):
    """Which questions are asked of a study's models, and how."""

    questions: tuple[QuestionName, ...] = Field(
        ("more_images", "labels", "certainty", "saliency", "costs"),
        description="would more images help, which labels look wrong, how sure is a prediction, "
        "what does a model look at, what does a prediction cost",
    )
    n_classifiers: int = Field(
        2, ge=1, le=100, description="best classifiers on features whose learning curve is measured"
    )
    learners: tuple[NetworkSettings, ...] = Field(
        (),
        description="networks from scratch whose learning curve is measured, too: each is trained "
        "on every share of every split, which `plan` tells the time of",
    )
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.1, 0.2, 0.35, 0.5, 0.7, 1.0),
        min_length=1,
        description="shares of a clean split's training images, each class alike",
    )
    n_splits: int = Field(8, ge=1, description="repeated clean splits that a curve is measured on")
    coverage: float = Field(
        0.95, gt=0, lt=1, description="share of images whose set of classes holds the right one"
    )
    n_saliency_images: int = Field(
        6, ge=1, le=100, description="worst mistakes whose saliency is shown, and as many others"
    )
