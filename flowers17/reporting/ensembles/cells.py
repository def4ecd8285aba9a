"""What the tables of ensembles share: names, numbers, cells, reasons and notes."""

from collections.abc import Sequence
from string import ascii_lowercase

from flowers17.artifacts import Reference
from flowers17.reporting.absences import NO_RESULT, AbsentStage
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.records import Ensemble
from flowers17.reporting.learners.cells import augmentation_title, learner_title
from flowers17.reporting.metrics import accuracy_interval
from flowers17.reporting.records import recipe_tag
from flowers17.reporting.reference import CLASSIFIERS, IMAGE_SIZE, TABLE_5
from flowers17.reporting.tables import Cell
from flowers17.reporting.titles import maps_title, trained_tag
from flowers17.reporting.verdicts import no_comparison_notes
from flowers17.reporting.wording import capital

_METHODS = {
    "average": "average",
    "weighted_average": "weighted average",
    "random_forest": "stacking, random forest",
    "logistic_regression": "stacking, logistic regression",
    "gradient_boosting": "stacking, gradient boosting",
}
_META_LEARNERS = {
    "random_forest": "random forest",
    "logistic_regression": "logistic regression",
    "gradient_boosting": "gradient boosting",
}
_WAYS = {
    "biased": "on their own training images",
    "hold-out": "on one held-out fold",
    "out-of-fold": "out of fold",
}
OF_THE_STUDY = tuple(f"{name} wide" for name in TABLE_5)


def method_title(name: str) -> str:
    """Return how people call a way of combining members.

    >>> method_title("random_forest")
    'stacking, random forest'
    """
    return _METHODS.get(name, name)


def meta_learner_title(name: str) -> str:
    """Return how people call a meta-learner."""
    return _META_LEARNERS.get(name, name)


def way_title(name: str) -> str:
    """Return on which predictions of its members a meta-learner was fitted."""
    return _WAYS.get(name, name)


def names_of(inputs: ReportInputs) -> list[str]:
    """Return the ensembles that were asked for or made, the study's first."""
    asked = [one.name for one in inputs.study.ensemble.ensembles]
    names = list(dict.fromkeys([*asked, *(one.name for one in inputs.ensembles)]))
    return sorted(names, key=lambda name: not is_the_studys(inputs, name))


def members_of(inputs: ReportInputs, name: str) -> list[str]:
    """Return the names of an ensemble's members."""
    for made in inputs.ensembles:
        if made.name == name:
            return [one.name for one in made.members]
    for asked in inputs.study.ensemble.ensembles:
        if asked.name == name:
            return [one.name for one in asked.members]
    return []


def is_the_studys(inputs: ReportInputs, name: str) -> bool:
    """Whether an ensemble's members are the study's five."""
    return sorted(members_of(inputs, name)) == sorted(OF_THE_STUDY)


def suffix_of(inputs: ReportInputs, name: str) -> str:
    """Return what follows the numbers of an ensemble's tables and figures.

    Nothing for the study's ensemble, else a letter from `b` on.
    """
    others = [one for one in names_of(inputs) if not is_the_studys(inputs, one)]
    if name not in others:
        return ""
    turn, place = divmod(others.index(name), len(ascii_lowercase) - 1)
    return "z" * turn + ascii_lowercase[place + 1]


def made_of(inputs: ReportInputs, name: str) -> list[Ensemble]:
    """Return what was made of an ensemble, split by split."""
    return [one for one in inputs.ensembles if one.name == name]


def main_of(inputs: ReportInputs, name: str) -> Ensemble | None:
    """Return an ensemble on the first split on which its members were combined."""
    return next((one for one in made_of(inputs, name) if one.stacked), None)


def mains(inputs: ReportInputs) -> list[Ensemble]:
    """Return each ensemble on its first split, the study's first."""
    return [found for name in names_of(inputs) if (found := main_of(inputs, name))]


def combined(inputs: ReportInputs) -> list[Ensemble]:
    """Return each ensemble on each split on which its members were combined, the study's first."""
    return [one for name in names_of(inputs) for one in made_of(inputs, name) if one.stacked]


