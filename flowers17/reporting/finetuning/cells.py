"""What the tables of fine-tuned networks share: lookups, titles, cells, reasons and notes."""

from collections.abc import Iterable, Sequence

from flowers17.config import FeatureMapSettings, FineTunedSettings
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.finetuning.records import FineTuning, Phase
from flowers17.reporting.reference import EXTRACTORS, PHASE_EPOCHS, TABLE_9
from flowers17.reporting.tables import EMPTY, Cell
from flowers17.reporting.titles import map_title, trained_tag
from flowers17.reporting.verdicts import no_comparison_notes

PHASES: tuple[Phase, Phase] = ("a", "b")


def configuration_title(name: str) -> str:
    """Return how people call a head and its optimizer.

    >>> configuration_title("adam + dropout"), configuration_title("sgd")
    ('Adam + dropout', 'SGD')
    """
    optimizer, plus, rest = name.partition(" + ")
    return {"adam": "Adam", "sgd": "SGD"}.get(optimizer, optimizer) + plus + rest


def named_map_title(inputs: ReportInputs, name: str) -> str:
    """Return how people call what an extractor gives of an input, by its name in the settings."""
    asked = inputs.study.fine_tuning
    known = [*asked.table, *(one.maps for one in (*asked.repeated, *asked.own))]
    found = next((one for one in known if one.name == name), None)
    return map_title(found) if found else EXTRACTORS.get(name, name)


def network_title(inputs: ReportInputs, one: FineTuning) -> str:
    """Return how people call a network: `MobileNet, Adam + dropout`."""
    how = one.recipe_name == "best" and "our own recipe"
    return f"{named_map_title(inputs, one.maps)}, {how or configuration_title(one.configuration)}"


def asked_title(inputs: ReportInputs, one: FineTunedSettings) -> str:
    """Return how people call a network that was asked for."""
    how = one.recipe == "best" and "our own recipe"
    return f"{map_title(one.maps)}, {how or configuration_title(one.head.name)}"


def on_the_reports_split(
    inputs: ReportInputs, name: str, phase: Phase, seed_number: int = 1
) -> FineTuning | None:
    """Return a phase of a network, by its name, on the report's split, if it was made."""
    wanted = (name, phase, "report", seed_number)
    for one in inputs.fine_tunings:
        if (one.name, one.phase, one.score.kind, one.seed_number) == wanted:
            return one
    return None


def of_table_9(
    inputs: ReportInputs, maps: FeatureMapSettings
) -> list[tuple[str, dict[Phase, FineTuning]]]:
    """Return the configurations asked for of an extractor, with the phases that were made."""
    found = []
    for head in inputs.study.fine_tuning.heads:
        name = FineTunedSettings(maps=maps, head=head).name
        made = {phase: on_the_reports_split(inputs, name, phase) for phase in PHASES}
        found.append((head.name, {phase: one for phase, one in made.items() if one}))
    return found


def every_of_table_9(inputs: ReportInputs) -> list[FineTuning]:
    """Return every phase behind Table 9."""
    return [
        one
        for maps in inputs.study.fine_tuning.table
        for _, made in of_table_9(inputs, maps)
        for one in made.values()
    ]


def best_of_table_9(inputs: ReportInputs) -> FineTuning | None:
    """Return the best phase behind Table 9; the first of them if several are."""
    return max(every_of_table_9(inputs), key=lambda one: one.score.accuracy, default=None)


def repeated(inputs: ReportInputs, name: str, phase: Phase) -> list[FineTuning]:
    """Return a phase of a network on the repeated clean splits, in their order."""
    order = {one["name"]: place for place, one in enumerate(inputs.divided)}
    found = [
        one
        for one in inputs.fine_tunings
        if (one.name, one.phase, one.seed_number) == (name, phase, 1)
        and one.score.kind == "repeated"
    ]
    return sorted(found, key=lambda one: order.get(one.score.split, len(order)))


def reference_of(configuration: str, extractor: str, phase: Phase) -> float | None:
    """Return the study's accuracy of a configuration in a phase; None if it has none."""
    study = TABLE_9.get(configuration, {}).get(extractor)
    return getattr(study, phase) if study else None


def comparable(inputs: ReportInputs, one: FineTuning) -> bool:
    """Whether the study's number and ours measure the same training on the same data."""
    return inputs.is_oxford17 and one.like_the_study


def accuracy_cell(one: FineTuning | None, reference: float | None = None) -> Cell:
    """Return the cell of an accuracy, with its interval."""
    if not one:
        return EMPTY
    score, source = one.score, one.artifact.reference
    return Cell(f"{score.accuracy:.3f}", score.accuracy, score.interval, reference, source)


def tag_of(made: Iterable[FineTuning]) -> str:
    """Return the warnings that belong to the numbers of a row: of its phases, each once."""
    found = list(made)
    tags = [trained_tag(any(one.random_weights for one in found))]
    by_phase = {one.phase: one.tag for one in found}
    if len(set(by_phase.values())) == 1:
        tags += [*by_phase.values()][:1]
    else:
        tags += [f"phase {phase.upper()}: {tag}" for phase, tag in by_phase.items() if tag]
    return ", ".join(tag for tag in tags if tag)


def way_notes(made: Sequence[FineTuning]) -> tuple[str, ...]:
    """Return how the frozen part was computed: once and stored, or at each step."""
    stored = sum(one.stored for one in made)
    if not made:
        return ()
    notes = [
        "The frozen part is computed in inference mode, its batch normalisation by the moving "
        "averages that came with the weights."
    ]
    if stored == len(made):
        notes.append(
            "What the frozen part gives was computed once, stored, and shared by all networks with "
            "the same frozen part."
        )
    elif not stored:
        notes.append("What the frozen part gives was computed anew at each step.")
    else:
        notes.append(
            f"What the frozen part gives was computed once and stored for {stored} of the "
            f"{len(made)} trainings, anew at each step for the others."
        )
    if any(one.augmentation == "mirrored" for one in made):
        notes.append("The training images’ mirror images are trained on too, stored likewise.")
    others = sorted({one.augmentation for one in made} - {"none", "mirrored"})
    if others:
        notes.append(f"Training images are augmented ({', '.join(others)}).")
    return tuple(notes)


def rate_notes(made: Iterable[FineTuning]) -> Iterable[str]:
    """Yield at which rates the blocks are trained, if not at the head's."""
    for decay in sorted({one.layer_decay for one in made} - {1.0}):
        yield (
            f"Phase B trains at discriminative rates: the last block at {decay:g} times the head’s "
            f"rate, each block before it at {decay:g} times that of the block behind it."
        )


def recipe_notes(inputs: ReportInputs, made: Sequence[FineTuning]) -> Iterable[str]:
    """Yield what keeps numbers from being compared with the study's, and their precision."""
    yield from no_comparison_notes(inputs.differences_in_short)
    if any(one.tag for one in made):
        yield (
            f"The study trains {PHASE_EPOCHS['a']} epochs in phase A and {PHASE_EPOCHS['b']} in "
            "phase B; a row with a tag was trained otherwise and is not compared."
        )
    reduced = sorted({one.precision for one in made if one.precision != "float32"})
    if reduced:
        yield f"Computed in {', '.join(reduced).replace('_', ' ')}."
