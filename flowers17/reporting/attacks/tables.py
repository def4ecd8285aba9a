"""The tables of Part C: robust accuracy, goals, cost and distortion, transfer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flowers17.reporting.attacks.cells import (
    SWEPT,
    AttackedModel,
    Share,
    ShareRecord,
    attack_title,
    attacked_models,
    budget_title,
    image_notes,
    model_title,
    share_column,
)
from flowers17.reporting.attacks.records import Attack, Transfer
from flowers17.reporting.attacks.sanity import sanity_table
from flowers17.reporting.columns import number_column, text_column
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import clustered_interval
from flowers17.reporting.tables import Cell, Column, Record, Table
from flowers17.reporting.wording import capital, thousands

_PAIRS = "The pairs of one image with several targets depend on each other; intervals allow for it."


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
    return Table(
        "C1",
        "Robust accuracy by budget",
        columns,
        [record for model in attacked_models(inputs) for record in _robust_records(model)],
        lead="The share of images that a model has right before and after an attack of a size.",
        notes=(
            *image_notes(inputs),
            "Sign noise moves each value up or down by the whole budget, as a coin says: the "
            "floor. No gradient is taken of ensembles and of classifiers: see Table C4.",
        ),
    )


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


@dataclass(frozen=True)
class AttackRecord(Record):
    """An attack on a model, at the budget that pictures are of."""

    attack: Attack


def _attack_records(inputs: ReportInputs) -> list[AttackRecord]:
    return [
        AttackRecord(attack, group=model.title, tag=model.tag, source=attack.artifact.reference)
        for model in attacked_models(inputs)
        for attack in model.attacks
    ]


def _reached_column(
    key: str, title: str, reached: Callable[[Attack], np.ndarray | None]
) -> Column[AttackRecord]:
    """Column of the share of what was right before that reached a goal, with its interval.

    reached: bool (n,); None where an attack has no such goal. Pairs of one image and several
    targets are no independent observations.
    """

    def cell(record: AttackRecord) -> Cell | None:
        attack = record.attack
        goal = reached(attack)
        if goal is None or not attack.right.any():
            return None
        counted = goal[attack.right]
        share = int(counted.sum()) / len(counted)
        interval = clustered_interval(counted, attack.rows[attack.right])
        return Cell(f"{share:.3f}", share, interval, artifact=record.source)

    return Column(key, title, cell, interval=True)


def _targeted(attack: Attack) -> np.ndarray | None:
    return None if attack.main.n_targeted is None else attack.reached


def _easiest_cell(record: AttackRecord) -> Cell | None:
    """Cell of the target most often reached."""
    reached, tried = (pairs.sum(axis=0) for pairs in record.attack.source_target)
    if not tried.any():
        return None
    target = int((reached / np.maximum(tried, 1)).argmax())
    name = record.attack.classes[target]
    return Cell(f"{name} ({reached[target]} of {tried[target]})", artifact=record.source)


def _pairs_cell(record: AttackRecord) -> Cell | None:
    """Cell of how many pairs of classes were reached by any of their images."""
    n_reached, n_tried = (int(np.count_nonzero(pairs)) for pairs in record.attack.source_target)
    if not n_tried:
        return None
    return Cell(f"{n_reached} of {n_tried}", n_reached, artifact=record.source)


_ATTACK: Column[AttackRecord] = text_column(
    "attack", "Attack", lambda r: capital(attack_title(r.attack.name))
)
_BUDGET: Column[AttackRecord] = text_column(
    "budget",
    "Budget",
    lambda r: budget_title(r.attack.main.epsilon),
    lambda r: r.attack.main.epsilon,
)
_GOAL_COLUMNS: Sequence[Column[AttackRecord]] = (
    _ATTACK,
    _BUDGET,
    number_column("n", "Images or pairs", lambda r: r.attack.main.n, thousands, linked=False),
    number_column("n_right", "Right before", lambda r: r.attack.main.n_right, thousands),
    number_column(
        "confidence_drop", "Confidence reduction", lambda r: r.attack.main.confidence_drop
    ),
    _reached_column("misclassified", "Misclassification", lambda a: a.fooled(a.main)),
    _reached_column("targeted", "Targeted misclassification", _targeted),
    Column("easiest", "Easiest target", _easiest_cell, numeric=False),
    Column("pairs", "Pairs of classes reached", _pairs_cell),
)


def goals_table(inputs: ReportInputs) -> Table:
    """Table C2: the four goals of an attacker, at one budget."""
    return Table(
        "C2",
        "The attacker’s goals",
        _GOAL_COLUMNS,
        _attack_records(inputs),
        lead="Confidence reduction, misclassification, targeted and source/target "
        "misclassification.",
        notes=(
            "Every goal counts the images, or pairs of an image and a target, that were right "
            "before. Confidence reduction is the mean drop of the true class’s probability. A pair "
            "of classes is reached if any of its images is.",
            _PAIRS,
        ),
    )


def _median_column(
    key: str,
    title: str,
    form: str,
    scale: Callable[[Attack], float] = lambda attack: 1.0,
    *,
    unit: str = "",
) -> Column[AttackRecord]:
    """Column of the median of one of an attack's arrays over what it succeeded with, scaled."""

    def value(record: AttackRecord) -> float | None:
        attack = record.attack
        if not attack.reached.any():
            return None
        return float(np.median(attack.column(key, attack.main)[attack.reached])) * scale(attack)

    return number_column(key, title, value, form, unit=unit)


_COST_COLUMNS: Sequence[Column[AttackRecord]] = (
    _ATTACK,
    text_column("access", "Access", lambda r: r.attack.access),
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
    return Table(
        "C3",
        "What an attack costs and changes",
        _COST_COLUMNS,
        _attack_records(inputs),
        lead="Medians over the images that an attack succeeded with; of attacks with a budget, at "
        "the one that pictures are of.",
        notes=(
            "Success counts the images, or pairs of an image and a target, that were right before: "
            "wrong after, or taken for their target. Queries are images that the model was asked "
            "about, gradients are backward passes. SSIM is structural similarity (Wang et al. "
            "2004), 1 for the same picture.",
            _PAIRS,
            "Images are attacked at the data set’s size, or, of a fine-tuned network that sees the "
            "originals, at the size of its input; models that take another size get them resized, "
            "and black boxes get them rounded to 8 bits.",
        ),
    )


def transfer_table(inputs: ReportInputs) -> Table:
    """Table C4: whom images fool that were made on one network."""
    victims = dict.fromkeys(name for transfer in inputs.transfers for name in transfer.victims)
    columns: list[Column[ShareRecord]] = [
        text_column("source", "Images made on", lambda r: r.title),
        text_column("attack", "By", lambda r: r.attack),
        *(share_column(name, capital(model_title(name))) for name in victims),
    ]
    return Table(
        "C4",
        "Transfer: images made on one network, shown to every model",
        columns,
        [record for transfer in inputs.transfers for record in _transfer_records(transfer)],
        lead="The share of the images that a model has right and that fool it; first, its "
        "accuracy.",
        notes=(
            "Where source and model are the same, this is the white box itself, its images rounded "
            "to 8 bits. The stacked model has no gradient to follow; images made on its members "
            "may reach it all the same.",
        ),
    )


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
