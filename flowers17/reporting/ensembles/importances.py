"""Table 6: what each member contributes to an ensemble, over all and class by class."""

from collections.abc import Mapping, Sequence
from typing import Any

from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.cells import (
    data_notes,
    ensemble_title,
    group_title,
    is_the_studys,
    learner_of,
    made_of,
    main_of,
    member_title,
    members_of,
    reason_unmade,
    split_title,
    suffix_of,
    tag_of,
)
from flowers17.reporting.ensembles.records import Ensemble
from flowers17.reporting.learners.cells import number_cell
from flowers17.reporting.reference import TABLE_6, title_of
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.wording import signed


def impurity_sums(one: Ensemble) -> dict[str, float]:
    """Return the random forest's impurity importance of each member, its columns together."""
    values: Mapping[str, float] = (one.result.get("importances") or {}).get("impurity") or {}
    return {
        member.name: sum(values[f"{member.name}/{name}"] for name in one.classes)
        for member in one.members
        if values
    }


def importances_table(inputs: ReportInputs, name: str) -> Table:
    """Return Table 6 of an ensemble: importance of each member, measured three ways."""
    studys, made = is_the_studys(inputs, name), made_of(inputs, name)
    rows = [row for one in made if one.stacked for row in _rows(inputs, one)]
    if studys and not rows:
        rows = [
            Row(
                (
                    Cell(member_title(inputs, member, short=True), member),
                    number_cell(TABLE_6.get(learner_of(member))),
                    *[EMPTY] * 6,
                ),
                "Base learners",
                missing=reason_unmade(inputs, name),
            )
            for member in members_of(inputs, name)
        ]
    return Table(
        f"6{suffix_of(inputs, name)}",
        title_of("table", 6) if studys else f"Importance of the members of ensemble {name}",
        (
            Column("member", "Member", numeric=False),
            *((Column("study_impurity", "study", group="Impurity importance"),) * studys),
            Column("impurity", "ours" if studys else "Impurity importance", group=_shared(studys)),
            Column("permutation", "Permutation: drop in accuracy"),
            Column("permutation_spread", "± s.d."),
            Column("left_out", "Accuracy without it"),
            Column("left_out_drop", "Drop"),
            Column("weight", "Weight in the weighted average"),
        ),
        tuple(rows),
        lead="Impurity: in the random forest fitted on out-of-fold predictions, summed over the "
        "member’s outputs; it cannot tell what the forest would do without them. The others are "
        "measured on the validation images.",
        notes=(
            "Permutation: the member’s outputs shuffled together among the images, 20 draws. "
            "Without it: the forest fitted again on the other members; the drop is against the "
            "forest with all.",
            *(("The study’s forest is fitted on the learners’ own training images.",) * studys),
            *data_notes(inputs, [tag_of(inputs, name)] if studys else []),
        ),
    )


def _shared(studys: bool) -> str:
    return "Impurity importance" if studys else ""


def _rows(inputs: ReportInputs, one: Ensemble) -> list[Row]:
    studys, source = is_the_studys(inputs, one.name), one.stacked and one.stacked.reference
    importances: Mapping[str, Any] = one.result.get("importances") or {}
    sums, n = impurity_sums(one), len(one.rows)
    forest = next((way for way in one.methods if way.name == "random_forest"), None)
    rows = []
    for member in one.members:
        reference = TABLE_6.get(learner_of(member.name)) if studys else None
        found: list[Cell] = [EMPTY] * 5
        if importances and forest:
            permuted = importances["permutation"][member.name]
            left_out = importances["left_out"][member.name] / n
            drop = forest.average / n - left_out
            found = [
                _cell(f"{sums[member.name]:.3f}", sums[member.name], source, reference),
                _cell(signed(permuted["mean"]), permuted["mean"], source),
                _cell(f"{permuted['spread']:.3f}", permuted["spread"], source),
                _cell(f"{left_out:.3f}", left_out, source),
                _cell(signed(drop), drop, source),
            ]
        weight = (one.result.get("weights") or {}).get(member.name)
        rows.append(
            Row(
                (
                    Cell(member_title(inputs, member.name, short=studys), member.name),
                    *((number_cell(reference),) * studys),
                    *found,
                    EMPTY if weight is None else _cell(f"{weight:.3f}", weight, source),
                ),
                group_title(inputs, one),
                tag_of(inputs, one.name),
            )
        )
    return rows


def _cell(text: str, value: float, source: Any, reference: float | None = None) -> Cell:
    return Cell(text, value, None, reference, source)


def classes_table(inputs: ReportInputs, name: str) -> Table:
    """Return Table 6-classes of an ensemble: which member helps which class, on its first split.

    Two numbers of each member: the drop in the class's recall if its outputs are shuffled, and the
    logistic regression's weight of its own probability of the class.
    """
    studys, one = is_the_studys(inputs, name), main_of(inputs, name)
    names = members_of(inputs, name)
    titles = [member_title(inputs, member, short=True) for member in names]
    importances: Mapping[str, Any] = (one.result.get("importances") if one else None) or {}
    weights: Sequence[Sequence[float]] = (one.result.get("coefficients") if one else None) or []
    columns: list[Column[Any]] = [Column("class", "Class", numeric=False)]
    rows = []
    for key, group, has in (
        ("drop", "Drop in recall, its outputs shuffled", importances),
        ("weight", "Weight of its own output", weights),
    ):
        columns += [
            Column(f"{key}_{member}", title, group=group)
            for member, title in zip(names, titles, strict=True)
            if has
        ]
    if one and len(columns) > 1:
        rows = [
            Row(
                (
                    Cell(label, label),
                    *_drop_cells(one, importances, label, names),
                    *_weight_cells(one, weights, index),
                ),
                tag=tag_of(inputs, name),
            )
            for index, label in enumerate(one.classes)
        ]
    where = split_title(one) if one else "a split"
    title = "base learner" if studys else "member"
    return Table(
        f"6{suffix_of(inputs, name)}-classes",
        f"Which {title} helps which class: {ensemble_title(inputs, name)}",
        tuple(columns),
        tuple(rows),
        lead=f"On {where}: the drop in a class’s recall when a member’s outputs are shuffled "
        "(random forest), and what the logistic regression makes of a member’s own output for "
        "the class.",
        notes=("All weights of the logistic regression are in the artifact’s result.json.",),
    )


def _drop_cells(
    one: Ensemble, importances: Mapping[str, Any], label: str, names: Sequence[str]
) -> list[Cell]:
    if not importances:
        return []
    source, drops = one.stacked and one.stacked.reference, importances["per_class"][label]
    return [_cell(signed(drops[name]), drops[name], source) for name in names]


def _weight_cells(one: Ensemble, weights: Sequence[Sequence[float]], index: int) -> list[Cell]:
    if not weights:
        return []
    source, c = one.stacked and one.stacked.reference, len(one.classes)
    own = [weights[index][place * c + index] for place in range(len(one.members))]
    return [_cell(signed(value), value, source) for value in own]
