"""What stages gave: artifacts, or why there is none; counted, and told where a flow has failed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowers17.artifacts import Reference
from flowers17.errors import StageFailed
from flowers17.stages import Stage


@dataclass(frozen=True)
class Absent:
    """Reason why a stage has no artifact; optional: whether the study goes on without it.

    details: of the error, as in `Flowers17Error`.
    """

    reason: str
    optional: bool
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)


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

    @property
    def study(self) -> Reference | None:
        """Artifact of the report among them, if there is just one."""
        studies = [reference for reference in self.references if reference.stage == "study"]
        return studies[0] if len(studies) == 1 else None

    @property
    def n_missing(self) -> int:
        """How many stages have no artifact."""
        return len(self) - len(self.references)

    @property
    def counts(self) -> str:
        """How many were built, cached and missing, in words."""
        n_cached = len(self.references) - len(self.fresh)
        return f"{len(self.fresh)} built, {n_cached} cached, {self.n_missing} missing"


class StagesFailed(StageFailed):
    """Stages that are not optional have no result; `results` holds what all stages gave."""

    max_characters = 20_000  # it has a line for each cause

    def __init__(self, message: str, results: Results) -> None:
        super().__init__(message)
        self.results = results
        absent = (result for result in results.values() if isinstance(result, Absent))
        self.details = {key: value for cause in absent for key, value in cause.details.items()}


def raise_if_failed(results: Results) -> None:
    """Raise StagesFailed if a stage that is not optional has no result."""
    failed: dict[str, list[str]] = {}
    for title, result in results.items():
        if isinstance(result, Absent) and not result.optional:
            failed.setdefault(result.reason, []).append(title)
    if failed:
        n_failed, lines = sum(map(len, failed.values())), []
        for reason, (first, *others) in failed.items():  # the others come after the first
            n, plural = len(others), "s" * (len(others) > 1)
            lines.append(f"{first}{f' (and {n} stage{plural} after it)' if n else ''}: {reason}")
        raise StagesFailed(
            f"{n_failed} of {len(results)} stages have no result (the others are kept; run the "
            f"same command again once the cause is mended): {results.counts}\n" + "\n".join(lines),
            results,
        )


def raise_if_nothing(own: Sequence[Stage], results: Results) -> None:
    """Raise StagesFailed if none of the stages that a flow is for has a result."""
    absent = results.of(own)
    if own and not absent.references:
        reasons = {result.reason: 0 for result in absent.values() if isinstance(result, Absent)}
        raise StagesFailed(
            f"none of the {len(own)} results of this flow could be made ({results.counts}); run "
            "the same command again once the cause is mended\n" + "\n".join(reasons),
            results,
        )
