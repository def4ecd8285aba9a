"""A study for people who work in Python: its tables, figures and models, as notebooks show them."""

import mimetypes
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import pandas as pd
from markupsafe import Markup

from flowers17.artifacts import Store
from flowers17.config import DeviceName
from flowers17.data.decoding import square
from flowers17.errors import InvalidInput
from flowers17.manifests import family
from flowers17.prediction.catalogue import Catalogue
from flowers17.prediction.models import (
    Loader,
    MemberModels,
    Model,
    Prediction,
    open_model,
    predictions,
    predictions_of,
)
from flowers17.prediction.pictures import Block, image_paths
from flowers17.reporting.html import environment
from flowers17.reporting.studies import records
from flowers17.reporting.studies.pair import comparison_of, difference_lines
from flowers17.reporting.tables import frame_of, padded, unguarded

Item = TypeVar("Item")
Images = str | Path | np.ndarray | Iterable[str | Path]


class Numbered(dict[str, Item]):
    """Tables or figures by number, as the report has it."""

    def __missing__(self, number: object) -> NoReturn:
        raise InvalidInput(
            f"expected a number in the report, as text, got {number!r}; there are: "
            f"{', '.join(self) or 'none'}"
        )


@dataclass(frozen=True)
class Picture:
    """A figure's file, as notebooks draw it."""

    path: Path

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str | bytes]:
        kind = mimetypes.guess_type(self.path.name)[0] or "image/png"
        is_text = kind == "image/svg+xml"
        return {kind: self.path.read_text("utf-8") if is_text else self.path.read_bytes()}


@dataclass(frozen=True)
class Comparison:
    """Two studies beside each other.

    tables: by number, a row for each number of both, with `difference`, after less before. tests:
    McNemar's test of each model that both have, on the same images; untested: why others have none.
    differences: lines on what differs in settings, data, code, libraries and seeds, by title.
    """

    before: str
    after: str
    tables: Mapping[str, pd.DataFrame]
    tests: pd.DataFrame
    untested: list[str]
    differences: Mapping[str, list[str]]

    def _repr_html_(self) -> str:
        return _html("compared.html", comparison=self)


