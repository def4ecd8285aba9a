"""Table 6: what each member contributes to an ensemble, over all and class by class."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flowers17.reporting.columns import Form, compared_columns, number_column, text_column
from flowers17.reporting.ensembles.ensemble import Ensemble
from flowers17.reporting.ensembles.records import EnsembleResult
from flowers17.reporting.reference import TABLE_6, title_of
from flowers17.reporting.tables import Column, Record, Table
from flowers17.reporting.wording import signed

# Each a key of the measures, with its column's title and form.
_MEASURES: tuple[tuple[str, str, Form], ...] = (
    ("permutation", "Permutation: drop in accuracy", signed),
    ("permutation_spread", "± s.d.", ".3f"),
    ("left_out", "Accuracy without it", ".3f"),
    ("left_out_drop", "Drop", signed),
    ("weight", "Weight in the weighted average", ".3f"),
)


@dataclass(frozen=True)
class ImportanceRecord(Record):
    """A member by name, with what was measured of its importance on one split."""

    name: str
    measures: Mapping[str, float]


def _columns(ensemble: Ensemble) -> Sequence[Column[ImportanceRecord]]:
    def measure(key: str) -> Callable[[ImportanceRecord], float | None]:
        return lambda record: record.measures.get(key)

    def study(record: ImportanceRecord) -> float | None:
        return TABLE_6.get(ensemble.learner(record.name))

    return [
        text_column("member", "Member", lambda r: ensemble.member_title(r.name), lambda r: r.name),
        *compared_columns("impurity", "Impurity importance", study, measure("impurity")),
        *(number_column(key, title, measure(key), form) for key, title, form in _MEASURES),
    ]


def importances_table(ensemble: Ensemble) -> Table:
    """Table 6 of an ensemble: importance of each member, measured three ways."""
    forest = "The study’s forest is fitted on the learners’ own training images."
    return Table(
        f"6{ensemble.suffix}",
        title_of("table", 6)
        if ensemble.is_study
        else f"Importance of the members of {ensemble.title}",
        ensemble.shown(_columns(ensemble)),
        list(_records(ensemble)),
        lead="Impurity: in the random forest fitted on out-of-fold predictions, summed over the "
        "member’s outputs; it cannot tell what the forest would do without them. The others are "
        "measured on the validation images.",
        notes=(
            "Permutation: the member’s outputs shuffled together among the images, 20 draws. "
            "Without it: the forest fitted again on the other members; the drop is against the "
            "forest with all.",
            *((forest,) if ensemble.is_study else ()),
            *ensemble.notes,
        ),
    )


def _records(ensemble: Ensemble) -> Iterator[ImportanceRecord]:
    for result in ensemble.combined:
        group, tag, source = ensemble.heading(result), ensemble.tag, result.reference
        for name in ensemble.members:
            measures = _measures(result, name)
            yield ImportanceRecord(name, measures, group=group, tag=tag, source=source)
    for name in ensemble.members if ensemble.is_study and not ensemble.combined else ():
        missing = ensemble.reason_absent()
        yield ImportanceRecord(name, {}, group="Base learners", missing=missing)


def _measures(result: EnsembleResult, name: str) -> dict[str, float]:
    forest, importances = result.outcomes.get("random_forest"), result.importances
    measures = {"weight": result.weights[name]} if result.weights else {}
    if forest and importances:
        left_out = importances["left_out"][name] / len(result.rows)
        measures |= {
            "impurity": result.impurity[name],
            "permutation": importances["permutation"][name]["mean"],
            "permutation_spread": importances["permutation"][name]["spread"],
            "left_out": left_out,
            "left_out_drop": forest.average.accuracy - left_out,
        }
    return measures


@dataclass(frozen=True)
class ClassRecord(Record):
    """A class by its label."""

    label: int
    name: str


def classes_table(ensemble: Ensemble, result: EnsembleResult) -> Table:
    """Table 6-classes of an ensemble: which member helps which class, on one split.

    Two numbers of each member: the drop in the class's recall if its outputs are shuffled, and the
    logistic regression's weight of its own probability of the class.
    """
    columns: list[Column[ClassRecord]] = [
        text_column("class", "Class", lambda r: r.name, lambda r: r.name)
    ]
    if result.importances:
        group, drops = "Drop in recall, its outputs shuffled", result.importances["per_class"]
        columns += _member_columns(
            ensemble, "drop", group, lambda name: lambda r: drops[r.name][name]
        )
    if result.coefficients:
        names, c = list(ensemble.members), len(result.classes)
        columns += _member_columns(
            ensemble,
            "weight",
            "Weight of its own output",
            lambda name: lambda r: result.coefficients[r.label][names.index(name) * c + r.label],
        )
    records = [
        ClassRecord(label, name, tag=ensemble.tag, source=result.reference)
        for label, name in enumerate(result.classes)
    ]
    member = "base learner" if ensemble.is_study else "member"
    return Table(
        f"6{ensemble.suffix}-classes",
        f"Which {member} helps which class: {ensemble.title}",
        columns,
        records if len(columns) > 1 else [],
        lead=f"On {result.split_title}: the drop in a class’s recall when a member’s outputs are "
        "shuffled (random forest), and what the logistic regression makes of a member’s own output "
        "for the class.",
        notes=("All weights of the logistic regression are in the artifact’s result.json.",),
    )


def _member_columns(
    ensemble: Ensemble, key: str, group: str, value: Callable[[str], Callable[[ClassRecord], float]]
) -> list[Column[ClassRecord]]:
    """A column of each member. value: of a member's name, what takes a class to a number."""
    return [
        number_column(
            f"{key}_{name}",
            ensemble.member_title(name, short=True),
            value(name),
            signed,
            group=group,
        )
        for name in ensemble.members
    ]
