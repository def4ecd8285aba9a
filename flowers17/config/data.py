"""Settings of the data set and its splits."""

from typing import Literal

from pydantic import Field

from flowers17.config.base import Model

ResizeName = Literal["crop", "pad", "stretch"]


class ColumnSettings(Model):
    """The columns of a table of images; empty: guessed from the usual names."""

    path: str = Field("", description="column of the images' paths, from the table's folder")
    label: str = Field("", description="column of their classes")
    part: str = Field("", description="column that says train, validation or test; `-`: none")
    group: str = Field(
        "",
        description="column of what must stay on one side: a patient, a plant, a day; `-`: none",
    )


class DatasetSettings(Model):
    """The images and their size."""

    source: str = Field(
        "rendered",
        min_length=1,
        description="`rendered`, `oxford17`, or the path of a folder of class folders, of a table "
        "of paths and labels, or of an archive of either",
    )
    columns: ColumnSettings = ColumnSettings()
    links: Literal["inside", "follow"] = Field(
        "inside", description="symbolic links that leave the folder: refused, or followed"
    )
    max_megapixels: int = Field(
        64, ge=1, le=1000, description="pixels of the largest image; each takes 8 bytes of memory"
    )
    truncated: Literal["refuse", "read"] = Field(
        "refuse", description="JPEGs whose end is missing: refused, or read as far as they go"
    )
    image_size: int = Field(128, ge=16, le=1024, description="side of the square images, in pixels")
    resize: ResizeName = Field(
        "crop",
        description="how a photograph becomes a square: its central square (`crop`), all of it on "
        "black (`pad`), or all of it, its sides scaled unequally (`stretch`)",
    )
    n_classes: int = Field(17, ge=2, le=17, description="classes of the rendered flowers")
    images_per_class: int = Field(
        80, ge=2, le=10_000, description="images a class of the rendered flowers"
    )


class SplitSettings(Model):
    """The division of images into training and validation."""

    validation_fraction: float = Field(
        0.25, gt=0, lt=1, description="share of a class held out; 0.25 gives the report's 60/20"
    )
    n_repeats: int = Field(
        8, ge=0, le=100, description="further clean splits, for means and intervals"
    )
    near_duplicates: Literal["similar", "identical", "none"] = Field(
        "similar",
        description="what clean splits and folds keep on one side, beside the groups of the "
        "source: images that look `similar`, those of `identical` pixels, or `none`",
    )
    contradictions: Literal["error", "warning"] = Field(
        "error", description="what images of identical pixels in two classes are"
    )