class Study(records.Study):
    """A study of a store: its newest, or that of a key.

    store: a folder, or an address such as `s3://bucket/prefix`. key: of the study, shortened or
    not, with or without `study/`.
    Raises InvalidInput without such a store, ArtifactMissing without such a study.
    """

    store: Store

    def __init__(self, store: str | Path, key: str | None = None) -> None:
        if key is None:
            study = records.newest(records.studies_in(store), store)
        else:
            study = records.named_study(f"study/{key.removeprefix('study/')}", store)
        super().__init__(study.path, study.manifest, study.manifests, study.store)

    @classmethod
    def all(cls, store: str | Path) -> list["Study"]:
        """Every study of a store, the oldest first; raises InvalidInput without such a store."""
        return list(map(cls._of, records.studies_in(store)))

    @classmethod
    def _of(cls, study: records.Study) -> "Study":
        own = cls.__new__(cls)
        records.Study.__init__(own, study.path, study.manifest, study.manifests, study.store)
        return own

    @property
    def key(self) -> str:
        """Key of its artifact."""
        return str(self.manifest["key"])

    @cached_property
    def headline(self) -> pd.DataFrame:
        """The numbers that its report begins with, with their 95 % intervals; None without."""
        return pd.DataFrame(
            [
                (each["label"], each["value"], *(each["interval"] or (None, None)), each["detail"])
                for each in self.results.get("highlights", [])
            ],
            columns=["label", "value", "low", "high", "detail"],
        )

    @cached_property
    def titles(self) -> dict[str, str]:
        """Titles of its tables by number."""
        tables = self.results["tables"]
        return {number: tables[number]["title"] for number in sorted(tables, key=padded)}

    @cached_property
    def tables(self) -> Numbered[pd.DataFrame]:
        """Its report's tables by number, one row a line of the table, with values unrounded.

        Columns: those of the table's CSV file. A number with a 95 % interval has `KEY_low` and
        `KEY_high` beside it; `note` has warnings and reasons, `artifact` the artifacts of a row.
        Raises ArtifactDamaged if a file is not as published.
        """
        return Numbered({number: self._table(number) for number in self.titles})

    def _table(self, number: str) -> pd.DataFrame:
        # The file knows the columns and the notes, `results.json` the types of the values.
        path = self.file(f"tables/table-{padded(number)}.csv")
        written = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows = self.results["tables"][number]["rows"]
        frame = frame_of(rows, list(written.columns), list(map(unguarded, written["note"])))
        return frame.infer_objects()

    @cached_property
    def figures(self) -> Numbered[Picture]:
        """Its report's figures by number; raises ArtifactDamaged as `tables` does."""
        names = sorted(name for name in self.manifest["files"] if name.startswith("figures/"))
        return Numbered({_number_in(name): Picture(self.file(name)) for name in names})

    @cached_property
    def _catalogue(self) -> Catalogue:
        return Catalogue(self.store, family(self.manifest, self.manifests))

    @property
    def models(self) -> pd.DataFrame:
        """Its models: name, by which `predict` takes them, kind, accuracy and artifact."""
        rows = [
            (entry.name, entry.kind, entry.share, "/".join(entry.place))
            for entry in self._catalogue.entries
        ]
        return pd.DataFrame(rows, columns=["name", "kind", "accuracy", "artifact"])

    def predict(
        self,
        images: Images,
        model: str | None = None,
        *,
        by: MemberModels = "refit",
        weights_dir: str | Path | None = None,
        device: DeviceName = "auto",
        own_learners: Collection[str] = (),
    ) -> pd.DataFrame:
        """Predict the classes of images: a row each, with the probability of every class.

        The values are those of `flowers17 predict` and of the site: probabilities calibrated on
        the model's held-out images, and whether an image is unlike all training images; None if
        the store does not tell which those are.

        images: paths of images and of folders of them, or pixels, uint8 (h, w, 3) or (n, h, w, 3).
        model: a name in `models`; None: its best. It is opened once. The other options are those
        of `flowers17 predict`.
        Raises InvalidInput for an image that cannot be used or an unknown name, ArtifactMissing or
        ArtifactDamaged if the store lacks what the model needs.
        """
        entry = self._catalogue.default()[0] if model is None else self._catalogue.named(model)
        options = (str(weights_dir or ""), device, frozenset(own_learners))
        loader = self._loaders.setdefault(
            (by, *options),
            Loader(
                self.store,
                weights_dir=Path(weights_dir) if weights_dir else None,
                device=device,
                own_learners=own_learners,
            ),
        )
        opened = open_model(entry.manifest, loader, by)
        if isinstance(images, np.ndarray):
            predicted = _of_pixels(opened, images)
        else:
            paths = [images] if isinstance(images, str | Path) else images
            names = image_paths(list(map(str, paths)), (), _refuse)
            predicted = predictions(opened, names, _refuse)
        rows = [
            (
                number if isinstance(images, np.ndarray) else prediction.path,
                *prediction.ranked[0],
                prediction.agreement,
                prediction.likeness and prediction.likeness.is_unlike,
                *prediction.proba.values(),
            )
            for number, prediction in enumerate(predicted)
        ]
        heads = ["image", "class", "probability", "agreement", "unlike"]
        return pd.DataFrame(rows, columns=[*heads, *opened.classes]).set_index("image")

    @cached_property
    def _loaders(self) -> dict[tuple[Any, ...], Loader]:
        """Loaders, which open a model once, by the options of `predict`."""
        return {}

    def compare(self, other: "records.Study") -> Comparison:
        """This study and another after it: every number of both, and paired tests of the models.

        Raises ArtifactDamaged or InvalidInput if a file of either is not as published.
        """
        compared = comparison_of(self, other)
        heads = ["row", "name", "before", "after", "difference"]
        tests = pd.json_normalize(compared["paired"]["tests"])
        tests = tests.rename(columns=lambda name: name.removeprefix("test."))
        return Comparison(
            self.title,
            other.title,
            {
                table["number"]: pd.DataFrame(table["metrics"], columns=heads)
                for table in compared["tables"]
            },
            tests,
            compared["paired"]["untested"],
            dict(difference_lines(compared["differences"])),
        )

    def __repr__(self) -> str:
        return f"Study({str(self.store.address)!r}, key={self.key[:12]!r})"

    def _repr_html_(self) -> str:
        return _html("study.html", study=self)


def _number_in(name: str) -> str:
    """Number of a figure in the name of its file: `5b-pairs` for `figure-05b-pairs.svg`."""
    number = Path(name).stem.removeprefix("figure-").lstrip("0")
    return number[:1].upper() + number[1:]


def _html(template: str, **values: Any) -> str:
    templates = environment()
    templates.filters["table"] = lambda frame: Markup(frame.to_html(index=False, na_rep="–"))
    return templates.get_template(template).render(values)


def _refuse(problem: str) -> NoReturn:
    raise InvalidInput(problem)


def _of_pixels(model: Model, pixels: np.ndarray) -> Iterator[Prediction]:
    """Predictions for images, uint8 (h, w, 3) or (n, h, w, 3)."""
    from PIL import Image

    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] != 3:
        raise InvalidInput(
            f"images: expected uint8 (h, w, 3) or (n, h, w, 3), got {pixels.dtype} "
            f"{pixels.shape}; multiply images in [0, 1] by 255 and round them"
        )
    images = list(map(Image.fromarray, pixels.reshape(-1, *pixels.shape[-3:])))
    for start in range(0, len(images), model.n_at_once):
        chunk = images[start : start + model.n_at_once]
        squares = {
            size: np.stack([square(image, size, model.resize) for image in chunk])
            for size in model.sizes
        }
        yield from predictions_of(model, Block(("",) * len(chunk), squares))
