"""Table 5-paired: is the ensemble better than its best member, image by image?"""

from dataclasses import dataclass

import numpy as np

from flowers17.reporting.columns import score_column, text_column
from flowers17.reporting.ensembles.ensemble import Ensemble, ensembles_of
from flowers17.reporting.ensembles.records import EnsembleResult
from flowers17.reporting.ensembles.titles import method_title
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import MeanSpread
from flowers17.reporting.paired_comparisons import (
    P_COLUMNS,
    PairedComparison,
    PairedRecord,
    difference_column,
    mean_judged,
    mean_over_splits,
    mean_text,
    only_first_column,
    only_second_column,
    paired_comparisons,
)
from flowers17.reporting.records import Score, over_repeats
from flowers17.reporting.tables import Column, Table
from flowers17.reporting.wording import p_text, signed


@dataclass(frozen=True, kw_only=True)
class BestMemberRecord(PairedRecord):
    """An ensemble's chosen method and its best member; result: None over repeated splits."""

    ensemble: Ensemble
    result: EnsembleResult | None = None


def _member_score(record: BestMemberRecord) -> Score | MeanSpread | None:
    if record.result:
        return record.result.best_member_score
    return over_repeats(result.best_member_score for result in record.ensemble.repeated)


_COLUMNS: tuple[Column[BestMemberRecord], ...] = (
    text_column("split", "Split", lambda r: r.title, lambda r: r.value),
    score_column(
        "ensemble_accuracy",
        "Ensemble",
        lambda r: r.result.chosen_score if r.result else r.ensemble.chosen_mean,
    ),
    score_column("member_accuracy", "Member", _member_score),
    difference_column(interval=True),
    only_first_column("only_ensemble", "Ensemble alone right"),
    only_second_column("only_member", "Member alone right"),
    *P_COLUMNS,
    text_column(
        "method",
        "Ensemble, by",
        lambda r: method_title(r.result.chosen[0]) if r.result else None,
        lambda r: r.result.chosen[0] if r.result else None,
    ),
    text_column(
        "member",
        "Best member",
        lambda r: r.ensemble.member_title(r.result.best_member) if r.result else None,
        lambda r: r.result.best_member if r.result else None,
    ),
)


def ensemble_paired_table(inputs: ReportInputs) -> Table:
    """Table 5-paired: each ensemble's chosen method against its best member."""
    ensembles = [ensemble for ensemble in ensembles_of(inputs) if ensemble.combined]
    results = [result for ensemble in ensembles for result in ensemble.combined]
    comparisons = dict(zip(results, paired_comparisons(map(answers, results)), strict=True))
    records, verdicts = [], []
    for ensemble in ensembles:
        group, tag, repeated = ensemble.capital_title, ensemble.tag, ensemble.repeated
        records += [
            BestMemberRecord(
                title=result.split,
                value=result.split,
                comparison=comparisons[result],
                ensemble=ensemble,
                result=result,
                group=group,
                tag=tag,
                source=result.reference,
            )
            for result in ensemble.combined
        ]
        mean = mean_over_splits(
            [comparisons[result] for result in repeated], (result.n_train for result in repeated)
        )
        if mean:
            records.append(
                BestMemberRecord(
                    title=f"mean over {mean.n_splits} clean splits",
                    value="mean",
                    mean=mean,
                    ensemble=ensemble,
                    group=group,
                    tag=tag,
                )
            )
        verdicts.append(_verdict(ensemble, comparisons[ensemble.combined[0]], mean))
    return Table(
        "5-paired",
        "Is an ensemble better than its best member?",
        _COLUMNS,
        records,
        lead=" ".join(verdicts),
        notes=(
            "The method has the most training images right out of fold, and so has the member: no "
            "validation image picks either. Both predict with the same kind of models, refitted "
            "or averaged. McNemar’s test counts the images on which exactly one of the two is "
            "right; Holm’s correction allows for the number of tests, also in the sentence above.",
            "Over several splits the difference has the interval of Nadeau and Bengio (2003).",
        ),
    )


def answers(result: EnsembleResult) -> tuple[np.ndarray, np.ndarray]:
    """Whether the chosen method, and the best member by the same models, has each image right.

    Both are bool (n_validation,), and both chosen on the training images alone.
    """
    method, by = result.chosen
    chosen, member = result.predicted(method, by), result.predicted(result.best_member, by)
    return chosen == result.truth, member == result.truth


def _verdict(ensemble: Ensemble, first: PairedComparison, mean: MeanSpread | None) -> str:
    """Plainly, whether an ensemble is better than its best member.

    By the mean difference over repeated splits, if there are several, else on the first split.
    """
    result, title = ensemble.combined[0], ensemble.capital_title
    if mean:
        where = f"over {mean.n_splits} clean splits"
        return f"{title} is {mean_judged(mean)} its best member {where}: {mean_text(mean)}."
    p = p_text(first.p_holm)
    return (
        f"{title}, by {method_title(result.chosen[0])}, is {first.reading} its best member, "
        f"{ensemble.member_title(result.best_member)}, on {result.split_title}: "
        f"{signed(first.difference)}, p {p if p.startswith('<') else f'= {p}'}."
    )
