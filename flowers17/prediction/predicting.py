"""Predictions of one model for many images, a block at a time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from flowers17.artifacts import Artifact, short_name
from flowers17.ensemble.calibration import tempered
from flowers17.errors import ArtifactDamaged
from flowers17.manifests import read_as_written
from flowers17.prediction.catalogue import KINDS
from flowers17.prediction.likeness import Evidence, Likeness
from flowers17.prediction.models import Loader, MemberModels, Model
from flowers17.prediction.pictures import Block, Refuse, blocks

N_FIRST = 8  # images of the first block, so that the first answers come soon


@dataclass(frozen=True)
class Prediction:
    """Prediction of a model for one image.

    path: as in the input. proba: by class, in the model's order. agreement: the share of an
    ensemble's members that predict the ensemble's class; None for other models. members: the
    probabilities of each. calibrated, likeness: None without evidence.
    """

    path: str
    proba: Mapping[str, float]
    agreement: float | None
    members: Mapping[str, Mapping[str, float]]
    calibrated: Mapping[str, float] | None
    likeness: Likeness | None

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """Classes and their probabilities, the most probable first; equals in class order."""
        return sorted(self.proba.items(), key=lambda item: -item[1])


def open_model(reference: Mapping[str, str], loader: Loader, by: MemberModels = "refit") -> Model:
    """Open the model of an artifact of a stage in `catalogue.KINDS`, verified.

    reference: a manifest, or a reference in one. by: of an ensemble, whether its members are their
    refits or the averages of their fold models.
    Raises ArtifactMissing or ArtifactDamaged if the store lacks what it needs.
    """

    def model_of(artifact: Artifact) -> Model:
        # Imported one by one: scikit-learn imports slowly, and networks do not need it.
        if reference["stage"] == "training":
            from flowers17.prediction.networks import Network

            return Network(artifact, loader)
        if reference["stage"] == "finetuning":
            from flowers17.prediction.fine_tuned import FineTuned

            return FineTuned(artifact, loader)
        if reference["stage"] == "fitted":
            from flowers17.prediction.classifiers import Classifier

            return Classifier(artifact, loader)
        from flowers17.prediction.ensembles import Ensemble

        return Ensemble(artifact, loader, lambda member: open_model(member, loader), by)

    if reference["stage"] not in KINDS:
        raise ArtifactDamaged(f"expected a model, got an artifact of stage {reference['stage']!r}")
    with read_as_written(short_name(reference["stage"], reference["key"])):
        model: Model = loader.once(reference, model_of)
    return model


def predictions(
    model: Model, paths: Iterable[str], refuse: Refuse, evidence: Evidence | None = None
) -> Iterator[Prediction]:
    """Yield the prediction for each image, in the order of the paths.

    refuse: called with the reason for each image that cannot be used, which is left out.
    evidence: what the model's own images say of a prediction (`likeness.evidence_of`).
    """
    for block in blocks(paths, model.sizes, model.n_at_once, refuse, model.resize, N_FIRST):
        yield from predictions_of(model, block, evidence)


def predictions_of(model: Model, block: Block, evidence: Evidence | None) -> Iterator[Prediction]:
    """Yield the prediction for each image of a block."""

    def by_class(proba: np.ndarray) -> dict[str, float]:
        return dict(zip(model.classes, proba.tolist(), strict=True))

    answers = model.answers(block)
    agreement, members = answers.agreement, answers.members
    calibrated = tempered(answers.proba, evidence.temperature) if evidence else None
    likenesses = evidence.likeness(block) if evidence else None
    for row, path in enumerate(block.paths):
        yield Prediction(
            path,
            by_class(answers.proba[row]),
            None if agreement is None else float(agreement[row]),
            {}
            if members is None
            else {
                name: by_class(proba[row])
                for name, proba in zip(model.members, members, strict=True)
            },
            None if calibrated is None else by_class(calibrated[row]),
            likenesses[row] if likenesses else None,
        )
