"""How a part of the study runs: by itself with a report of its own, or within the whole study."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from flowers17.config import RunOptions, StudySettings
from flowers17.reporting.reference import PartName
from flowers17.request import DESCRIPTIONS, StudyRequest
from flowers17.stages import Stage
from flows.study_flow import study_flow
from tasks import duplicates, images, report, splits
from tasks.engine import Results, run_stages, sharing
from tasks.results import raise_if_nothing

T = TypeVar("T")


class Data(NamedTuple):
    """The prepared data set: images at the study's size, their near-duplicates, their splits."""

    images: Stage
    duplicates: Stage
    splits: Stage


def data(settings: StudySettings) -> Data:
    """Stages of the data."""
    pictures = images.stage(settings, settings.dataset.image_size)
    pairs = duplicates.stage(settings, pictures)
    return Data(pictures, pairs, splits.stage(settings, pictures, pairs))


@dataclass(frozen=True)
class Part:
    """A part of the study: its name in the report, its title, and its stages."""

    name: PartName
    title: str
    parts: Callable[[StudySettings, RunOptions], Sequence[Stage]]

    def stages(self, settings: StudySettings, options: RunOptions) -> list[Stage]:
        """Stages that it runs by itself: a report on its own and on the data."""
        parts = {"data": data(settings), self.name: self.parts(settings, options)}
        return [report.stage(settings, parts, label=f"report on {self.title}")]

    def flow(self, name: str) -> Any:
        """Flow of a name, which a module has too; within the study it goes without its report.

        It raises StagesFailed, also if none of its own results could be made.
        """

        def run(request: StudyRequest = StudyRequest()) -> Results:
            settings, options = request.settings, request.options
            own = self.parts(settings, options)
            results = run_stages(own if sharing() else self.stages(settings, options), options)
            raise_if_nothing(own, results)
            return results

        run.__name__ = run.__qualname__ = name
        run.__module__, run.__doc__ = f"flows.{name}", DESCRIPTIONS[name]
        return study_flow(run)


def with_refits(
    trainings: Iterable[tuple[T, Stage]], fit: Callable[..., Stage], every_image: Stage | None
) -> list[Stage]:
    """Stages of trainings, each on its split, and one refit of each that several splits measured.

    fit: called with a training and a split. every_image: for refits; None: there are none.
    """
    measured: dict[T, list[Stage]] = {}
    for training, split in trainings:
        measured.setdefault(training, []).append(fit(training, split))
    refits = [
        fit(training, every_image, refit_of=of_splits)
        for training, of_splits in (measured.items() if every_image else ())
    ]
    return [*itertools.chain(*measured.values()), *refits]
