"""What stages gave: artifacts, or why there is none; counted, and told where a flow has failed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowers17.artifacts import Reference
from flowers17.errors import StageFailed
from flowers17.stages import Stage


@dataclass(frozen=True)
class Absent:
    """Reason why a stage has no artifact; optional: whether the study goes on without it.

    details: of the error, as in `Flowers17Error`. cause: title of the stage that failed or lacks
    something, its own or of one that it needs.
    """

    reason: str
    optional: bool
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)
    cause: str = field(default="", compare=False)


Result = Reference | Absent


class Results(dict[str, Result]):
    """Results by title; fresh: titles of those that this run built, not found in the store."""

    def __init__(self, results: Mapping[str, Result] | None = None, fresh: Iterable[str] = ()):
        super().__init__(results or {})
        self.fresh = set(fresh)

    def of(self, stages: Iterable[Stage]) -> "Results":
        """Results of these stages alone."""
        titles = [stage.title for stage in stages]
        return Results({title: self[title] for title in titles}, self.fresh.intersection(titles))

    @property
    def references(self) -> list[Reference]:
        """Artifacts among them."""
        return [result for result in self.values() if isinstance(result, Reference)]

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Reference of each artifact, or the reason why there is none, by title."""
        return {
            title: value.to_json() if isinstance(value, Reference) else {"reason": value.reason}
            for title, value in self.items()
        }

    @property
    def study(self) -> Reference | None:
        """Artifact of the report among them, if there is just one."""
        studies = [reference for reference in self.references if reference.stage == "study"]
        return studies[0] if len(studies) == 1 else None

    @property
    def absent(self) -> dict[str, Absent]:
        """Reasons of the stages without an artifact, by title."""
        return {title: result for title, result in self.items() if isinstance(result, Absent)}

    @property
    def counts(self) -> str:
        """How many were built, cached and missing, and of these lack an input, in words."""
        n_cached, absent = len(self.references) - len(self.fresh), self.absent
        n_after = sum(title != result.cause for title, result in absent.items())
        counts = f"{len(self.fresh)} built, {n_cached} cached, {len(absent)} missing"
        return counts + f" ({n_after} of them lack an input)" * (n_after > 0)

    @property
    def reasons(self) -> list[str]:
        """A line for each reason: the stages that have it, how many need each of them, and it."""
        causes: dict[str, Counter[str]] = {}
        for result in self.absent.values():
            causes.setdefault(result.reason, Counter())[result.cause] += 1
        return [
            "; ".join(
                f"{cause} (and {n - 1} stage{'s' * (n > 2)} after it)" if n > 1 else cause
                for cause, n in stages.items()
            )
            + f": {reason}"
            for reason, stages in causes.items()
        ]


class StagesFailed(StageFailed):
    """Stages that are not optional have no result; `results` holds what all stages gave."""

    max_characters = 20_000  # it has a line for each cause

    def __init__(self, message: str, results: Results) -> None:
        super().__init__(message)
        self.results = results
        absent = results.absent.values()
        self.details = {key: value for cause in absent for key, value in cause.details.items()}


def raise_if_failed(results: Results) -> None:
    """Raise StagesFailed if a stage that is not optional has no result."""
    absent = results.absent
    if not all(result.optional for result in absent.values()):
        raise StagesFailed(
            f"{len(absent)} of {len(results)} stages have no result (the others are kept; run the "
            f"same command again once the cause is mended): {results.counts}\n"
            + "\n".join(results.reasons),
            results,
        )


def raise_if_nothing(own: Sequence[Stage], results: Results) -> None:
    """Raise StagesFailed if none of the stages that a flow is for has a result."""
    if own and not results.of(own).references:
        raise StagesFailed(
            f"none of the {len(own)} results of this flow could be made ({results.counts}); run "
            "the same command again once the cause is mended\n" + "\n".join(results.reasons),
            results,
        )
