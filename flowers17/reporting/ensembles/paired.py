"""Table 5-paired: is the ensemble better than its best member, image by image?"""

from collections.abc import Sequence
from dataclasses import dataclass

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.cells import (
    count_cell,
    ensemble_title,
    is_the_studys,
    made_of,
    mains,
    member_title,
    method_title,
    names_of,
    repeated_of,
    split_title,
    tag_of,
)
from flowers17.reporting.ensembles.records import Ensemble
from flowers17.reporting.metrics import (
    MeanSpread,
    PairedTest,
    holm,
    mcnemar,
    mean_difference,
)
from flowers17.reporting.paired_comparisons import judged, test_cells
from flowers17.reporting.records import over_repeats
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.wording import capital, p_text, signed

LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """An ensemble's chosen method and its best member on the same validation images.

    member_correct: images that the member gets right, by the same kind of models as the method.
    """

    ensemble: Ensemble
    method: str
    member: str
    member_correct: int
    test: PairedTest

    @property
    def difference(self) -> float:
        """By how much the method's accuracy exceeds the member's."""
        return (self.ensemble.chosen_correct - self.member_correct) / len(self.ensemble.rows)


@dataclass(frozen=True)
class Best:
    """An ensemble by its chosen method: on its first split, or over repeated clean splits."""

    first: Ensemble
    over: MeanSpread | None

    @property
    def accuracy(self) -> float:
        """The mean over the splits, or the accuracy on the only one."""
        return self.over.mean if self.over else self.first.score(self.first.chosen_correct).accuracy


def best_ensemble(inputs: ReportInputs) -> Best | None:
    """Return the ensemble with the highest accuracy; those over several splits come first."""
    found = []
    for one in mains(inputs):
        repeated = repeated_of(inputs, one.name)
        over = over_repeats(each.score(each.chosen_correct) for each in repeated)
        found.append(Best(one, over if len(repeated) > 1 else None))
    return max(found, key=lambda best: (bool(best.over), best.accuracy), default=None)


def comparison(one: Ensemble) -> Comparison:
    """Return the method against the member, both chosen on the training images alone."""
    (method, by), best = one.chosen, one.best_learner
    of_method = one.proba(method, by).argmax(axis=1) == one.truth
    of_member = one.member_predicted(best.name, by) == one.truth
    return Comparison(one, method, best.name, int(of_member.sum()), mcnemar(of_method, of_member))


def ensemble_paired_table(inputs: ReportInputs) -> Table:
    """Return Table 5-paired: each ensemble's chosen method against its best member."""
    made = {
        name: [comparison(one) for one in made_of(inputs, name) if one.stacked]
        for name in names_of(inputs)
    }
    every = [one for found in made.values() for one in found]
    corrected = dict(zip(map(id, every), holm([one.test.p_value for one in every]), strict=True))
    rows, said = [], []
    for name, found in made.items():
        if not found:
            continue
        rows += [_row(inputs, one, corrected[id(one)]) for one in found]
        repeated = repeated_of(inputs, name)
        over = mean_of([one for one in found if one.ensemble in repeated])
        said.append(verdict_in_words(inputs, found[0], over, corrected[id(found[0])]))
        if over:
            rows.append(_mean_row(inputs, found, over))
    return Table(
        "5-paired",
        "Is an ensemble better than its best member?",
        (
            Column("split", "Split", numeric=False),
            Column("ensemble_accuracy", "Ensemble", interval=True),
            Column("member_accuracy", "Member", interval=True),
            Column("difference", "Difference", interval=True),
            Column("only_ensemble", "Ensemble alone right"),
            Column("only_member", "Member alone right"),
            Column("p", "p, exact McNemar"),
            Column("p_holm", "p, Holm"),
            Column("method", "Ensemble, by", numeric=False),
            Column("member", "Best member", numeric=False),
        ),
        tuple(rows),
        lead=" ".join(said),
        notes=(
            "The method has the most training images right out of fold, and so has the member: no "
            "validation image picks either. Both predict with the same kind of models, refitted "
            "or averaged. McNemar’s test counts the images on which exactly one of the two is "
            "right; Holm’s correction allows for the number of tests, also in the sentence above.",
            "Over several splits the difference has the interval of Nadeau and Bengio (2003).",
        ),
    )


def mean_of(found: Sequence[Comparison]) -> MeanSpread | None:
    """Return the mean difference over repeated splits; None for fewer than two."""
    if len(found) < 2:
        return None
    return mean_difference(
        [one.difference for one in found],
        n_train=min(one.ensemble.n_train for one in found),
        n_validation=max(len(one.ensemble.rows) for one in found),
    )


def verdict_in_words(
    inputs: ReportInputs, one: Comparison, over: MeanSpread | None, p_value: float
) -> str:
    """Return plainly whether an ensemble is better than its best member.

    over: the mean difference over repeated splits, if there are several, which then decides. Else
    p_value does: of the first split, corrected for the number of tests.
    """
    title = capital(ensemble_title(inputs, one.ensemble.name))
    if over and over.interval:
        outcome = judged(over.mean, over.interval.low > 0 or over.interval.high < 0)
        low, high = (signed(end) for end in over.interval)
        return (
            f"{title} is {outcome} its best member over {over.n_splits} clean splits: mean "
            f"difference {signed(over.mean)} ({low} to {high})."
        )
    outcome = judged(one.difference, p_value < LEVEL)
    member = member_title(inputs, one.member, short=is_the_studys(inputs, one.ensemble.name))
    return (
        f"{title}, by {method_title(one.method)}, is {outcome} its best member, {member}, on "
        f"{split_title(one.ensemble)}: {signed(one.difference)}, p {_p_in_words(p_value)}."
    )


def _p_in_words(p_value: float) -> str:
    text = p_text(p_value)
    return text if text.startswith("<") else f"= {text}"


def _row(inputs: ReportInputs, one: Comparison, adjusted: float) -> Row:
    made, test = one.ensemble, one.test
    source = made.stacked.reference if made.stacked else None
    studys = is_the_studys(inputs, made.name)
    cells = (
        Cell(made.split, made.split),
        count_cell(made.chosen_correct, len(made.rows), source),
        count_cell(one.member_correct, len(made.rows), source),
        *test_cells(one.difference, test, adjusted, source),
        Cell(method_title(one.method), one.method),
        Cell(member_title(inputs, one.member, short=studys), one.member),
    )
    return Row(cells, capital(ensemble_title(inputs, made.name)), tag_of(inputs, made.name))


def _mean_row(inputs: ReportInputs, found: Sequence[Comparison], over: MeanSpread) -> Row:
    repeated = [one for one in found if one.ensemble.kind == "repeated"]
    chosen = over_repeats(one.ensemble.score(one.ensemble.chosen_correct) for one in repeated)
    member = over_repeats(one.ensemble.score(one.member_correct) for one in repeated)
    means = [
        Cell(f"{mean.mean:.3f}", mean.mean, mean.interval) if mean else EMPTY
        for mean in (chosen, member)
    ]
    name = found[0].ensemble.name
    cells = (
        Cell(f"mean over {over.n_splits} clean splits", "mean"),
        *means,
        Cell(signed(over.mean), over.mean, over.interval),
        *[EMPTY] * 6,
    )
    return Row(cells, capital(ensemble_title(inputs, name)), tag_of(inputs, name))
