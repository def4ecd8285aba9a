"""An ensemble over all its splits: its name on the page, its numbers' letter, tags and notes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from string import ascii_lowercase
from typing import Any

from flowers17.config import MemberSettings
from flowers17.reporting.absences import NO_RESULT, AbsentStage
from flowers17.reporting.columns import Record, without_study
from flowers17.reporting.ensembles.records import EnsembleResult
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.records import recipe_tag
from flowers17.reporting.reference import AUGMENTED_EPOCHS, IMAGE_SIZE, TABLE_5
from flowers17.reporting.tables import Table
from flowers17.reporting.titles import member_title, trained_tag
from flowers17.reporting.wording import capital
from flowers17.reporting.words import worded_table

STUDY_MEMBERS = {f"{learner} wide" for learner in TABLE_5}


@dataclass(frozen=True)
class Ensemble:
    """An ensemble over all its splits.

    suffix: what follows the numbers of its tables and figures; nothing for the study's, else a
    letter from `b` on. results: on each split with predictions, in the order of the splits.
    """

    inputs: ReportInputs
    name: str
    suffix: str
    members: Sequence[str]
    results: Sequence[EnsembleResult]

    @property
    def is_study(self) -> bool:
        """Whether it is set beside the study's: its members are the same five."""
        return self.inputs.beside_study and set(self.members) == STUDY_MEMBERS

    @property
    def title(self) -> str:
        """Display name within a sentence."""
        same = set(self.members) == STUDY_MEMBERS
        name = "Mk-2 to Mk-6" if same and self.name == "study" else self.name
        return "the study’s ensemble" if self.is_study else f"ensemble {name}"

    @property
    def capital_title(self) -> str:
        """Display name as a sentence begins with it."""
        return capital(self.title)

    @cached_property
    def combined(self) -> Sequence[EnsembleResult]:
        """The results on the splits on which the members were combined."""
        return [result for result in self.results if result.stacked]

    @property
    def first(self) -> EnsembleResult | None:
        """The first of them, which figures and sentences are of."""
        return self.combined[0] if self.combined else None

    @cached_property
    def repeated(self) -> Sequence[EnsembleResult]:
        """Those on repeated clean splits; none if there are fewer than two."""
        results = [result for result in self.combined if result.kind == "repeated"]
        return results if len(results) > 1 else []

    def heading(self, result: EnsembleResult) -> str:
        """Heading of the rows on one split."""
        return f"{self.capital_title}, {result.split_title}"

    @cached_property
    def settings(self) -> dict[str, MemberSettings]:
        """By name, the settings of its members."""
        ensembles = self.inputs.study.ensemble.ensembles
        members = [member for ensemble in ensembles for member in ensemble.members]
        return {member.name: member for member in members if member.name in self.members}

    def learner(self, member: str) -> str:
        """A member's learner; empty for what is no network from scratch."""
        settings = self.settings.get(member)
        return (settings.learner or "") if settings else ""

    def member_title(self, member: str, *, short: bool = False) -> str:
        """Display name of a member, short in the study's ensemble, where all share a recipe."""
        settings = self.settings.get(member)
        return member_title(settings, short=short or self.is_study) if settings else member

    @cached_property
    def tag(self) -> str:
        """The warning that belongs to its numbers.

        Untrained weights below its members, or the study's recipe changed.
        """
        on_features = any(member.classifier for member in self.settings.values())
        tags = [trained_tag(on_features and self.inputs.has_random_weights)]
        if self.is_study:
            learners = self.inputs.study.learners
            tags.append(recipe_tag(learners.recipe, learners.augmented_epochs, AUGMENTED_EPOCHS))
        return ", ".join(tag for tag in tags if tag)

    @property
    def comparable(self) -> bool:
        """Whether it was trained as the study trains its own, on the same images."""
        inputs = self.inputs
        same_size = inputs.study.dataset.image_size == IMAGE_SIZE
        return inputs.like_the_study and same_size and self.is_study and not self.tag

    def compares(self, result: EnsembleResult) -> bool:
        """Whether the study's numbers and those on one split measure the same."""
        return self.comparable and result.kind in ("report", "clean")

    def record(self, values: Mapping[str, Any], result: EnsembleResult, group: str = "") -> Record:
        """A row on one split, under the split's heading unless another is given."""
        group = group or self.heading(result)
        return Record(values, group=group, tag=self.tag, source=result.reference)

    def table(self, name: str, records: Sequence[Record], ending: str = "", **values: Any) -> Table:
        """A table of it: without the study's numbers if it is another ensemble.

        ending: of its number. values: as of `worded_table`.
        """
        number = f"{name.partition('-')[0]}{self.suffix}{ending}"
        table = worded_table(name, records, number=number, ensemble=self, **values)
        shown = table.columns if self.is_study else without_study(table.columns)
        return replace(table, columns=shown)

    def reason_absent(self, split: str = "") -> str:
        """Why its members were not combined, on a split or at all."""
        absences = [absence for absence in self._absences if split in ("", absence.split)]
        return absences[0].reason if absences else NO_RESULT

    @property
    def absent_splits(self) -> list[str]:
        """The splits on which its members were to be combined and were not."""
        return list(dict.fromkeys(absence.split for absence in self._absences))

    @property
    def _absences(self) -> list[AbsentStage]:
        return [
            absence
            for stage in ("out_of_fold", "stacking")
            for absence in self.inputs.absences(stage, ensemble=self.name)
        ]


def ensembles_of(inputs: ReportInputs) -> list[Ensemble]:
    """The ensembles of the settings and of the results, the study's first."""
    members = {
        ensemble.name: [member.name for member in ensemble.members]
        for ensemble in inputs.study.ensemble.ensembles
    }
    for result in inputs.ensemble_results:
        members[result.name] = [member.name for member in result.members]
    ensembles: list[Ensemble] = []
    for name, names in sorted(members.items(), key=lambda item: set(item[1]) != STUDY_MEMBERS):
        suffix = ""
        if not (inputs.beside_study and set(names) == STUDY_MEMBERS):
            n_others = sum(not ensemble.is_study for ensemble in ensembles)
            turn, letter = divmod(n_others, len(ascii_lowercase) - 1)
            suffix = "z" * turn + ascii_lowercase[letter + 1]
        results = [result for result in inputs.ensemble_results if result.name == name]
        ensembles.append(Ensemble(inputs, name, suffix, names, results))
    return ensembles
