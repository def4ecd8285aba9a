"""The fine-tuned networks of a study: their phases on its splits, their names and tags."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowers17.config import FineTunedSettings
from flowers17.reporting.columns import Record
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.reference import EXTRACTORS, TABLE_9, TwoPhases
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


def phase_title(inputs: ReportInputs, tuning: FineTuning) -> str:
    """Display name of one phase of a network: `MobileNet, SGD, phase A`."""
    settings = inputs.study.fine_tuning
    maps = [*settings.table, *(own.maps for own in (*settings.repeated, *settings.own))]
    titles = {**EXTRACTORS, **{each.name: map_title(each) for each in maps}}
    title = titles.get(tuning.maps, tuning.maps)
    network = _title(title, tuning.recipe_name, tuning.configuration)
    return f"{network}, phase {tuning.phase.upper()}"


@dataclass(frozen=True)
class TunedNetwork:
    """A network of the settings and its phases: on one split, or on the repeated ones in order."""

    settings: FineTunedSettings
    phases: Mapping[Phase, Sequence[FineTuning]]

    @property
    def title(self) -> str:
        """Display name: `MobileNet, Adam + dropout`."""
        settings = self.settings
        return _title(map_title(settings.maps), settings.recipe, settings.head.name)

    @property
    def study(self) -> TwoPhases | None:
        """The study's accuracies; None if it has none."""
        of_head = TABLE_9.get(self.settings.head.name, {})
        return of_head.get(self.settings.maps.extractor)

    @property
    def firsts(self) -> Phases:
        """Each phase on the first of the splits."""
        return {phase: tunings[0] for phase, tunings in self.phases.items() if tunings}

    @property
    def last(self) -> FineTuning | None:
        """Phase B on the first of the splits, else phase A."""
        return self.firsts.get("b", self.firsts.get("a"))

    @property
    def tunings(self) -> list[FineTuning]:
        """Every phase on every split."""
        return [tuning for tunings in self.phases.values() for tuning in tunings]

    def record(self, values: Mapping[str, Any], missing: str = "", group: str = "") -> Record:
        """A row on it, with the warnings that belong to its phases."""
        tunings = [*self.phases.get("b", ()), *self.phases.get("a", ())]
        source = tunings[0].artifact.reference if tunings else None
        tag = tag_of(reversed(tunings))
        return Record(values, group=group, tag=tag, missing=missing, source=source)


def tuned_network(
    inputs: ReportInputs, settings: FineTunedSettings, kind: str, n_seeds: int = 1
) -> TunedNetwork:
    """A network of the settings on splits of a kind, in order, with its first seeds."""
    return TunedNetwork(settings, phases_of(inputs, settings.name, kind, n_seeds))


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


def networks_of_table_9(inputs: ReportInputs) -> list[TunedNetwork]:
    """Every configuration of every extractor, on the report's split."""
    settings = inputs.study.fine_tuning
    return [
        tuned_network(inputs, FineTunedSettings(maps=maps, head=head), "report")
        for maps in settings.table
        for head in settings.heads
    ]


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
