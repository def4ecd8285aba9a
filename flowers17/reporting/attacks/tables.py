"""The tables of Part C: robust accuracy, goals, cost and distortion, transfer."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from flowers17.reporting.attacks.cells import (
    attack_on,
    attack_title,
    attacks_on,
    budget_title,
    model_title,
    models_of,
    notes,
    reached_cell,
    share_cell,
    tag_of,
)
from flowers17.reporting.attacks.records import Attack, Transfer
from flowers17.reporting.attacks.sanity import sanity_table
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.tables import EMPTY, Cell, Column, Row, Table
from flowers17.reporting.wording import capital

SWEPT = ("noise", "fgsm", "pgd")
_PAIRS = "The pairs of one image with several targets depend on each other; intervals allow for it."


def attack_tables(inputs: ReportInputs) -> list[Table]:
    """Return Tables C1 to C5, those that have rows."""
    if not inputs.attacks:
        return []
    tables = [
        robust_table(inputs),
        goals_table(inputs),
        costs_table(inputs),
        transfer_table(inputs),
        sanity_table(inputs),
    ]
    return [table for table in tables if table.rows]


def robust_table(inputs: ReportInputs) -> Table:
    """Return Table C1: robust accuracy by model, budget and attack."""
    names = [name for name in SWEPT if any(one.name == name for one in inputs.attacks)]
    columns: tuple[Column[Any], ...] = (
        Column("budget", "Budget", numeric=False),
        *(Column(name, capital(attack_title(name)), interval=True) for name in names),
    )
    rows = []
    for model in models_of(inputs):
        swept = {name: found for name in names if (found := attack_on(inputs, model, name))}
        group, tag = capital(model_title(model)), tag_of(inputs, model)
        if not swept:
            continue
        clean = [
            share_cell(one.runs[0].n_right, one.runs[0].n, one.artifact.reference)
            if (one := swept.get(name))
            else EMPTY
            for name in names
        ]
        rows.append(Row((Cell("none", 0.0), *clean), group, tag))
        for epsilon in sorted({run.epsilon or 0.0 for one in swept.values() for run in one.runs}):
            cells = [_robust_cell(swept.get(name), epsilon) for name in names]
            rows.append(Row((Cell(budget_title(epsilon), epsilon), *cells), group, tag))
    return Table(
        "C1",
        "Robust accuracy by budget",
        columns,
        tuple(rows),
        "The share of images that a model has right before and after an attack of a size.",
        (
            *notes(inputs),
            "Sign noise moves each value up or down by the whole budget, as a coin says: the "
            "floor. No gradient is taken of ensembles and of classifiers: see Table C4.",
        ),
    )


def _robust_cell(one: Attack | None, epsilon: float) -> Cell:
    for run in one.runs if one else ():
        if one and run.epsilon == epsilon:
            return share_cell(run.n_withstood, run.n, one.artifact.reference)
    return EMPTY


def goals_table(inputs: ReportInputs) -> Table:
    """Return Table C2: the four goals of an attacker, at one budget."""
    columns: tuple[Column[Any], ...] = (
        Column("attack", "Attack", numeric=False),
        Column("budget", "Budget", numeric=False),
        Column("n", "Images or pairs"),
        Column("n_right", "Right before"),
        Column("confidence_drop", "Confidence reduction"),
        Column("misclassified", "Misclassification", interval=True),
        Column("targeted", "Targeted misclassification", interval=True),
        Column("easiest", "Easiest target", numeric=False),
        Column("pairs", "Pairs of classes reached"),
    )
    rows = []
    for model in models_of(inputs):
        for one in attacks_on(inputs, model):
            run, source = one.main, one.artifact.reference
            drop, targeted = EMPTY, EMPTY
            if run.confidence_drop is not None:
                drop = Cell(f"{run.confidence_drop:.3f}", run.confidence_drop, artifact=source)
            if run.n_targeted is not None:
                targeted = reached_cell(one, one.reached(run))
            cells = (
                Cell(capital(attack_title(one.name))),
                Cell(budget_title(run.epsilon), run.epsilon),
                Cell(f"{run.n:,}", run.n),
                Cell(f"{run.n_right:,}", run.n_right, artifact=source),
                drop,
                reached_cell(one, one.fooled(run)),
                targeted,
                *_pairs(one),
            )
            rows.append(Row(cells, capital(model_title(model)), tag_of(inputs, model)))
    return Table(
        "C2",
        "The attacker’s goals",
        columns,
        tuple(rows),
        "Confidence reduction, misclassification, targeted and source/target misclassification.",
        (
            "Every goal counts the images, or pairs of an image and a target, that were right "
            "before. Confidence reduction is the mean drop of the true class’s probability. A pair "
            "of classes is reached if any of its images is.",
            _PAIRS,
        ),
    )


def _pairs(one: Attack) -> tuple[Cell, Cell]:
    """Return the target most often reached, and how many pairs of classes were."""
    if one.main.n_targeted is None:
        return EMPTY, EMPTY
    reached, tried = one.artifact.array("source-target")
    source = one.artifact.reference
    n_tried = int((tried > 0).sum())
    if not n_tried:
        return EMPTY, EMPTY
    n_pairs = int((reached > 0).sum())
    by_target = reached.sum(axis=0) / np.maximum(tried.sum(axis=0), 1)
    best = int(by_target.argmax())
    easiest = f"{one.classes[best]} ({reached[:, best].sum()} of {tried[:, best].sum()})"
    text = f"{n_pairs} of {n_tried}"
    return Cell(easiest, artifact=source), Cell(text, n_pairs, artifact=source)


def costs_table(inputs: ReportInputs) -> Table:
    """Return Table C3: what successes take, in questions, gradients and changes to the image."""
    columns: tuple[Column[Any], ...] = (
        Column("attack", "Attack", numeric=False),
        Column("access", "Access", numeric=False),
        Column("budget", "Budget", numeric=False),
        Column("success", "Success", interval=True),
        Column("n_queries", "Queries"),
        Column("n_gradients", "Gradients"),
        Column("l0", "L0, share of values"),
        Column("l2", "L2"),
        Column("linf", "L∞, in 255ths"),
        Column("ssim", "SSIM"),
    )
    rows = [
        Row(_costs(one), capital(model_title(model)), tag_of(inputs, model))
        for model in models_of(inputs)
        for one in attacks_on(inputs, model)
    ]
    return Table(
        "C3",
        "What an attack costs and changes",
        columns,
        tuple(rows),
        "Medians over the images that an attack succeeded with; of attacks with a budget, at the "
        "one that pictures are of.",
        (
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


def _costs(one: Attack) -> tuple[Cell, ...]:
    run, source = one.main, one.artifact.reference
    chosen = one.reached(run)
    head = (
        Cell(capital(attack_title(one.name))),
        Cell(str(one.result["access"])),
        Cell(budget_title(run.epsilon), run.epsilon),
        reached_cell(one, chosen),
    )
    if not chosen.any():
        return head
    size = int(one.result["image_size"])
    scales = {"n_queries": 1.0, "n_gradients": 1.0, "l0": 1 / (3 * size**2), "l2": 1.0}
    scales |= {"linf": 255.0, "ssim": 1.0}
    forms = {"n_queries": ",.0f", "n_gradients": ",.0f", "l0": ".2%", "linf": ".1f", "ssim": ".4f"}
    values = {
        name: float(np.median(one.column(name, run)[chosen])) * scale
        for name, scale in scales.items()
    }
    cells = [
        Cell(format(value, forms.get(name, ".2f")), value, artifact=source)
        for name, value in values.items()
    ]
    return (*head, *cells)


def transfer_table(inputs: ReportInputs) -> Table:
    """Return Table C4: whom images fool that were made on one network."""
    transfers = inputs.transfers
    names = list(dict.fromkeys(name for one in transfers for name in one.victims))
    rows: list[Row] = []
    columns: tuple[Column[Any], ...] = (
        Column("source", "Images made on", numeric=False),
        Column("attack", "By", numeric=False),
        *(Column(name, capital(model_title(name)), interval=True) for name in names),
    )
    for one in transfers:
        found = one.artifact.reference
        rows += _accuracies(one, names)
        for source in one.sources:
            right = dict(zip(one.victims, source["n_right"], strict=True))
            stood = dict(zip(one.victims, source["n_withstood"], strict=True))
            cells = [
                share_cell(right[name] - stood[name], right[name], found)
                if name in right
                else EMPTY
                for name in names
            ]
            what = f"{attack_title(source['attack'])}, {budget_title(source['budget'])}"
            rows.append(Row((Cell(capital(model_title(source["model"]))), Cell(what), *cells)))
    return Table(
        "C4",
        "Transfer: images made on one network, shown to every model",
        columns,
        tuple(rows),
        "The share of the images that a model has right and that fool it; first, its accuracy.",
        (
            "Where source and model are the same, this is the white box itself, its images rounded "
            "to 8 bits. The stacked model has no gradient to follow; images made on its members "
            "may reach it all the same.",
        ),
    )


def _accuracies(one: Transfer, names: list[str]) -> Iterator[Row]:
    """Yield the models' accuracy on the images that attacks began with: a row for each size."""
    n_right = {source["image_size"]: source["n_right"] for source in one.sources}
    for size, counts in n_right.items():
        title = f"nothing: accuracy at {size} pixels" if len(n_right) > 1 else "nothing: accuracy"
        right = dict(zip(one.victims, counts, strict=True))
        cells = [
            share_cell(right[name], one.result["n_images"], one.artifact.reference)
            if name in right
            else EMPTY
            for name in names
        ]
        yield Row((Cell(title), EMPTY, *cells))
