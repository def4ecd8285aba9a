"""Cells of tables: numbers, scores with their intervals, verdicts, and what rows share of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from flowers17.artifacts import Reference
from flowers17.reporting.metrics import Interval, MeanSpread, Measured, difference_interval, within
from flowers17.reporting.records import Score, TrainedNetwork
from flowers17.reporting.reference import N_VALIDATION
from flowers17.reporting.wording import decimal_text

Verdict = Literal["within", "better", "below"]


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, and the value, interval, study's number and artifact behind it."""

    text: str
    value: float | int | str | None = None
    interval: Interval | None = None
    reference: float | int | str | None = None
    artifact: Reference | None = None
    verdict: Verdict | None = None
    anchor: str = ""  # the place in the page that it names

    def to_json(self) -> dict[str, Any]:
        """What is not empty, the text in place of a value that there is not."""
        values = {
            "value": self.text if self.value is None else self.value,
            "interval": list(self.interval) if self.interval else None,
            "reference": self.reference,
            "verdict": self.verdict,
            "artifact": self.artifact.to_json() if self.artifact else None,
        }
        return {name: value for name, value in values.items() if value is not None}


EMPTY = Cell("–")


def value_cell(
    value: float | int | str | None,
    form: str | Callable[[Any], str] = ".3f",
    *,
    reference: float | int | str | None = None,
    source: Reference | None = None,
) -> Cell:
    """Cell of a value; EMPTY for None.

    form: a format or function by which a number is written; words are shown as they are.
    """
    if value is None:
        return EMPTY
    if isinstance(value, str):
        text = value
    else:
        text = form(value) if callable(form) else decimal_text(value, form)
    return Cell(text, value, reference=reference, artifact=source)


def score_cell(
    score: Score | MeanSpread | Measured | None,
    reference: float | None = None,
    source: Reference | None = None,
    form: str | Callable[[Any], str] = ".3f",
) -> Cell:
    """Cell of an accuracy on one split, a mean over splits or a measure, with its interval."""
    if not score:
        return EMPTY
    if isinstance(score, Measured):
        value = score.value
    else:
        value = score.mean if isinstance(score, MeanSpread) else score.accuracy
    cell = value_cell(value, form, reference=reference, source=source)
    return replace(cell, interval=score.interval)


def verdict_of(score: Score, reference: float) -> Verdict:
    """Where our accuracy stands: better or below if the difference's interval leaves zero out.

    reference: the study's accuracy, which is as uncertain as its validation images are few.
    """
    n_correct = round(reference * N_VALIDATION)
    difference = difference_interval(score.n_correct, score.n_validation, n_correct, N_VALIDATION)
    if within(difference, 0):
        return "within"
    return "better" if difference.low > 0 else "below"


def verdict_cell(
    score: Score | MeanSpread | None, reference: float | None, comparable: bool
) -> Cell:
    """Cell of the verdict; EMPTY without a score on one split or a number of the study's.

    comparable: whether both measure the same thing on the same images; else nothing is judged.
    """
    if not isinstance(score, Score) or reference is None:
        return EMPTY
    verdict = verdict_of(score, reference) if comparable else None
    return Cell(verdict or "–", verdict or "not comparable", verdict=verdict)


def network_cell(network: TrainedNetwork | None, reference: float | None = None) -> Cell:
    """Cell of a network's accuracy, which leads to the network; EMPTY for None."""
    return score_cell(network.score, reference, network.artifact.reference) if network else EMPTY


def compared_values(
    network: TrainedNetwork | None, reference: float | None, comparable: bool, ending: str = ""
) -> dict[str, Any]:
    """The study's accuracy, a network's, and the verdict. ending: of their keys, e.g. a phase's."""
    score = network.score if network else None
    return {
        f"study{ending}": reference,
        f"ours{ending}": network_cell(network, reference),
        f"verdict{ending}": verdict_cell(score, reference, comparable),
    }


def mean_values(mean: MeanSpread | None) -> dict[str, Any]:
    """Values of the columns `mean`, `spread` and `n_splits` of a mean over repeated splits."""
    return {"mean": mean, "spread": mean.spread, "n_splits": mean.n_splits} if mean else {}
