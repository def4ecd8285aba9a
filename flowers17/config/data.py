"""Settings of the data set and its splits."""

from typing import Literal

from pydantic import Field

from flowers17.config.base import Model

ResizeName = Literal["crop", "pad", "stretch"]


class ColumnSettings(Model):
    """The columns of a table of images; empty: guessed from the usual names."""

    path: str = ""
    label: str = ""
    part: str = ""
    group: str = ""


class DatasetSettings(Model):
    """The images and their size."""

    source: str = Field("rendered", min_length=1)
    columns: ColumnSettings = ColumnSettings()
    links: Literal["inside", "follow"] = "inside"
    max_megapixels: int = Field(64, ge=1, le=1000)
    truncated: Literal["refuse", "read"] = "refuse"
    image_size: int = Field(128, ge=16, le=1024)
    resize: ResizeName = "crop"
    n_classes: int = Field(17, ge=2, le=17)
    images_per_class: int = Field(80, ge=2, le=10_000)


class SplitSettings(Model):
    """The division of images into training and validation."""

    validation_fraction: float = Field(0.25, gt=0, lt=1)
    n_repeats: int = Field(8, ge=0, le=100)
    near_duplicates: Literal["similar", "identical", "none"] = "similar"
    contradictions: Literal["error", "warning"] = "error"
