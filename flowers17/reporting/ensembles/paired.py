"""Table 5-paired: is the ensemble better than its best member, image by image?"""

import numpy as np

from flowers17.reporting.columns import score_column, text_column
from flowers17.reporting.ensembles.ensemble import ensembles_of
from flowers17.reporting.ensembles.records import EnsembleResult
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.paired_comparisons import (
    PairedRecord,
    comparison_columns,
    mean_verdict,
    paired_comparisons,
    with_mean,
)
from flowers17.reporting.tables import Column, Table
from flowers17.reporting.titles import method_title
from flowers17.reporting.words import worded_table

_COLUMNS: tuple[Column[PairedRecord], ...] = (
    text_column("split", "Split", lambda r: r.title, lambda r: r.value),
    score_column("ensemble_accuracy", "Ensemble", lambda r: r.first),
    score_column("member_accuracy", "Member", lambda r: r.second),
    *comparison_columns(
        first=("only_ensemble", "Ensemble alone right"),
        second=("only_member", "Member alone right"),
        interval=True,
    ),
    text_column(
        "method",
        "Ensemble, by",
        lambda r: method_title(r.of[1].chosen[0]) if r.of else None,
        lambda r: r.of[1].chosen[0] if r.of else None,
    ),
    text_column(
        "member",
        "Best member",
        lambda r: r.of[0].member_title(r.of[1].best_member) if r.of else None,
        lambda r: r.of[1].best_member if r.of else None,
    ),
)


def ensemble_paired_table(inputs: ReportInputs) -> Table:
    """Table 5-paired: each ensemble's chosen method against its best member."""
    ensembles = [ensemble for ensemble in ensembles_of(inputs) if ensemble.combined]
    results = [result for ensemble in ensembles for result in ensemble.combined]
    comparisons = dict(zip(results, paired_comparisons(map(answers, results)), strict=True))
    by_ensemble = []
    for ensemble in ensembles:
        records = [
            PairedRecord(
                result.split,
                result.split,
                comparisons[result],
                first=result.chosen_score,
                second=result.best_member_score,
                of=(ensemble, result),
                group=ensemble.capital_title,
                tag=ensemble.tag,
                source=result.reference,
            )
            for result in ensemble.combined
        ]
        by_ensemble.append(with_mean(records))
    return worded_table(
        "5-paired",
        _COLUMNS,
        [record for records in by_ensemble for record in records],
        by_ensemble=by_ensemble,
        mean_verdict=mean_verdict,
        method_title=method_title,
    )


def answers(result: EnsembleResult) -> tuple[np.ndarray, np.ndarray]:
    """Whether the chosen method, and the best member by the same models, has each image right.

    Both are bool (n_validation,), and both chosen on the training images alone.
    """
    method, by = result.chosen
    chosen, member = result.predicted(method, by), result.predicted(result.best_member, by)
    return chosen == result.truth, member == result.truth
