"""What the artifacts of attacks hold: each attack on each model, and transfer between models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.reporting.records import disagreement


@dataclass(frozen=True)
class Run:
    """One attack at one budget: how many images, or pairs of an image and a target, reached what.

    index: its column in the artifact's arrays. epsilon: in 255ths; None for an attack without such
    a budget. n_right: that the model had right before; n_withstood: and after, too;
    n_misclassified: and not after; n_targeted: and taken for their target after, None without
    targets. confidence_drop: mean of the n_right, without targets.
    """

    index: int
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
    """One attack on one model.

    name: noise, fgsm, pgd, targeted, jsma or one_pixel. kind: of the model, network or ensemble.
    access: to the model, white box or black box. classes: in the order of their labels. image_size:
    in pixels. runs: at each of its budgets, ascending. main: the run whose images are kept, at the
    one budget, or the only run. variant: of JSMA, pairwise or single.
    """

    artifact: Artifact
    name: str
    model: str
    kind: str
    access: str
    classes: Sequence[str]
    image_size: int
    runs: Sequence[Run]
    main: Run
    variant: str = ""

    @cached_property
    def by_budget(self) -> dict[float, tuple[int, int]]:
        """Number of images right before and after, and of all; by budget in 255ths, from 0 on."""
        clean = {0.0: (self.main.n_right, self.main.n)}
        return clean | {run.epsilon: (run.n_withstood, run.n) for run in self.runs if run.epsilon}

    @cached_property
    def labels(self) -> np.ndarray:
        """True classes, int64 (n,)."""
        return self.artifact.array("labels")

    @cached_property
    def rows(self) -> np.ndarray:
        """Row of each image in the data set, int64 (n,): as often as the image has targets."""
        return self.artifact.array("rows")

    @cached_property
    def right(self) -> np.ndarray:
        """Whether the model has each image right before, bool (n,)."""
        return np.asarray(self.artifact.array("predicted_before") == self.labels)

    def fooled(self, run: Run) -> np.ndarray:
        """Whether each image was right before and is not after a run, bool (n,)."""
        return np.asarray(self.right & (self.column("predicted", run) != self.labels))

    def fallen_rows(self, run: Run) -> np.ndarray:
        """Rows of the images that are wrong before or after a run, also after twice the steps."""
        after = self.column("predicted", run) != self.labels
        if self.name == "pgd":
            after |= self.column("doubled", run) != self.labels
        return np.unique(self.rows[~self.right | after])

    @cached_property
    def reached(self) -> np.ndarray:
        """Whether each image was right before and is what the attack wants after, bool (n,).

        That is, after the main run: taken for its target; without targets, for any other class.
        """
        if self.main.n_targeted is None:
            return self.fooled(self.main)
        targets = self.artifact.array("targets")
        return np.asarray(self.right & (self.column("predicted", self.main) == targets))

    @cached_property
    def source_target(self) -> np.ndarray:
        """Pairs that reached their target, and pairs tried, int64 (2, true class, target class).

        Zeros for an attack without targets.
        """
        if self.main.n_targeted is None:
            return np.zeros((2, len(self.classes), len(self.classes)), dtype=np.int64)
        return self.artifact.array("source-target")

    def column(self, name: str, run: Run) -> np.ndarray:
        """An array of the artifact, its numbers of a run: (n,)."""
        return np.asarray(self.artifact.array(name)[:, run.index])


@dataclass(frozen=True)
class Transfer:
    """Images made to fool one network, shown to every model.

    n_images: of each attack. victims: the models. sources: model, attack, image size, and by victim
    how many were right before, and withstood.
    """

    artifact: Artifact
    n_images: int
    victims: Sequence[str]
    sources: Sequence[Mapping[str, Any]]


def attack_of(artifact: Artifact) -> Attack:
    """Attack whose counts agree with its own predictions; else raises InvalidInput."""
    result = artifact.json("result")
    runs = [Run(index, **counts) for index, counts in enumerate(result["runs"])]
    budget = result["settings"].get("budget")
    attack = Attack(
        artifact,
        name=result["attack"],
        **{key: result[key] for key in ("model", "kind", "access", "classes", "image_size")},
        runs=runs,
        main=next((run for run in runs if run.epsilon == budget), runs[0]),
        variant=result["settings"].get("jsma", {}).get("variant", ""),
    )
    for run in runs:
        n_withstood = int((attack.right & ~attack.fooled(run)).sum())
        counts = len(attack.labels), int(attack.right.sum()), n_withstood
        if counts != (run.n, run.n_right, run.n_withstood):
            raise disagreement(
                artifact,
                f"{run.n_withstood} of {run.n} to withstand at budget {run.epsilon}, its "
                f"predictions have {n_withstood} of {len(attack.labels)}",
            )
    return attack


def transfer_of(artifact: Artifact) -> Transfer:
    """Transfer whose counts agree with its own predictions; else raises InvalidInput."""
    result, labels = artifact.json("result"), artifact.array("labels")
    right = artifact.array("predicted-before") == labels
    withstood = right & (artifact.array("predicted") == labels)
    for number, source in enumerate(result["sources"]):
        counts = right[number].sum(axis=1).tolist(), withstood[number].sum(axis=1).tolist()
        if counts != (source["n_right"], source["n_withstood"]):
            raise disagreement(
                artifact,
                f"{source['n_withstood']} images to withstand, its predictions have {counts[1]}",
            )
    victims = [victim["name"] for victim in result["victims"]]
    return Transfer(artifact, result["n_images"], victims, result["sources"])
