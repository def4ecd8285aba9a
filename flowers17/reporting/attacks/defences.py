"""The tables of defences: what is left by attackers who know them, and attack by attack."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flowers17.reporting.attacks.cells import attack_title, budget_title, image_notes, share_column
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.columns import text_column
from flowers17.reporting.tables import Column, Record, Table
from flowers17.reporting.wording import capital

Counts = Mapping[str, Any]


@dataclass(frozen=True)
class DefenceRecord(Record):
    """A defence of a network, as the stage describes it, under all attacks or under one.

    by_budget: by budget in 255ths, how many of the n images withstood. attack, and view, what it
    takes the gradients of: empty under all.
    """

    defence: Counts
    by_budget: Mapping[float, Counts]
    view: str = ""
    attack: str = ""

    @property
    def title(self) -> str:
        """Display name of the defence: `median, 3 × 3`."""
        name = str(self.defence["name"])
        first, _, strength = name.partition(" ")
        if self.defence["kind"] == "adversarial training":
            return f"trained on {attack_title(first)}, {strength}/255"
        if self.defence["kind"] != "filter":
            return name
        known = {
            "median": f"{first}, {strength} × {strength}",
            "gaussian": f"Gaussian, σ {strength}",
        }
        return known.get(first, f"{name} a channel")

    def share(self, count: str, counts: Counts | None) -> tuple[int, int] | None:
        """One of some counts, and the number of images; None if it was not counted."""
        refuses = self.defence["kind"] == "detector"
        n = counts.get(count) if counts and (refuses or count != "n_refused") else None
        return None if n is None else (n, self.defence["n"])


def defence_tables(inputs: ReportInputs) -> list[Table]:
    """Tables C6 and C7, if a network was defended."""
    records = [
        DefenceRecord(
            defence,
            {counts["epsilon"]: counts for counts in defence["worst"]},
            group=capital(artifact.json("result")["network"]),
            source=artifact.reference,
        )
        for artifact in inputs.stage("defences")
        for defence in artifact.json("result")["defences"]
    ]
    budgets = sorted({epsilon for record in records for epsilon in record.by_budget})
    if not records:
        return []
    return [_defences_table(inputs, records, budgets), _attacks_table(records, budgets)]


def _at_budget(count: str, budget: float) -> Callable[[DefenceRecord], tuple[int, int] | None]:
    """The counts of a column at a budget."""
    return lambda record: record.share(count, record.by_budget.get(budget))


def _defences_table(
    inputs: ReportInputs, records: Sequence[DefenceRecord], budgets: Sequence[float]
) -> Table:
    """Table C6: each defence's accuracy, clean and by the worst attacks of each budget."""
    columns: list[Column[DefenceRecord]] = [
        text_column("defence", "Defence", lambda r: r.title),
        share_column("clean", "Clean accuracy", lambda r: r.share("n_right", r.defence)),
        share_column(
            "refused",
            "Clean images refused",
            lambda r: r.share("n_refused", r.defence),
            interval=False,
        ),
    ]
    for budget in budgets:
        group = f"Robust accuracy at {budget_title(budget)}"
        for key, title, count in (
            ("unaware", "Defence unknown", "n_withstood_unaware"),
            ("worst", "Defence known", "n_withstood"),
        ):
            counts, interval = _at_budget(count, budget), key == "worst"
            key = f"{key}_{budget:g}"
            columns.append(share_column(key, title, counts, group=group, interval=interval))
    return Table(
        "C6",
        "Defences, and attackers who know them",
        columns,
        records,
        lead="What a defence costs on clean images, and what it saves.",
        notes=(
            *image_notes(inputs),
            "Robust accuracy: the share of images that are right, and accepted, before, and right "
            "or refused after every attack of a budget: FGSM and PGD, each as Table C7 lists them. "
            "An attacker who does not know the defence attacks the network without it; one who "
            "does tries that as well.",
        ),
    )


def _attacks_table(records: Sequence[DefenceRecord], budgets: Sequence[float]) -> Table:
    """Table C7: each attack on each defence, by what the attacker takes the gradients of."""
    columns: list[Column[DefenceRecord]] = [
        text_column("gradients", "Gradients of", lambda r: r.view),
        text_column("attack", "Attack", lambda r: attack_title(r.attack)),
    ]
    for key in ("withstood", "refused"):
        for budget in budgets:
            counts, title = _at_budget(f"n_{key}", budget), budget_title(budget)
            columns.append(share_column(f"{key}_{budget:g}", title, counts, group=capital(key)))
    return Table(
        "C7",
        "Defences, attack by attack",
        columns,
        [attacked for record in records for attacked in _by_attack(record)],
        lead="Through a filter, gradients are its own; around it, they pass as if it were not "
        "there. Both together: network and detector as one model, also by steps so smooth that the "
        "detector, which sees what a blur takes away, does not see them.",
    )


def _by_attack(record: DefenceRecord) -> Iterator[DefenceRecord]:
    """Yield a defence's record under each attack."""
    runs: dict[tuple[str, str], dict[float, Counts]] = {}
    for run in record.defence["runs"]:
        runs.setdefault((run["view"], run["attack"]), {})[run["epsilon"]] = run
    group = f"{record.group}: {record.title}"
    for (view, attack), by_budget in runs.items():
        yield replace(record, by_budget=by_budget, view=view, attack=attack, group=group)
