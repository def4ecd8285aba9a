"""The tables of Part C: robust accuracy, goals, cost and distortion, transfer."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from flowers17.reporting.attacks.cells import (
    SWEPT,
    AttackedModel,
    Share,
    ShareRecord,
    attack_title,
    attacked_models,
    budget_title,
    model_title,
    share_column,
    variant_title,
)
from flowers17.reporting.attacks.records import Attack, Transfer
from flowers17.reporting.attacks.sanity import sanity_table
from flowers17.reporting.columns import number_column, score_column, text_column
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import Measured, clustered_interval
from flowers17.reporting.tables import Cell, Column, RecordOf, Table
from flowers17.reporting.wording import capital, thousands
from flowers17.reporting.words import worded_table


def attack_tables(inputs: ReportInputs) -> list[Table]:
    """Tables C1 to C5, those that have rows."""
    makers = (robust_table, goals_table, costs_table, transfer_table, sanity_table)
    return [table for maker in makers if (table := maker(inputs)).rows]


def robust_table(inputs: ReportInputs) -> Table:
    """Table C1: robust accuracy by model, budget and attack."""
    names = {attack.name for attack in inputs.attacks}
    columns: list[Column[ShareRecord]] = [
        text_column("budget", "Budget", lambda r: r.title, lambda r: r.value),
        *(share_column(name, capital(attack_title(name))) for name in SWEPT if name in names),
    ]
    records = [record for model in attacked_models(inputs) for record in _robust_records(model)]
    return worded_table("C1", columns, records, inputs=inputs)


def _robust_records(model: AttackedModel) -> Iterator[ShareRecord]:
    attacks = model.swept.values()
    for epsilon in sorted({epsilon for attack in attacks for epsilon in attack.by_budget}):
        shares = {
            attack.name: Share(*attack.by_budget[epsilon], attack.artifact.reference)
            for attack in attacks
            if epsilon in attack.by_budget
        }
        title = budget_title(epsilon)
        yield ShareRecord(title, shares, epsilon, group=model.title, tag=model.tag)


def _attack_records(inputs: ReportInputs) -> list[RecordOf[Attack]]:
    return [
        RecordOf[Attack](attack, group=model.title, tag=model.tag, source=attack.artifact.reference)
        for model in attacked_models(inputs)
        for attack in model.attacks
    ]


def _attacks_table(
    name: str, inputs: ReportInputs, columns: Sequence[Column[RecordOf[Attack]]]
) -> Table:
    variants = {attack.variant for attack in inputs.attacks}
    return worded_table(name, columns, _attack_records(inputs), variants=variants)


def _reached_column(
    key: str, title: str, reached: Callable[[Attack], np.ndarray | None]
) -> Column[RecordOf[Attack]]:
    """Column of the share of what was right before that reached a goal, with its interval.

    reached: bool (n,); None where an attack has no such goal. Pairs of one image and several
    targets are no independent observations.
    """

    def share(record: RecordOf[Attack]) -> Measured | None:
        attack = record.of
        goal = reached(attack)
        if goal is None or not attack.right.any():
            return None
        counted = goal[attack.right]
        interval = clustered_interval(counted, attack.rows[attack.right])
        return Measured(int(counted.sum()) / len(counted), interval)

    return score_column(key, title, share)


def _targeted(attack: Attack) -> np.ndarray | None:
    return None if attack.main.n_targeted is None else attack.reached


def _easiest_cell(record: RecordOf[Attack]) -> Cell | None:
    """Cell of the target most often reached."""
    reached, tried = (pairs.sum(axis=0) for pairs in record.of.source_target)
    if not tried.any():
        return None
    target = int((reached / np.maximum(tried, 1)).argmax())
    name = record.of.classes[target]
    return Cell(f"{name} ({reached[target]} of {tried[target]})", artifact=record.source)


def _pairs_cell(record: RecordOf[Attack]) -> Cell | None:
    """Cell of how many pairs of classes were reached by any of their images."""
    n_reached, n_tried = (int(np.count_nonzero(pairs)) for pairs in record.of.source_target)
    if not n_tried:
        return None
    return Cell(f"{n_reached} of {n_tried}", n_reached, artifact=record.source)


_ATTACK: Column[RecordOf[Attack]] = text_column(
    "attack", "Attack", lambda r: capital(variant_title(r.of))
)
_BUDGET: Column[RecordOf[Attack]] = text_column(
    "budget",
    "Budget",
    lambda r: budget_title(r.of.main.epsilon),
    lambda r: r.of.main.epsilon,
)
_GOAL_COLUMNS: Sequence[Column[RecordOf[Attack]]] = (
    _ATTACK,
    _BUDGET,
    number_column("n", "Images or pairs", lambda r: r.of.main.n, thousands, linked=False),
    number_column("n_right", "Right before", lambda r: r.of.main.n_right, thousands),
    number_column("confidence_drop", "Confidence reduction", lambda r: r.of.main.confidence_drop),
    _reached_column("misclassified", "Misclassification", lambda a: a.fooled(a.main)),
    _reached_column("targeted", "Targeted misclassification", _targeted),
    Column("easiest", "Easiest target", _easiest_cell, numeric=False),
    Column("pairs", "Pairs of classes reached", _pairs_cell),
)


def goals_table(inputs: ReportInputs) -> Table:
    """Table C2: the four goals of an attacker, at one budget."""
    return _attacks_table("C2", inputs, _GOAL_COLUMNS)


def _median_column(
    key: str,
    title: str,
    form: str,
    scale: Callable[[Attack], float] = lambda attack: 1.0,
    *,
    unit: str = "",
) -> Column[RecordOf[Attack]]:
    """Column of the median of one of an attack's arrays over what it succeeded with, scaled."""

    def value(record: RecordOf[Attack]) -> float | None:
        attack = record.of
        if not attack.reached.any():
            return None
        return float(np.median(attack.column(key, attack.main)[attack.reached])) * scale(attack)

    return number_column(key, title, value, form, unit=unit)


