"""The studies of a sweep as one graph: what several combinations need is one stage of it."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowers17.artifacts import Store
from flowers17.digests import canonical_json
from flowers17.plan import Step, plan
from flowers17.stages import Stage, in_order
from flowers17.sweeps.combinations import Combination


@dataclass(frozen=True)
class Sweep:
    """A sweep to be run: its combinations, each with its study, and what sums those up."""

    flow: str
    combinations: tuple[Combination, ...]
    studies: tuple[Stage, ...]
    summary: Stage


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep would run or reuse; the summary counts as a stage.

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
    """Return what a sweep would run or reuse, and why; as `plan`, it only reads the store."""
    uses = Counter(stage.title for study in sweep.studies for stage in in_order([study]))
    steps = plan(in_order([sweep.summary]), store)
    n_reused = sum(step.action == "reuse" for step in steps)
    return SweepPlan(
        flow=sweep.flow,
        combinations=tuple(one.name for one in sweep.combinations),
        n_stages=uses.total() + 1,
        n_different=len(steps),
        n_shared=sum(n > 1 for n in uses.values()),
        n_reused=n_reused,
        n_to_build=len(steps) - n_reused,
        steps=tuple(steps),
    )


def joined(combinations: Sequence[Combination], studies: Sequence[Stage]) -> list[Stage]:
    """Return the studies, one a combination, such that they have their common stages in common.

    Stages of one label that differ are told apart by what only their combinations have assigned.
    """
    ordered = [in_order([study]) for study in studies]
    digests = [_digests(stages) for stages in ordered]
    users: dict[str, list[Combination]] = {}
    versions: dict[str, set[str]] = {}
    for combination, own in zip(combinations, digests, strict=True):
        for label, digest in own.items():
            users.setdefault(digest, []).append(combination)
            versions.setdefault(label, set()).add(digest)
    made: dict[str, Stage] = {}
    for stages, own in zip(ordered, digests, strict=True):
        for stage in stages:
            digest = own[stage.label]
            if digest not in made:
                variant = _in_common(users[digest], combinations)
                made[digest] = replace(
                    stage,
                    inputs={name: made[own[one.label]] for name, one in stage.inputs.items()},
                    variant=variant if len(versions[stage.label]) > 1 else "",
                )
    return [made[own[study.label]] for study, own in zip(studies, digests, strict=True)]


def _digests(stages: Sequence[Stage]) -> dict[str, str]:
    """Return, by label, a digest of each stage and of all that it is made from."""
    found: dict[str, str] = {}
    for stage in stages:
        inputs = {name: found[one.label] for name, one in stage.inputs.items()}
        text = canonical_json([repr(replace(stage, inputs={})), inputs])
        found[stage.label] = hashlib.sha256(text.encode()).hexdigest()
    return found


def _in_common(some: Sequence[Combination], every: Sequence[Combination]) -> str:
    """Return what some combinations, and no others, have in common; else one's name."""
    said = [set(one.words.values()) for one in some]
    common = [word for word in some[0].words.values() if all(word in words for words in said)]
    having = [one for one in every if set(common) <= set(one.words.values())]
    return ", ".join(common) if len(having) == len(some) else f"{some[0].name} …"
