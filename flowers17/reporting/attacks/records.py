"""What the artifacts of attacks hold: each attack on each model, and transfer between models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.errors import InvalidInput

ORDER = ("noise", "fgsm", "pgd", "targeted", "jsma", "one_pixel")


@dataclass(frozen=True)
class Run:
    """One attack at one budget: how many images, or pairs of an image and a target, reached what.

    epsilon: in 255ths; None for an attack without such a budget. n_right: that the model had right
    before; n_withstood: and after, too; n_misclassified: and not after; n_targeted: and taken for
    their target after, None without targets. confidence_drop: mean of the n_right, without targets.
    """

    place: int
    epsilon: float | None
    n: int
    n_right: int
    n_withstood: int
    n_misclassified: int
    confidence_drop: float | None = None
    n_targeted: int | None = None

    @property
    def robust_accuracy(self) -> float:
        """Share of the images that the model has right before and after."""
        return self.n_withstood / self.n


@dataclass(frozen=True)
class Attack:
    """One attack on one model."""

    artifact: Artifact

    @cached_property
    def result(self) -> Mapping[str, Any]:
        """What the stage says of it."""
        return dict(self.artifact.json("result"))

    @property
    def name(self) -> str:
        """The attack: noise, fgsm, pgd, targeted, jsma or one_pixel."""
        return str(self.result["attack"])

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.result["model"])

    @property
    def split(self) -> str:
        """Whose validation images are attacked."""
        return str(self.result["split"])

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the attack."""
        return dict(self.result["settings"])

    @property
    def classes(self) -> list[str]:
        """The classes, in the order of their labels."""
        return list(self.result["classes"])

    @cached_property
    def runs(self) -> list[Run]:
        """The attack at each of its budgets, ascending."""
        return [Run(place, **one) for place, one in enumerate(self.result["runs"])]

    @property
    def main(self) -> Run:
        """The run whose images are kept: at the one budget, or the only run."""
        budget = self.settings.get("budget")
        return next((one for one in self.runs if one.epsilon == budget), self.runs[0])

    @cached_property
    def labels(self) -> np.ndarray:
        """True classes, int64 (n,)."""
        return self.artifact.array("labels")

    @cached_property
    def rows(self) -> np.ndarray:
        """Which image of the data set each is, int64 (n,): one as often as it has targets."""
        return self.artifact.array("rows")

    @cached_property
    def right(self) -> np.ndarray:
        """Whether the model has each image right before, bool (n,)."""
        return np.asarray(self.artifact.array("predicted_before") == self.labels)

    def fooled(self, run: Run) -> np.ndarray:
        """Return whether each image was right before and is not after, bool (n,)."""
        return np.asarray(self.right & (self.column("predicted", run) != self.labels))

    def reached(self, run: Run) -> np.ndarray:
        """Return which images were right before and are what the attack wants after, bool (n,)."""
        if run.n_targeted is None:
            return self.fooled(run)
        targets = self.artifact.array("targets")
        return np.asarray(self.right & (self.column("predicted", run) == targets))

    def column(self, name: str, run: Run) -> np.ndarray:
        """Return one number an image of a run: (n,)."""
        return np.asarray(self.artifact.array(name)[:, run.place])


@dataclass(frozen=True)
class Transfer:
    """Images made to fool one network, shown to every model."""

    artifact: Artifact

    @cached_property
    def result(self) -> Mapping[str, Any]:
        """What the stage says of it."""
        return dict(self.artifact.json("result"))

    @property
    def victims(self) -> list[str]:
        """The models that are shown the images."""
        return [str(one["name"]) for one in self.result["victims"]]

    @property
    def sources(self) -> Sequence[Mapping[str, Any]]:
        """Model, attack, image size, and by victim how many were right before, and withstood."""
        return list(self.result["sources"])


def attack_of(artifact: Artifact) -> Attack:
    """Return an attack whose counts agree with its own predictions; else raises InvalidInput."""
    one = Attack(artifact)
    for run in one.runs:
        predicted = one.column("predicted", run)
        found = int((one.right & (predicted == one.labels)).sum())
        if (len(one.labels), int(one.right.sum()), found) != (run.n, run.n_right, run.n_withstood):
            raise InvalidInput(
                f"{artifact.path}: expected {run.n_withstood} of {run.n} to withstand at budget "
                f"{run.epsilon}, its predictions have {found} of {len(one.labels)}; remove the "
                "artifact and run the same command again"
            )
    return one


def transfer_of(artifact: Artifact) -> Transfer:
    """Return a transfer whose counts agree with its own predictions; else raises InvalidInput."""
    one, labels = Transfer(artifact), artifact.array("labels")
    right = artifact.array("predicted-before") == labels
    stood = right & (artifact.array("predicted") == labels)
    for number, source in enumerate(one.sources):
        found = right[number].sum(axis=1).tolist(), stood[number].sum(axis=1).tolist()
        if found != (source["n_right"], source["n_withstood"]):
            raise InvalidInput(
                f"{artifact.path}: expected {source['n_withstood']} images to withstand, its "
                f"predictions have {found[1]}; remove the artifact and run the same command again"
            )
    return one