def repeated_of(inputs: ReportInputs, name: str) -> list[Ensemble]:
    """Return an ensemble on the repeated clean splits, where its members were combined."""
    return [one for one in made_of(inputs, name) if one.stacked and one.kind == "repeated"]


def member_title(inputs: ReportInputs, name: str, *, short: bool = False) -> str:
    """Return how people call a member: `Mk-2, #3 wide mix`; short: `Mk-2`."""
    asked = (one for ensemble in inputs.study.ensemble.ensembles for one in ensemble.members)
    found = next((one for one in asked if one.name == name), None)
    if found and found.learner:
        title = learner_title(found.learner)
        own = found.recipe == "best"
        how = "our own recipe" if own else augmentation_title(found.augmentation)
        return title if short else f"{title}, {how}"
    if found and found.classifier:
        maps = maps_title(found.maps)
        return f"{CLASSIFIERS[found.classifier]} on {maps}"
    return name


def learner_of(member: str) -> str:
    """Return the learner of a member that is a network: `mk-2` of `mk-2 wide`."""
    return member.partition(" ")[0]


def ensemble_title(inputs: ReportInputs, name: str) -> str:
    """Return how people call an ensemble."""
    return "the study’s ensemble" if is_the_studys(inputs, name) else f"ensemble {name}"


def split_title(one: Ensemble) -> str:
    """Return how people call a split: `the clean split`, `split repeat-01`."""
    return f"split {one.split}" if one.kind == "repeated" else f"the {one.split} split"


def group_title(inputs: ReportInputs, one: Ensemble) -> str:
    """Return the heading of the rows of an ensemble on a split."""
    return f"{capital(ensemble_title(inputs, one.name))}, {split_title(one)}"


def tag_of(inputs: ReportInputs, name: str) -> str:
    """Return the warning that belongs to an ensemble's numbers.

    Untrained weights below its members, or the study's recipe changed.
    """
    members = members_of(inputs, name)
    untrained = any(" on " in one for one in members) and inputs.has_random_weights
    learners = inputs.study.learners
    changed = ""
    if is_the_studys(inputs, name):
        changed = recipe_tag(learners.recipe, learners.augmented_epochs, augmented=True)
    return ", ".join(part for part in (trained_tag(untrained), changed) if part)


def comparable(inputs: ReportInputs, name: str) -> bool:
    """Whether an ensemble was trained as the study trains its own, on the same images."""
    same_size = inputs.study.dataset.image_size == IMAGE_SIZE
    same = is_the_studys(inputs, name) and not tag_of(inputs, name)
    return inputs.is_oxford17 and same_size and same


def reason_unmade(inputs: ReportInputs, name: str, split: str = "") -> str:
    """Return why an ensemble was not made, on a split or at all."""
    absences = _absences(inputs, name)
    return next((each.reason for each in absences if split in ("", each.split)), NO_RESULT)


def unmade_splits(inputs: ReportInputs, name: str) -> list[str]:
    """Return the splits on which an ensemble was asked for and its members not combined."""
    return list(dict.fromkeys(absent.split for absent in _absences(inputs, name)))


def _absences(inputs: ReportInputs, ensemble: str) -> list[AbsentStage]:
    stages = ("out_of_fold", "stacking")
    return [each for stage in stages for each in inputs.absences(stage, ensemble=ensemble)]


def count_cell(
    n_correct: int, n: int, source: Reference | None, reference: float | None = None
) -> Cell:
    """Return the cell of an accuracy, with its interval."""
    share = n_correct / n
    return Cell(f"{share:.3f}", share, accuracy_interval(n_correct, n), reference, source)


def data_notes(inputs: ReportInputs, tags: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the notes under numbers that are not of the study's kind."""
    notes = [*no_comparison_notes(inputs.data_differences_in_short)]
    if any(tags):
        notes.append("A row with a tag was made otherwise than in the study and is not compared.")
    return tuple(notes)
