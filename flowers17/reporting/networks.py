"""What tables of trained and of fine-tuned networks share: columns, notes, the best by its mean."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flowers17.reporting.cells import score_cell
from flowers17.reporting.columns import Form, Value, number_column, study_column
from flowers17.reporting.finetuning.records import FineTuning
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.records import HEADLINE, Training, over_repeats
from flowers17.reporting.tables import Cell, Column, R, StudyNote
from flowers17.reporting.verdicts import VERDICT_NOTE, verdict_cell

Network = TypeVar("Network", Training, FineTuning)


@dataclass(frozen=True)
class NetworkColumns(Generic[R, Network]):
    """Columns of one of a record's networks; `network` takes the record to it, None for none."""

    network: Callable[[R], Network | None]

    def accuracy(
        self,
        key: str,
        title: str,
        reference: Callable[[R], float | None] = lambda record: None,
        group: str = "",
    ) -> Column[R]:
        """Column of its accuracy with the interval, which leads to the network."""

        def cell(record: R) -> Cell | None:
            network, study = self.network(record), reference(record)
            return score_cell(network.score, study, network.artifact.reference) if network else None

        return Column(key, title, cell, group, interval=True)

    def number(
        self,
        key: str,
        title: str,
        value: Callable[[Network], Value],
        form: Form = ".3f",
        *,
        linked: bool = True,
    ) -> Column[R]:
        """Column of a number that it has."""
        return number_column(
            key,
            title,
            lambda r: value(network) if (network := self.network(r)) else None,
            form,
            linked=linked,
        )

    def compared(
        self,
        inputs: ReportInputs,
        reference: Callable[[R], float | None],
        group: str,
        phase: str = "",
    ) -> tuple[Column[R], ...]:
        """The study's accuracy, ours, and the verdict. phase: of those under one heading."""

        def verdict(record: R) -> Cell:
            network = self.network(record)
            score = network.score if network else None
            return verdict_cell(score, reference(record), comparable(inputs, network))

        ending = f"_{phase}" if phase else ""
        title, verdict_group = ("against it", group) if phase else ("Against the study", "")
        return (
            study_column(reference, key=f"study{ending}", title="study", group=group),
            self.accuracy(f"ours{ending}", "ours", reference, group),
            Column(f"verdict{ending}", title, verdict, verdict_group, numeric=False, of_study=True),
        )


def best_mean(groups: Iterable[Sequence[Network]]) -> tuple[Network, MeanSpread] | None:
    """The first network and the mean of the group whose mean over clean splits is highest.

    Of the measure that stands first: see `Score.headline`.
    """
    means = [
        (group[0], mean)
        for group in groups
        if (mean := over_repeats((network.score for network in group), HEADLINE))
    ]
    return max(means, key=lambda pair: pair[1].mean, default=None)


def comparable(inputs: ReportInputs, network: Training | FineTuning | None) -> bool:
    """Whether the study's number and ours measure the same training on the same data."""
    return bool(network and inputs.like_the_study and network.like_the_study)


def study_notes(inputs: ReportInputs, networks: Sequence[Training | FineTuning]) -> Iterator[str]:
    """Yield what verdicts mean, and which epoch's weights the study keeps."""
    if any(comparable(inputs, network) for network in networks):
        yield VERDICT_NOTE
    if any(network.recipe.selection == "val_loss" for network in networks):
        yield (
            "The epoch kept is the one with the lowest loss on these same validation images, which "
            "flatters every number a little."
        )


def training_notes(networks: Sequence[Training | FineTuning], epochs: str) -> Iterator[str]:
    """Yield that rows with a tag are not compared, and precisions other than single.

    epochs: how long the study trains, in words.
    """
    if any(network.tag for network in networks):
        yield StudyNote(
            f"The study trains {epochs}; a row with a tag was trained otherwise and is not "
            "compared."
        )
    reduced = sorted({network.precision for network in networks} - {"float32"})
    if reduced:
        yield f"Computed in {', '.join(reduced).replace('_', ' ')}."
