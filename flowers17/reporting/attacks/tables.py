"""The tables of attacks: robust accuracy, goals, cost and distortion, transfer, sanity."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from flowers17.reporting.attacks.cells import (
    SWEPT,
    AttackedModel,
    attack_title,
    attacked_models,
    budget_title,
    model_title,
    share_cell,
    variant_title,
)
from flowers17.reporting.attacks.records import Attack, Transfer
from flowers17.reporting.attacks.sanity import sanity_table
from flowers17.reporting.cells import Cell
from flowers17.reporting.columns import Column, Record
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import Measured, clustered_interval
from flowers17.reporting.tables import Table
from flowers17.reporting.wording import capital
from flowers17.reporting.words import worded_table


def attack_tables(inputs: ReportInputs) -> list[Table]:
    """Tables C1 to C5, those that have rows."""
    tables = (
        robust_table(inputs),
        *_attacks_tables(inputs),
        transfer_table(inputs),
        sanity_table(inputs),
    )
    return [table for table in tables if table.rows]


def robust_table(inputs: ReportInputs) -> Table:
    """Table C1: robust accuracy by model, budget and attack."""
    names = {attack.name for attack in inputs.attacks}
    columns = [
        Column(name, capital(attack_title(name)), interval=True) for name in SWEPT if name in names
    ]
    columns.append(Column("worst", "All of them", interval=True))
    records = [record for model in attacked_models(inputs) for record in _robust_records(model)]
    return worded_table("C1", records, columns=columns, inputs=inputs)


def _robust_records(model: AttackedModel) -> Iterator[Record]:
    attacks = model.swept.values()
    for epsilon in sorted({epsilon for attack in attacks for epsilon in attack.by_budget}):
        values: dict[str, Any] = {"budget": Cell(budget_title(epsilon), epsilon)}
        for attack in attacks:
            if epsilon in attack.by_budget:
                counts = attack.by_budget[epsilon]
                values[attack.name] = share_cell(*counts, attack.artifact.reference)
        values["worst"] = model.withstanding(epsilon)
        yield Record(values, group=model.title, tag=model.tag)


def _attacks_tables(inputs: ReportInputs) -> list[Table]:
    """Table C2: the four goals of an attacker, at one budget. Table C3: what successes take."""
    variants = {attack.variant for attack in inputs.attacks}
    records = [
        Record(
            _attack_values(attack),
            group=model.title,
            tag=model.tag,
            source=attack.artifact.reference,
        )
        for model in attacked_models(inputs)
        for attack in model.attacks
    ]
    return [worded_table(number, records, variants=variants) for number in ("C2", "C3")]


def _attack_values(attack: Attack) -> dict[str, Any]:
    """What an attack reaches and what its successes take, by the columns of both tables."""
    main, goals, tried = attack.main, *attack.source_target
    values: dict[str, Any] = {
        "attack": capital(variant_title(attack)),
        "access": attack.access,
        "budget": Cell(budget_title(main.epsilon), main.epsilon),
        "n": main.n,
        "n_right": main.n_right,
        "confidence_drop": main.confidence_drop,
        "misclassified": _share_reached(attack, attack.fooled(main)),
        "success": _share_reached(attack, attack.reached),
    }
    if main.n_targeted is not None:
        values["targeted"] = _share_reached(attack, attack.reached)
    if tried.any():
        # The target most often reached, and the pairs of classes reached by any of their images.
        of_target, tried_of_target = goals.sum(axis=0), tried.sum(axis=0)
        target = int((of_target / np.maximum(tried_of_target, 1)).argmax())
        counts = f"({of_target[target]} of {tried_of_target[target]})"
        values["easiest"] = f"{attack.classes[target]} {counts}"
        n_reached, n_tried = (int(np.count_nonzero(pairs)) for pairs in (goals, tried))
        text, source = f"{n_reached} of {n_tried}", attack.artifact.reference
        values["pairs"] = Cell(text, n_reached, artifact=source)
    # In the units of the columns: shares of values, and 255ths.
    scales = {"n_queries": 1.0, "n_gradients": 1.0, "l0": 1 / (3 * attack.image_size**2)}
    scales |= {"l2": 1.0, "linf": 255.0, "ssim": 1.0}
    for name, scale in scales.items() if attack.reached.any() else ():
        values[name] = float(np.median(attack.column(name, main)[attack.reached])) * scale
    return values


def _share_reached(attack: Attack, goal: np.ndarray) -> Measured | None:
    """Share of what was right before that reached a goal, with its interval; None of nothing.

    goal: bool (n,). Pairs of one image and several targets are no independent observations.
    """
    if not attack.right.any():
        return None
    counted = goal[attack.right]
    interval = clustered_interval(counted, attack.rows[attack.right])
    return Measured(int(counted.sum()) / len(counted), interval)


def transfer_table(inputs: ReportInputs) -> Table:
    """Table C4: whom images fool that were made on one network."""
    victims = dict.fromkeys(name for transfer in inputs.transfers for name in transfer.victims)
    columns = [Column(name, capital(model_title(name)), interval=True) for name in victims]
    records = [record for transfer in inputs.transfers for record in _transfer_records(transfer)]
    return worded_table("C4", records, columns=columns)


def _transfer_records(transfer: Transfer) -> Iterator[Record]:
    """Yield the models' accuracy on clean images of each size, then whom each attack's fool."""
    reference = transfer.artifact.reference
    n_right = {source["image_size"]: source["n_right"] for source in transfer.sources}
    for size, counts in n_right.items():
        title = f"nothing: accuracy at {size} pixels" if len(n_right) > 1 else "nothing: accuracy"
        shares = [share_cell(right, transfer.n_images, reference) for right in counts]
        yield Record({"source": title, **dict(zip(transfer.victims, shares, strict=True))})
    for source in transfer.sources:
        pairs = zip(source["n_right"], source["n_withstood"], strict=True)
        shares = [share_cell(right - withstood, right, reference) for right, withstood in pairs]
        yield Record(
            {
                "source": capital(model_title(source["model"])),
                "attack": f"{attack_title(source['attack'])}, {budget_title(source['budget'])}",
                **dict(zip(transfer.victims, shares, strict=True)),
            }
        )