_COST_COLUMNS: Sequence[Column[RecordOf[Attack]]] = (
    _ATTACK,
    text_column("access", "Access", lambda r: r.of.access),
    _BUDGET,
    _reached_column("success", "Success", lambda a: a.reached),
    _median_column("n_queries", "Queries", ",.0f"),
    _median_column("n_gradients", "Gradients", ",.0f"),
    _median_column("l0", "L0", ".2%", lambda a: 1 / (3 * a.image_size**2), unit="share of values"),
    _median_column("l2", "L2", ".2f"),
    _median_column("linf", "L∞", ".1f", lambda a: 255.0, unit="in 255ths"),
    _median_column("ssim", "SSIM", ".4f"),
)


def costs_table(inputs: ReportInputs) -> Table:
    """Table C3: what successes take, in questions, gradients and changes to the image."""
    return _attacks_table("C3", inputs, _COST_COLUMNS)


def transfer_table(inputs: ReportInputs) -> Table:
    """Table C4: whom images fool that were made on one network."""
    victims = dict.fromkeys(name for transfer in inputs.transfers for name in transfer.victims)
    columns: list[Column[ShareRecord]] = [
        text_column("source", "Images made on", lambda r: r.title),
        text_column("attack", "By", lambda r: r.attack),
        *(share_column(name, capital(model_title(name))) for name in victims),
    ]
    records = [record for transfer in inputs.transfers for record in _transfer_records(transfer)]
    return worded_table("C4", columns, records)


def _transfer_records(transfer: Transfer) -> Iterator[ShareRecord]:
    """Yield the models' accuracy on clean images of each size, then whom each attack's fool."""
    reference = transfer.artifact.reference
    n_right = {source["image_size"]: source["n_right"] for source in transfer.sources}
    for size, counts in n_right.items():
        title = f"nothing: accuracy at {size} pixels" if len(n_right) > 1 else "nothing: accuracy"
        shares = [Share(right, transfer.n_images, reference) for right in counts]
        yield ShareRecord(title, dict(zip(transfer.victims, shares, strict=True)))
    for source in transfer.sources:
        pairs = zip(source["n_right"], source["n_withstood"], strict=True)
        shares = [Share(right - withstood, right, reference) for right, withstood in pairs]
        yield ShareRecord(
            capital(model_title(source["model"])),
            dict(zip(transfer.victims, shares, strict=True)),
            attack=f"{attack_title(source['attack'])}, {budget_title(source['budget'])}",
        )
