"""An ensemble: its members' probabilities, combined by the method that its study chose.

The meta-learner is fitted again from the stored out-of-fold probabilities. That is deterministic
and takes seconds, so nothing has to be unpickled.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from flowers17.artifacts import Artifact
from flowers17.ensemble.calibration import tempered
from flowers17.ensemble.meta_learners import fitted, probabilities
from flowers17.ensemble.predictions import averaged, weighted
from flowers17.manifests import read_as_written
from flowers17.prediction.catalogue import scheme_of
from flowers17.prediction.fitted_classifier import of_estimator
from flowers17.prediction.models import Answers, Loader, MemberModels, Model
from flowers17.prediction.pictures import Block
from flowers17.seeds import derived_seed


class Ensemble(Model):
    """The ensemble of an artifact of stage `stacking`.

    open_member: opens the model of a reference. by: whether its members are their refits, or the
    averages of their fold models. method: how the members are combined, as `result.json` names it.
    """

    def __init__(
        self,
        artifact: Artifact,
        loader: Loader,
        open_member: Callable[[Mapping[str, str]], Model],
        by: MemberModels = "refit",
    ) -> None:
        super().__init__(artifact, loader)
        self._result = artifact.json("result")
        self._class_weight = self._config.get("class_weight")
        self._seed = derived_seed(artifact.manifest["material"]["seed"] or 0, "stacking")
        self._out_of_fold = loader.artifact(artifact.manifest["inputs"]["out_of_fold"])
        self.classes = tuple(self._result["classes"])
        self.method: str = self._result["chosen"]["method"]
        self.by = by
        _ = self._temperature  # raises now if it is missing, not after the members have computed
        inputs, described = self._out_of_fold.manifest["inputs"], self._out_of_fold.json("members")
        folds = [str(number) for number in range(1, described["n_folds"] + 1)]
        roles = folds if by == "average" else ["refit"]
        self._models = [
            [open_member(inputs[f"{member['name']}/{role}"]) for role in roles]
            for member in described["members"]
        ]
        models = [model for member in self._models for model in member]
        self.sizes = frozenset(size for model in models for size in model.sizes)
        self.resize = models[0].resize
        self.n_at_once = max(model.n_at_once for model in models)
        self.maps = tuple(dict.fromkeys(map_ for model in models for map_ in model.maps))
        self.members = tuple(self._result["members"])

    def answers(self, block: Block) -> Answers:
        """Calibrated class probabilities, float64 (n, c), and those of the members."""
        members = self.member_probabilities(block)
        return Answers(tempered(self.combined(members), self._temperature), members)

    def applied(self, images: Mapping[int, Any]) -> Any:
        """Return symbolic calibrated class probabilities: see `models.Model`."""
        from flowers17.prediction import layers

        members = [
            layers.averaged([model.applied(images) for model in models]) for models in self._models
        ]
        if self.method == "average":
            proba = layers.averaged(members)
        elif self.method == "weighted_average":
            proba = layers.weighted(members, self._weights)
        else:
            columns = layers.ops.concatenate(members, axis=1)
            proba = layers.classifier(columns, of_estimator(self._meta_learner))
        return layers.tempered(proba, self._temperature)

    def member_probabilities(self, block: Block) -> np.ndarray:
        """Class probabilities of each member: float32 (m, n, c)."""
        members = []
        for models in self._models:
            probas = [model.answers(block).proba.astype(np.float32) for model in models]
            members.append(np.mean(probas, axis=0, dtype=np.float32))
        return np.stack(members)

    def combined(self, members: np.ndarray) -> np.ndarray:
        """Members' probabilities combined by the method, not calibrated: (n, c)."""
        if self.method == "average":
            return averaged(members)
        if self.method == "weighted_average":
            return weighted(members, np.array(self._weights))
        return probabilities(self._meta_learner, np.concatenate(members, axis=1))

    @property
    def _weights(self) -> list[float]:
        return [self._result["weights"][name] for name in self.members]

    @cached_property
    def _meta_learner(self) -> Any:
        rows = self._out_of_fold.array("folds") >= 0
        matrix, labels = self._out_of_fold.array("out-of-fold"), self._out_of_fold.array("labels")
        with read_as_written(self.name):
            return fitted(self.method, matrix[rows], labels[rows], self._seed, self._class_weight)

    @property
    def _temperature(self) -> float:
        return float(scheme_of(self._result, self.method, self.by)["temperature"])
