"""Table 3d: our own networks averaged, against the best of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flowers17.ensemble.averaging import averaged
from flowers17.reporting.cells import mean_cell, selection_notes
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.learners.cells import accuracy_cell, learner_title
from flowers17.reporting.metrics import MeanSpread, PairedTest, holm, mcnemar, mean_difference
from flowers17.reporting.paired_comparisons import judged, test_cells
from flowers17.reporting.records import Score, Training, over_repeats
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.wording import signed

LEVEL = 0.05


@dataclass(frozen=True)
class Compared:
    """Networks of one split averaged, and one of them, on the split's validation images.

    score: of the average. *_correct: bool (n_validation,), whether each image was classified
    correctly.
    """

    score: Score
    member: Training
    average_correct: np.ndarray
    member_correct: np.ndarray

    @property
    def difference(self) -> float:
        """By how much the average's accuracy exceeds the member's."""
        return self.score.accuracy - self.member.score.accuracy

    @cached_property
    def test(self) -> PairedTest:
        """Whether the two differ by more than chance."""
        return mcnemar(self.average_correct, self.member_correct)


def compared(inputs: ReportInputs) -> list[Compared]:
    """Return, for each split that all our own networks were trained on, their average.

    It is held against the network with the highest mean accuracy over these splits. Empty for
    fewer than two networks.
    """
    by_split = [
        {one.score.split: one for one in inputs.own_trainings.get(name, [])}
        for name in inputs.study.learners.best
    ]
    if len(by_split) < 2:
        return []
    shared = [name for name in by_split[0] if all(name in found for found in by_split)]
    best = max(by_split, key=lambda found: sum(found[name].score.accuracy for name in shared))
    return [_compared(inputs, [one[name] for one in by_split], best[name]) for name in shared]


def _compared(inputs: ReportInputs, members: Sequence[Training], best: Training) -> Compared:
    score, rows = best.score, inputs.validation_rows(best.score.split)
    proba = averaged(np.stack([one.artifact.array("proba")[rows] for one in members]))
    correct = proba.argmax(axis=1) == inputs.labels[rows]
    of_average = Score(
        score.split, score.kind, score.n_train, score.n_validation, int(correct.sum()), {}
    )
    return Compared(of_average, best, correct, inputs.correct_of(best))


def averaged_table(inputs: ReportInputs) -> Table:
    """Return Table 3d: our own networks averaged, split by split; no rows for fewer than two."""
    found = compared(inputs)
    repeated = [one for one in found if one.score.kind == "repeated"]
    over = _mean_difference(repeated)
    corrected = holm([one.test.p_value for one in found])
    rows = [_row(one, adjusted) for one, adjusted in zip(found, corrected, strict=True)]
    if over:
        rows.append(_mean_row(repeated, over))
    names = [learner_title(name) for name in inputs.study.learners.best]
    best = learner_title(found[0].member.learner) if found else ""
    lead = f"The mean of the probabilities of {', '.join(names)}, beside the best of them, {best}."
    if found:
        lead += f" {_verdict(found[0], over, corrected[0])}"
    return Table(
        "3d",
        "Our own networks, averaged",
        (
            Column("split", "Split", numeric=False),
            Column("average", "Average", interval=True),
            Column("member", "Best network", interval=True),
            Column("difference", "Difference", interval=True),
            Column("only_average", "Average alone right"),
            Column("only_member", "Network alone right"),
            Column("p", "p, exact McNemar"),
            Column("p_holm", "p, Holm"),
        ),
        tuple(rows),
        lead=lead,
        notes=(
            *selection_notes(one.member.recipe for one in found),
            "Nothing is fitted, so the average needs no folds. The best network is the one with "
            "the highest mean on these same images, which favours it. McNemar’s test counts the "
            "images on which exactly one of the two is right; Holm’s correction allows for the "
            "number of splits. Means have the intervals of Nadeau and Bengio (2003).",
        ),
    )


def _mean_difference(repeated: Sequence[Compared]) -> MeanSpread | None:
    """Return the mean difference over repeated splits; None for fewer than two."""
    if len(repeated) < 2:
        return None
    return mean_difference(
        [one.difference for one in repeated],
        n_train=min(one.score.n_train for one in repeated),
        n_validation=max(one.score.n_validation for one in repeated),
    )


def _verdict(first: Compared, over: MeanSpread | None, p_value: float) -> str:
    """Return plainly whether the average is better: over the repeated splits, else on the first."""
    if over and over.interval:
        low, high = over.interval
        outcome = judged(over.mean, low > 0 or high < 0)
        return (
            f"The average is {outcome} it over {over.n_splits} clean splits: mean difference "
            f"{signed(over.mean)} ({signed(low)} to {signed(high)})."
        )
    outcome = judged(first.difference, p_value < LEVEL)
    return f"The average is {outcome} it on split {first.score.split}: {signed(first.difference)}."


def _row(one: Compared, adjusted: float) -> Row:
    score, test, source = one.score, one.test, one.member.artifact.reference
    cells = (
        Cell(score.split, score.split),
        Cell(f"{score.accuracy:.3f}", score.accuracy, score.interval),
        accuracy_cell(one.member),
        *test_cells(one.difference, test, adjusted, source),
    )
    return Row(cells)


def _mean_row(repeated: Sequence[Compared], over: MeanSpread) -> Row:
    cells = (
        Cell(f"mean over {over.n_splits} clean splits", "mean"),
        mean_cell(over_repeats(one.score for one in repeated)),
        mean_cell(over_repeats(one.member.score for one in repeated)),
        Cell(signed(over.mean), over.mean, over.interval),
        *[EMPTY] * 4,
    )
    return Row(cells)
