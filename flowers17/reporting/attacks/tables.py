"""The tables of Part C: robust accuracy, goals, cost and distortion, transfer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flowers17.reporting.attacks.cells import (
    SWEPT,
    attack_title,
    attacked_models,
    budget_title,
    image_notes,
    model_title,
    share_cell,
    share_column,
)
from flowers17.reporting.attacks.records import Attack, Transfer
from flowers17.reporting.attacks.sanity import sanity_table
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.columns import number_column, text_column
from flowers17.reporting.metrics import clustered_interval
from flowers17.reporting.tables import Cell, Column, Record, Table
from flowers17.reporting.wording import capital, thousands

_PAIRS = "The pairs of one image with several targets depend on each other; intervals allow for it."


def attack_tables(inputs: ReportInputs) -> list[Table]:
    """Tables C1 to C5, those that have rows."""
    makers = (robust_table, goals_table, costs_table, transfer_table, sanity_table)
    return [table for maker in makers if (table := maker(inputs)).rows]


@dataclass(frozen=True)
class BudgetRecord(Record):
    """The attacks on a model, by name, at one budget. epsilon: in 255ths; 0 before any attack."""

    attacks: Mapping[str, Attack]
    epsilon: float


def _robust_column(name: str) -> Column[BudgetRecord]:
    """Column of the robust accuracy under an attack."""

    def cell(record: BudgetRecord) -> Cell | None:
        attack = record.attacks.get(name)
        counts = attack.by_budget.get(record.epsilon) if attack else None
        return share_cell(*counts, attack.artifact.reference) if attack and counts else None

    return Column(name, capital(attack_title(name)), cell, interval=True)


def robust_table(inputs: ReportInputs) -> Table:
    """Table C1: robust accuracy by model, budget and attack."""
    names = {attack.name for attack in inputs.attacks}
    return Table(
        "C1",
        "Robust accuracy by budget",
        [
            text_column("budget", "Budget", _budget, lambda r: r.epsilon),
            *(_robust_column(name) for name in SWEPT if name in names),
        ],
        [
            BudgetRecord(model.swept, epsilon, group=model.title, tag=model.tag)
            for model in attacked_models(inputs)
            for epsilon in sorted({e for attack in model.swept.values() for e in attack.by_budget})
        ],
        lead="The share of images that a model has right before and after an attack of a size.",
        notes=(
            *image_notes(inputs),
            "Sign noise moves each value up or down by the whole budget, as a coin says: the "
            "floor. No gradient is taken of ensembles and of classifiers: see Table C4.",
        ),
    )


def _budget(record: BudgetRecord) -> str:
    return budget_title(record.epsilon)


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


@dataclass(frozen=True)
class TransferRecord(Record):
    """Images made on one network, or clean ones, without a method.

    counts: by model, how many fool it, or are right if clean, and of how many.
    """

    title: str
    method: str | None
    counts: Mapping[str, tuple[int, int]]


def _victim_column(name: str) -> Column[TransferRecord]:
    return share_column(name, capital(model_title(name)), lambda record: record.counts.get(name))


def transfer_table(inputs: ReportInputs) -> Table:
    """Table C4: whom images fool that were made on one network."""
    victims = dict.fromkeys(name for transfer in inputs.transfers for name in transfer.victims)
    return Table(
        "C4",
        "Transfer: images made on one network, shown to every model",
        [
            text_column("source", "Images made on", lambda r: r.title),
            text_column("attack", "By", lambda r: r.method),
            *map(_victim_column, victims),
        ],
        [record for transfer in inputs.transfers for record in _transfer_records(transfer)],
        lead="The share of the images that a model has right and that fool it; first, its "
        "accuracy.",
        notes=(
            "Where source and model are the same, this is the white box itself, its images rounded "
            "to 8 bits. The stacked model has no gradient to follow; images made on its members "
            "may reach it all the same.",
        ),
    )


def _transfer_records(transfer: Transfer) -> Iterator[TransferRecord]:
    """Yield the models' accuracy on clean images of each size, then whom each attack's fool."""
    victims, reference = transfer.victims, transfer.artifact.reference
    n_right = {source["image_size"]: source["n_right"] for source in transfer.sources}
    for size, numbers in n_right.items():
        title = f"nothing: accuracy at {size} pixels" if len(n_right) > 1 else "nothing: accuracy"
        pairs = [(right, transfer.n_images) for right in numbers]
        yield TransferRecord(title, None, dict(zip(victims, pairs, strict=True)), source=reference)
    for source in transfer.sources:
        withstood = zip(source["n_right"], source["n_withstood"], strict=True)
        pairs = [(right - n, right) for right, n in withstood]
        yield TransferRecord(
            capital(model_title(source["model"])),
            f"{attack_title(source['attack'])}, {budget_title(source['budget'])}",
            dict(zip(victims, pairs, strict=True)),
            source=reference,
        )
