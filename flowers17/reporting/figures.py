"""The figures' common shape, and the figures of the data: Figure 1 and the class counts."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from flowers17.artifacts import Reference
from flowers17.reporting.drawing import (
    ACCENT,
    INK,
    LINE,
    MUTED,
    WIDTH,
    canvas,
    inline,
    png_bytes,
    standalone,
    svg_text,
)
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.reference import title_of
from flowers17.reporting.tables import padded
from flowers17.seeds import generator


@dataclass(frozen=True)
class Tile:
    """One picture of a grid that the page lays out itself, with its label."""

    label: str
    data_uri: str


@dataclass(frozen=True)
class Figure:
    """A numbered figure: its file, and what the page shows, an SVG element or tiles.

    behind: number of the table that the page shows it behind; None: before all tables.
    """

    number: str
    title: str
    caption: str
    behind: str | None
    suffix: str
    content: bytes
    svg: str = ""
    tiles: tuple[Tile, ...] = ()
    artifacts: tuple[Reference, ...] = ()

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return f"figure-{self.number}"

    @property
    def file_name(self) -> str:
        """Its file: `figure-07.svg` for number `7`."""
        return f"figure-{padded(self.number)}{self.suffix}"


def drawn(
    number: str,
    title: str,
    caption: str,
    text: str,
    artifacts: tuple[Reference, ...],
    *,
    behind: str | None,
) -> Figure:
    """A figure of an SVG element. behind: as of a Figure."""
    full_title = f"Figure {number}. {title}"
    return Figure(
        number,
        title,
        caption,
        behind,
        ".svg",
        standalone(text, full_title).encode(),
        svg=inline(text, full_title, f"f{number}"),
        artifacts=artifacts,
    )


def chosen_rows(inputs: ReportInputs) -> list[int]:
    """A row of the images for each class, drawn at random from the study's seed."""
    rows = []
    for label, name in enumerate(inputs.class_names):
        candidates = np.flatnonzero(inputs.labels == label)
        if len(candidates):
            random = generator(inputs.study.seed, "report", "figure-1", name)
            rows.append(int(random.choice(candidates)))
    return rows


def data_uri(pixels: np.ndarray, *, lossless: bool = False) -> str:
    """An image, uint8 (h, w, 3), in a data URI: as a JPEG, or as a PNG without loss."""
    stream, image = io.BytesIO(), Image.fromarray(pixels)
    if lossless:
        image.save(stream, "PNG", optimize=True)
    else:
        image.save(stream, "JPEG", quality=90, subsampling=0)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def picture(pixels: np.ndarray, x: float, y: float, side: float, *, lossless: bool = False) -> str:
    """An SVG image of uint8 (h, w, 3) pixels, at their own resolution.

    lossless: for pictures in which one pixel may be all that differs.
    """
    return (
        f'<image x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" '
        f'xlink:href="{data_uri(pixels, lossless=lossless)}"/>'
    )


def one_image_a_class(inputs: ReportInputs) -> Figure | None:
    """Figure 1: a random image of each class; None without images."""
    if not inputs.images:
        return None
    rows, images = chosen_rows(inputs), inputs.images.mapped("images")
    names = [inputs.class_names[inputs.labels[row]] for row in rows]
    n_columns, cell, gap, text = 6, 64, 6, 14
    n_rows = -(-len(rows) // n_columns)
    width, height = n_columns * (cell + gap), gap + n_rows * (cell + text + gap)
    with canvas(height, salt="figure-1", width=width) as (figure, axes):
        for place, (row, name) in enumerate(zip(rows, names, strict=True)):
            x = gap / 2 + (place % n_columns) * (cell + gap)
            y = gap + (place // n_columns) * (cell + text + gap)
            axes.imshow(images[row], extent=(x, x + cell, y + cell, y), interpolation="antialiased")
            axes.text(
                x + cell / 2, y + cell + 9, shortened(name, 18), size=7, ha="center", color=INK
            )
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.set_aspect("auto")
        content = png_bytes(figure)
    kind = "Rendered flowers, drawn from code. " if inputs.is_rendered else ""
    return Figure(
        "1",
        title_of("figure", 1),
        f"{kind}Chosen at random from the seed {inputs.study.seed}.",
        None,
        ".png",
        content,
        tiles=tuple(
            Tile(name, data_uri(images[row])) for row, name in zip(rows, names, strict=True)
        ),
        artifacts=(inputs.images.reference,),
    )


def shortened(text: str, length: int) -> str:
    """A text cut to a length, with an ellipsis where it was cut, and printable.

    >>> shortened("lily of the valley", 12)
    'lily of the…'
    """
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def class_counts(inputs: ReportInputs) -> Figure | None:
    """Figure 1b: images a class, training and validation; None without a report's split."""
    split = next((split for split in inputs.divided if split["kind"] == "report"), None)
    if not split or not inputs.images or not inputs.splits:
        return None
    n = len(inputs.class_names)
    sides = [
        np.bincount(inputs.labels[np.asarray(split[side], dtype=np.int64)], minlength=n)
        for side in ("train", "validation")
    ]
    left, step, top = 108.0, 17, 26
    scale = (WIDTH - left - 32) / max(1, int((sides[0] + sides[1]).max()))
    with canvas(top + n * step + 4, salt="figure-1b") as (figure, axes):
        _legend(axes, left)
        for label, name in enumerate(inputs.class_names):
            y = top + label * step
            axes.text(left - 8, y + 8.5, shortened(name, 18), ha="right", va="center", size=9)
            x, counts = left, [int(side[label]) for side in sides]
            for count, alpha in zip(counts, (1.0, 0.4), strict=True):
                ends = [x, x + count * scale]
                axes.fill_between(ends, y + 3, y + 14, color=ACCENT, alpha=alpha, lw=0)
                x = ends[1] + 1
            axes.text(x + 5, y + 8.5, str(sum(counts)), va="center", size=9, color=MUTED)
        axes.plot([left, left], [top, top + n * step], color=LINE, lw=1)
        text = svg_text(figure)
    caption = "Images a class in the report’s split: training, then validation, and their sum."
    used = (inputs.splits.reference,)
    return drawn("1b", "Images of each class", caption, text, used, behind=None)


def _legend(axes: Axes, left: float) -> None:
    for x, alpha, name in ((left, 1.0, "training"), (left + 76, 0.4, "validation")):
        axes.fill_between([x, x + 10], 6, 16, color=ACCENT, alpha=alpha, lw=0)
        axes.text(x + 15, 11, name, va="center", size=9, color=MUTED)
