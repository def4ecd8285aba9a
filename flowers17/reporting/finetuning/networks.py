"""The fine-tuned networks of a study: their phases on its splits, their names and tags."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowers17.config import FineTunedSettings
from flowers17.reporting.columns import Record
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.reference import EXTRACTORS, TABLE_9
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


def _recipe_title(recipe: str, configuration: str, norms: str) -> str:
    own = "our own recipe" + " + extractor norms in inference mode" * (norms == "inference")
    return own if recipe == "best" else configuration_title(configuration)


def phase_title(inputs: ReportInputs, tuning: FineTuning) -> str:
    """Display name of one phase of a network: `MobileNet, SGD, phase A`."""
    settings = inputs.study.fine_tuning
    networks = (*settings.networks, *settings.repeated, *settings.own)
    titles = {**EXTRACTORS, **{each.maps.name: map_title(each.maps) for each in networks}}
    recipe = _recipe_title(tuning.recipe_name, tuning.configuration, tuning.extractor_norms)
    return f"{titles.get(tuning.maps, tuning.maps)}, {recipe}, phase {tuning.phase.upper()}"


@dataclass(frozen=True)
class TunedNetwork:
    """A network of the settings and its phases: on one split, or on the repeated ones in order."""

    settings: FineTunedSettings
    phases: Mapping[Phase, Sequence[FineTuning]]

    @property
    def recipe_title(self) -> str:
        """Display name of its recipe: `Adam + dropout`, `our own recipe`."""
        head = self.settings.head
        return _recipe_title(self.settings.recipe, head.name, head.extractor_norms)

    @property
    def title(self) -> str:
        """Display name: `MobileNet, Adam + dropout`."""
        return f"{map_title(self.settings.maps)}, {self.recipe_title}"

    @property
    def study(self) -> Mapping[str, float]:
        """The study's accuracies by phase; empty if it has none."""
        of_head = TABLE_9.get(self.settings.head.name, {})
        return of_head.get(self.settings.maps.extractor, {})

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
    order = {split["name"]: rank for rank, split in enumerate(inputs.divided)}
    tunings = [
        tuning
        for tuning in inputs.fine_tunings
        if (tuning.name, tuning.score.kind) == (settings.in_phase(tuning.phase).name, kind)
        and tuning.seed_number <= n_seeds
    ]
    tunings.sort(key=lambda t: (order.get(t.score.split, len(order)), t.seed_number))
    phases = {phase: [tuning for tuning in tunings if tuning.phase == phase] for phase in PHASES}
    return TunedNetwork(settings, phases)


def networks_of_table_9(inputs: ReportInputs) -> list[TunedNetwork]:
    """The networks of Table 9, on the report's split."""
    networks = inputs.study.fine_tuning.networks
    return [tuned_network(inputs, network, "report") for network in networks]


def own_networks(inputs: ReportInputs) -> list[TunedNetwork]:
    """The networks by our own recipe, on the repeated clean splits."""
    networks = inputs.study.fine_tuning.own
    return [tuned_network(inputs, network, "repeated") for network in networks]


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
