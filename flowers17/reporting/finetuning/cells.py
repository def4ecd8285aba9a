"""What the tables of fine-tuned networks share: records, lookups, titles, reasons and notes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flowers17.config import FineTunedSettings
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.networks import NetworkColumns
from flowers17.reporting.reference import EXTRACTORS, TABLE_9, TwoPhases
from flowers17.reporting.tables import Cell, Column, Record
from flowers17.reporting.titles import map_title, trained_tag

PHASES: tuple[Phase, Phase] = ("a", "b")
Phases = Mapping[Phase, FineTuning]


def configuration_title(name: str) -> str:
    """Display name of a head and its optimizer.

    >>> configuration_title("adam + dropout"), configuration_title("sgd")
    ('Adam + dropout', 'SGD')
    """
    optimizer, plus, rest = name.partition(" + ")
    return {"adam": "Adam", "sgd": "SGD"}.get(optimizer, optimizer) + plus + rest


def _title(maps: str, recipe: str, configuration: str) -> str:
    recipe = "our own recipe" if recipe == "best" else configuration_title(configuration)
    return f"{maps}, {recipe}"


def settings_title(settings: FineTunedSettings) -> str:
    """Display name of a network of the settings: `MobileNet, Adam + dropout`."""
    return _title(map_title(settings.maps), settings.recipe, settings.head.name)


def network_title(inputs: ReportInputs, tuning: FineTuning) -> str:
    """Display name of a network that was fine-tuned: `MobileNet, Adam + dropout`."""
    settings = inputs.study.fine_tuning
    maps = [*settings.table, *(own.maps for own in (*settings.repeated, *settings.own))]
    titles = {**EXTRACTORS, **{each.name: map_title(each) for each in maps}}
    title = titles.get(tuning.maps, tuning.maps)
    return _title(title, tuning.recipe_name, tuning.configuration)


@dataclass(frozen=True)
class TuningRecord(Record):
    """The phases of a network that were made: on one split, or on the repeated ones in order.

    title: its heading; value: what files hold in its place. study: the study's accuracies.
    """

    title: str
    value: str
    phases: Mapping[Phase, Sequence[FineTuning]]
    study: TwoPhases | None = None

    @property
    def firsts(self) -> Phases:
        """Each phase on the first of the splits."""
        return {phase: tunings[0] for phase, tunings in self.phases.items() if tunings}

    @property
    def tunings(self) -> list[FineTuning]:
        """Every phase on every split."""
        return [tuning for tunings in self.phases.values() for tuning in tunings]


def tuning_record(
    title: str,
    value: str,
    phases: Mapping[Phase, Sequence[FineTuning]],
    missing: str,
    group: str = "",
    study: TwoPhases | None = None,
) -> TuningRecord:
    """The record of phases, with the warnings that belong to them."""
    tunings = [*phases.get("b", ()), *phases.get("a", ())]
    source = tunings[0].artifact.reference if tunings else None
    tag = tag_of(reversed(tunings))
    return TuningRecord(
        title, value, phases, study, group=group, tag=tag, missing=missing, source=source
    )


_Columns = NetworkColumns[TuningRecord, FineTuning]
OF_PHASE: Mapping[Phase, _Columns] = {
    "a": NetworkColumns(lambda r: r.firsts.get("a")),
    "b": NetworkColumns(lambda r: r.firsts.get("b")),
}
OF_EITHER: _Columns = NetworkColumns(lambda r: r.firsts.get("b", r.firsts.get("a")))


def _epoch_column(phase: Phase) -> Column[TuningRecord]:
    def cell(record: TuningRecord) -> Cell | None:
        tuning = record.firsts.get(phase)
        text = f"{tuning.best_epoch} of {tuning.epochs}" if tuning else ""
        return Cell(text, tuning.best_epoch) if tuning else None

    return Column(f"epoch_{phase}", phase.upper(), cell, "Epoch kept")


EPOCH_COLUMNS = (_epoch_column("a"), _epoch_column("b"))


def phases_of(
    inputs: ReportInputs, name: str, kind: str, n_seeds: int = 1
) -> dict[Phase, list[FineTuning]]:
    """The phases of a network, by its name, on splits of a kind, in order, with its first seeds."""
    order = {split["name"]: rank for rank, split in enumerate(inputs.divided)}
    tunings = [
        tuning
        for tuning in inputs.fine_tunings
        if (tuning.name, tuning.score.kind) == (name, kind) and tuning.seed_number <= n_seeds
    ]
    tunings.sort(key=lambda t: (order.get(t.score.split, len(order)), t.seed_number))
    return {phase: [tuning for tuning in tunings if tuning.phase == phase] for phase in PHASES}


def on_the_reports_split(inputs: ReportInputs, name: str, phase: Phase) -> FineTuning | None:
    """A phase of a network, by its name, on the report's split, if it was made."""
    return next(iter(phases_of(inputs, name, "report")[phase]), None)


def records_of_table_9(inputs: ReportInputs) -> list[TuningRecord]:
    """The rows of Table 9: every configuration of every extractor."""
    settings, records = inputs.study.fine_tuning, []
    for maps in settings.table:
        for head in settings.heads:
            network = FineTunedSettings(maps=maps, head=head)
            phases = phases_of(inputs, network.name, "report")
            missing = ""
            if lacking := [phase for phase in PHASES if not phases[phase]]:
                identity = {"name": network.name, "phase": lacking[0], "split": "report"}
                missing = "" if len(lacking) == 2 else f"phase {lacking[0].upper()}: "
                missing += inputs.reason_absent("finetuning", **identity)
            title, study = configuration_title(head.name), study_of(network)
            group = map_title(maps)
            records.append(tuning_record(title, head.name, phases, missing, group, study))
    return records


def study_of(settings: FineTunedSettings) -> TwoPhases | None:
    """The study's accuracies of a network; None if it has none."""
    return TABLE_9.get(settings.head.name, {}).get(settings.maps.extractor)


def tag_of(tunings: Iterable[FineTuning]) -> str:
    """The warnings that belong to the numbers of a row: of its phases, each once."""
    tunings = list(tunings)
    tags = [trained_tag(any(tuning.random_weights for tuning in tunings))]
    by_phase = {tuning.phase: tuning.tag for tuning in tunings}
    if len(set(by_phase.values())) == 1:
        tags += [*by_phase.values()][:1]
    else:
        tags += [f"phase {phase.upper()}: {tag}" for phase, tag in by_phase.items() if tag]
    return ", ".join(tag for tag in tags if tag)
