"""Attacks with known predictions, and the results that go with them."""

from pathlib import Path
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.reporting.inputs import ReportInputs

from .made_study import tiny_study
from .maker import Maker, absent_stage

N = 12  # images attacked, of which the model has the first two wrong
BUDGETS = (1.0, 8.0, 64.0)
# How many of the ten that are right fall at each budget.
FALLEN = {"noise": (0, 0, 1), "fgsm": (1, 4, 9), "pgd": (2, 6, 10)}
SWEPT = {"n_images": N, "images_per_batch": 4, "budgets": list(BUDGETS), "budget": 8.0}
FOREST = "small by random_forest"
REASON = "its one-pixel search <ended>"


class Attacks:
    """Publishes attacks on the images of a study."""

    def __init__(self, inputs: ReportInputs, root: Path) -> None:
        self.maker, self.inputs = Maker(root), inputs
        self.rows = inputs.rows("clean")
        self.labels = inputs.labels[self.rows]
        if inputs.images is None:
            raise ValueError("expected a study with images")
        self.images: Artifact = inputs.images
        self.clean = self.images.array("images")[self.rows]
        self.pairs = np.repeat(np.arange(N // 2), 2)  # six images, towards two targets each
        self.trained = self.maker.publish("training", "mk-2 refit, clean split", {}, {}, {})
        self.stacked = self.maker.publish("stacking", "stacking of small, clean split", {}, {}, {})

    def before(self, labels: np.ndarray | None = None) -> np.ndarray:
        """Predicted classes of the clean images: the first two are wrong."""
        return self.after(0, labels)

    def after(self, n_fallen: int, labels: np.ndarray | None = None) -> np.ndarray:
        """Predicted classes when so many more are wrong."""
        labels = self.labels if labels is None else labels
        return np.where(np.arange(N) < 2 + n_fallen, (labels + 1) % 3, labels)

    def publish(
        self,
        attack: str,
        fallen: tuple[int, ...],
        settings: dict[str, Any],
        *,
        model: str = "mk-2",
        places: np.ndarray | None = None,
        targets: np.ndarray | None = None,
        miscounted: int = 0,
        **arrays: np.ndarray,
    ) -> Artifact:
        """Publish an attack after which so many of the right images fall, by run.

        places: which of the images are attacked; all of them, once, if None.
        """
        n_runs = len(fallen)
        swept = n_runs > 1
        places = np.arange(N) if places is None else places
        labels = self.labels[places]
        before = self.before(labels)
        predicted = np.stack([self.after(n_fallen, labels) for n_fallen in fallen], axis=1)
        predicted = arrays.get("predicted", predicted)
        runs = [
            {
                "epsilon": BUDGETS[place] if swept else settings.get("budget"),
                "n": N,
                "n_right": N - 2,
                "n_withstood": N - 2 - n_fallen + miscounted,
                "n_misclassified": n_fallen,
            }
            for place, n_fallen in enumerate(fallen)
        ]
        arrays_stored = {
            "rows": self.rows[places],
            "labels": labels,
            "predicted_before": before,
            "predicted": predicted,
            "adversarial": 255 - self.clean[places],
            **{name: np.full((N, n_runs), 0.5) for name in ("confidence_before", "ssim")},
            "confidence_after": np.full((N, n_runs), 0.25),
            "n_queries": np.full((N, n_runs), 7),
            "n_gradients": np.full((N, n_runs), 3),
            **{name: np.full((N, n_runs), 4 / 255) for name in ("l2", "linf")},
            "l0": np.full((N, n_runs), 0.01 * 3 * 128**2),
            **arrays,
        }
        if targets is None:
            runs = [{**counts, "confidence_drop": 0.25} for counts in runs]
        else:
            tried = np.zeros((2, 3, 3), np.int64)
            right = before == labels
            np.add.at(tried[1], (labels[right], targets[right]), 1)
            hit = right & (predicted[:, 0] == targets)
            np.add.at(tried[0], (labels[hit], targets[hit]), 1)
            runs = [{**counts, "n_targeted": int(hit.sum())} for counts in runs]
            arrays_stored |= {"targets": targets, "source-target": tried}
        network = model == "mk-2"
        result = {
            "attack": attack,
            "model": model,
            "method": None,
            "settings": settings,
            "access": "white box" if attack in ("fgsm", "pgd", "targeted", "jsma") else "black box",
            "kind": "network" if network else "ensemble",
            "split": "clean",
            "split_kind": "clean",
            "classes": self.inputs.class_names,
            "image_size": 128,
            "n_images": N,
            "runs": runs,
        }
        return self.maker.publish(
            "attack",
            f"attack {attack} on {model}, clean split",
            {"model": self.trained if network else self.stacked, "images": self.images},
            arrays_stored,
            {"result": result},
        )

    def transfer(self, *, miscounted: int = 0, sizes: tuple[int, int] = (128, 128)) -> None:
        """Publish what images of FGSM and PGD do to the forest, which has one more wrong.

        sizes: of the images of FGSM and of PGD; of another size the forest has three more wrong.
        """
        differs = sizes[1] != sizes[0]
        clean = np.stack(
            [[self.before(), self.after(1)], [self.before(), self.after(1 + 2 * differs)]]
        )
        after = np.array([[self.after(4), self.after(3)], [self.after(6), self.after(2)]])
        right, stood = clean == self.labels, after == self.labels
        counts = (right & stood).sum(axis=2)
        result = {
            "split": "clean",
            "split_kind": "clean",
            "classes": self.inputs.class_names,
            "n_images": N,
            "missing": [],
            "victims": [
                {"name": "mk-2", "method": None, "kind": "network"},
                {"name": FOREST, "method": "random_forest", "kind": "ensemble"},
            ],
            "sources": [
                {
                    "model": "mk-2",
                    "attack": attack,
                    "budget": 8.0,
                    "image_size": sizes[place],
                    "n_right": right[place].sum(axis=1).tolist(),
                    "n_withstood": (counts[place] + miscounted).tolist(),
                }
                for place, attack in enumerate(("fgsm", "pgd"))
            ],
        }
        arrays = {
            "rows": self.rows,
            "labels": self.labels,
            "predicted-before": clean,
            "predicted": after,
        }
        inputs = {"images": self.images}
        self.maker.publish("transfer", "transfer, clean split", inputs, arrays, {"result": result})

    def exploratory(self) -> None:
        """Publish what a surrogate learned of the network from two rounds, and what it fools.

        It attacks the first eight images, of which the network has two wrong and it three; FGSM at
        8/255 fools the network on two more, PGD on four, JSMA on one of the three that it takes.
        """
        labels = self.labels[:8]
        wrong = (labels + 1) % 3

        def predicted(*n_wrong: int) -> np.ndarray:
            return np.stack([np.where(np.arange(8) < n, wrong, labels) for n in n_wrong], axis=1)

        pairs = np.stack([predicted(2, 3), predicted(4, 7), predicted(6, 8)], axis=1)
        shown = np.full((8, 1, 2), -1)
        shown[:3, 0] = predicted(3, 3)[:3]
        result = {
            "model": "mk-2",
            "kind": "network",
            "n_queries": [1000, 2000],
            "settings": {"exploratory": {"budgets": [8.0]}},
        }
        arrays = {
            "rows": self.rows[:8],
            "labels": labels,
            "learned": predicted(6, 3),
            "predicted": np.concatenate([pairs, shown], axis=1),
        }
        self.maker.publish(
            "exploratory",
            "attack exploratory on mk-2, clean split",
            {"model": self.trained, "images": self.images},
            arrays,
            {"result": result},
        )


def attacked_study(
    root: Path,
    *,
    miscounted: str = "",
    sizes: tuple[int, int] = (128, 128),
    variant: str = "single",
    **changes: Any,
) -> ReportInputs:
    """The tiny study with attacks on one network and on a forest, one attack missing.

    miscounted: the attack whose result overstates what withstood. sizes: as of `transfer`.
    variant: of JSMA.
    """
    inputs = tiny_study(root / "study", **changes)
    attacks = Attacks(inputs, root / "attacks")
    further = {
        "fgsm": {"zero_gradient": np.arange(N) == 11},
        "pgd": {"doubled": np.stack([attacks.after(n_fallen) for n_fallen in (3, 6, 10)], axis=1)},
    }
    for attack, fallen in FALLEN.items():
        wrong = int(attack == miscounted)
        attacks.publish(attack, fallen, SWEPT, miscounted=wrong, **further.get(attack, {}))
    of_pairs = (attacks.labels[attacks.pairs] + 1 + np.arange(N) % 2) % 3
    attacks.publish("targeted", (5,), {"budget": 8.0}, places=attacks.pairs, targets=of_pairs)
    targets = (attacks.labels + 1 + np.arange(N) % 2) % 3
    jsma = {"jsma": {"variant": variant}}
    # The second image is wrong before, elsewhere than its target, and reaches that.
    predicted = np.where(np.arange(N) == 1, targets, attacks.after(5))[:, None]
    attacks.publish("jsma", (5,), jsma, targets=targets, predicted=predicted)
    attacks.publish("one_pixel", (2,), {})
    attacks.publish("noise", (0, 0, 0), SWEPT, model=FOREST)
    attacks.transfer(miscounted=int(miscounted == "transfer"), sizes=sizes)
    attacks.exploratory()
    # The models themselves are no part of what is tested here.
    artifacts = {
        label: artifact
        for label, artifact in attacks.maker.artifacts.items()
        if artifact.reference.stage in ("attack", "transfer", "exploratory")
    }
    label = "attack one_pixel on small by random_forest, clean split"
    absent = absent_stage("c", "attack", label, REASON, "clean")
    return ReportInputs(
        {**inputs.artifacts, **artifacts}, [*inputs.absent, absent], inputs.settings
    )
