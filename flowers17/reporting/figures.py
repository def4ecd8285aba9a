"""The figures' common shape, and the figures of the data: Figure 1 and the class counts."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any
from unicodedata import east_asian_width

import numpy as np
from PIL import Image

from flowers17.artifacts import Reference
from flowers17.reporting.drawing import MUTED, from_template, inline, is_drawable, standalone
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.tables import padded
from flowers17.reporting.wording import printable
from flowers17.reporting.words import text
from flowers17.seeds import generator

MAX_CUT = 6
_PARTS = ("title", "caption")
TextLine = tuple[str, Mapping[str, object]]  # and how it is written


@dataclass(frozen=True)
class Figure:
    """A numbered figure: its file, and what the page shows, an SVG element or tiles.

    behind: number of the table that the page shows it behind; None: before all tables. tiles:
    label and data URI of each picture of a grid that the page lays out itself. of_machine: whether
    it shows times, as of a Column: the page alone has it.
    """

    number: str
    title: str
    caption: str
    behind: str | None
    suffix: str
    content: bytes
    svg: str = ""
    tiles: tuple[tuple[str, str], ...] = ()
    artifacts: tuple[Reference, ...] = ()
    of_machine: bool = False

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
    element: str,
    artifacts: tuple[Reference, ...],
    *,
    behind: str | None,
    name: str = "",
    **values: Any,
) -> Figure:
    """A figure of an SVG element, with the words of its number or another name.

    behind: as of a Figure. values: what its title and caption are rendered with.
    """
    title, caption = (text(f"figure {name or number}", part, **values) for part in _PARTS)
    full_title = f"Figure {number}. {title}"
    return Figure(
        number,
        title,
        caption,
        behind,
        ".svg",
        standalone(element, full_title).encode(),
        svg=inline(element, full_title, f"f{number}"),
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


def answer_lines(
    inputs: ReportInputs, row: int, predicted: int, proba: float, model: str, length: int
) -> list[TextLine]:
    """What a model answers for an image, and whether that is right, as lines of a diagram.

    row: of the image. model: its title; with the verdict it is cut to a length.
    """
    names, truth = inputs.class_names, int(inputs.labels[row])
    verdict = "correct" if predicted == truth else f"wrong, it is: {names[truth]}"
    return [
        (f"{shortened(names[predicted], 24)}, {proba:.2f}", {"weight": "bold", "size": 11}),
        (shortened(f"{model}: {verdict}", length), {"color": MUTED}),
    ]


def encoded(pixels: np.ndarray, *, lossless: bool) -> bytes:
    """An image, uint8 (h, w, 3), as a JPEG, or as a PNG without loss."""
    stream, image = io.BytesIO(), Image.fromarray(pixels)
    if lossless:
        image.save(stream, "PNG", optimize=True)
    else:
        image.save(stream, "JPEG", quality=90, subsampling=0)
    return stream.getvalue()


def data_uri(pixels: np.ndarray, *, lossless: bool = False) -> str:
    """The same in a data URI."""
    content = base64.b64encode(encoded(pixels, lossless=lossless)).decode()
    return f"data:image/{'png' if lossless else 'jpeg'};base64,{content}"


def one_image_a_class(inputs: ReportInputs) -> Figure | None:
    """Figure 1: a random image of each class; None without images."""
    if not inputs.images:
        return None
    rows, images = chosen_rows(inputs), inputs.images.mapped("images")
    labels, note = class_labels(inputs.class_names, 16)
    names = [labels[inputs.labels[row]] for row in rows]
    uris = [data_uri(images[row]) for row in rows]
    drawing = from_template("tiles.svg", tiles=list(zip(names, uris, strict=True)))
    titles = [inputs.class_names[inputs.labels[row]] for row in rows]
    used = (inputs.images.reference,)
    figure = drawn("1", drawing, used, behind=None, inputs=inputs, note=note)
    return replace(figure, svg="", tiles=tuple(zip(titles, uris, strict=True)))


def most_cut(inputs: ReportInputs) -> Figure | None:
    """Figure 1c: the images of which the central square leaves out most; None without any."""
    if not inputs.images or not inputs.share_cut.any():
        return None
    rows = np.argsort(-inputs.share_cut, kind="stable")[:MAX_CUT]
    rows, images = rows[inputs.share_cut[rows] > 0], inputs.images.mapped("images")
    tiles = [
        (
            f"{inputs.items['names'][row]}: {inputs.share_cut[row]:.0%} cut".replace("%", " %"),
            data_uri(images[row]),
        )
        for row in rows
    ]
    title, caption = (text("figure 1c", part) for part in _PARTS)
    return Figure(
        "1c",
        title,
        caption,
        "D2",
        ".png",
        encoded(np.concatenate(images[rows], axis=1), lossless=True),
        tiles=tuple(tiles),
        artifacts=(inputs.images.reference,),
    )


def shortened(text: str, length: int) -> str:
    """A text cut to a width, with an ellipsis where it was cut, and printable.

    length: in Latin letters; letters of scripts that write wide ones, such as Chinese, are two.

    >>> shortened("lily of the valley", 12), shortened("向日葵向日葵", 8)
    ('lily of the…', '向日葵…')
    """
    text = printable(text)
    widths = [1 + (east_asian_width(letter) in "WF") for letter in text]
    if sum(widths) <= length:
        return text
    ends = list(accumulate(widths))
    return text[: sum(end < length for end in ends)].rstrip() + "…"


def class_labels(names: Sequence[str], length: int = 18) -> tuple[list[str], str]:
    """Names of classes as figures write them, and what a caption adds of those that have a number.

    A name with letters that no font of this machine has comes after its class's number.
    """
    labels, numbered = [], False
    for number, name in enumerate(names, start=1):
        known = is_drawable(name)
        numbered |= not known
        labels.append(shortened(name if known else f"{number}: {name}", length))
    note = " Classes whose letters lack a font are numbered in the order of Table D1."
    return labels, note * numbered


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
    names, note = class_labels(inputs.class_names)
    counts = [tuple(map(int, pair)) for pair in zip(*sides, strict=True)]
    drawing = from_template(
        "counts.svg",
        highest=max(map(sum, counts), default=1),
        classes=list(zip(names, counts, strict=True)),
    )
    return drawn("1b", drawing, (inputs.splits.reference,), behind=None, note=note)
