"""What tables of trained and of fine-tuned networks share: columns, notes, the best by its mean."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from flowers17.reporting.cells import score_cell, verdict_cell
from flowers17.reporting.columns import Form, Value, number_column, study_column
from flowers17.reporting.finetuning.records import FineTuning
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.records import Training
from flowers17.reporting.tables import Cell, Column, R

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


def comparable(inputs: ReportInputs, network: Training | FineTuning | None) -> bool:
    """Whether the study's number and ours measure the same training on the same data."""
    return bool(network and inputs.like_the_study and network.like_the_study)
