"""The studies of a sweep as one graph, in which a stage of several combinations stands once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowers17.artifacts import Store
from flowers17.digests import sha256_of
from flowers17.plan import Step, plan
from flowers17.stages import Stage, in_order
from flowers17.sweeps.combinations import Combination


@dataclass(frozen=True)
class Sweep:
    """A sweep to be run: its combinations, each with its study, and their summary."""

    flow: str
    combinations: tuple[Combination, ...]
    studies: tuple[Stage, ...]
    summary: Stage


@dataclass(frozen=True)
class SweepPlan:
    """Stages that a sweep would run or reuse; the summary counts as a stage.

    n_stages: of all combinations together; n_different: of those, how many there are if each is
    built once; n_shared: stages that several combinations need; n_reused: those in the store.
    """

    flow: str
    combinations: tuple[str, ...]
    n_stages: int
    n_different: int
    n_shared: int
    n_reused: int
    n_to_build: int
    steps: tuple[Step, ...]

    @property
    def sentence(self) -> str:
        """The counts in words."""
        n = len(self.combinations)
        return (
            f"{n} combination{'s' * (n > 1)} of {self.flow}: {self.n_stages} stages in all, "
            f"{self.n_different} different ones, {self.n_shared} of them shared by several "
            f"combinations; {self.n_reused} in the store, {self.n_to_build} to be built"
        )


def sweep_plan(sweep: Sweep, store: Store) -> SweepPlan:
    """Return the plan of a sweep, with reasons; as `plan`, it only reads the store."""
    uses = Counter(stage.title for study in sweep.studies for stage in in_order([study]))
    steps = plan(in_order([sweep.summary]), store)
    n_reused = sum(step.action == "reuse" for step in steps)
    return SweepPlan(
        flow=sweep.flow,
        combinations=tuple(combination.name for combination in sweep.combinations),
        n_stages=uses.total() + 1,
        n_different=len(steps),
        n_shared=sum(n > 1 for n in uses.values()),
        n_reused=n_reused,
        n_to_build=len(steps) - n_reused,
        steps=tuple(steps),
    )


def with_shared_stages(
    combinations: Sequence[Combination], studies: Sequence[Stage]
) -> list[Stage]:
    """Return the studies, one a combination, with equal stages merged into one.

    Different stages of one label get a `variant`: the values that only their combinations have.
    """
    ordered = [in_order([study]) for study in studies]
    digests = [_digests(stages) for stages in ordered]
    users: dict[str, list[Combination]] = {}
    versions: dict[str, set[str]] = {}
    for combination, own in zip(combinations, digests, strict=True):
        for label, digest in own.items():
            users.setdefault(digest, []).append(combination)
            versions.setdefault(label, set()).add(digest)
    merged: dict[str, Stage] = {}
    for stages, own in zip(ordered, digests, strict=True):
        for stage in stages:
            digest = own[stage.label]
            if digest not in merged:
                variant = _common_assignments(users[digest], combinations)
                merged[digest] = replace(
                    stage,
                    inputs={
                        name: merged[own[parent.label]] for name, parent in stage.inputs.items()
                    },
                    variant=variant if len(versions[stage.label]) > 1 else "",
                )
    return [merged[own[study.label]] for study, own in zip(studies, digests, strict=True)]


def _digests(stages: Sequence[Stage]) -> dict[str, str]:
    """Digest of each stage and of all its inputs, by label."""
    digests: dict[str, str] = {}
    for stage in stages:
        inputs = {name: digests[parent.label] for name, parent in stage.inputs.items()}
        digests[stage.label] = sha256_of([repr(replace(stage, inputs={})), inputs])
    return digests


def _common_assignments(users: Sequence[Combination], every: Sequence[Combination]) -> str:
    """Values that the users, and no other combinations, have in common; else the first's name."""
    assignments = [set(combination.words.values()) for combination in users]
    common = [
        word for word in users[0].words.values() if all(word in known for known in assignments)
    ]
    holders = [
        combination for combination in every if set(common) <= set(combination.words.values())
    ]
    return ", ".join(common) if len(holders) == len(users) else f"{users[0].name} …"
