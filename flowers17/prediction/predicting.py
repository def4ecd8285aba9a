"""Predictions of one model for many images, a block at a time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from flowers17.artifacts import Artifact, short_name
from flowers17.ensemble.calibration import tempered
from flowers17.errors import ArtifactDamaged
from flowers17.manifests import read_as_written
from flowers17.prediction.catalogue import KINDS
from flowers17.prediction.likeness import Likeness
from flowers17.prediction.models import Loader, MemberModels, Model
from flowers17.prediction.pictures import Block, Refuse, blocks

N_FIRST = 8  # images of the first block, so that the first answers come soon


@dataclass(frozen=True)
class Prediction:
    """Prediction of a model for one image.

    path: as in the input. proba: by class, in the model's order; calibrated if the store tells
    which images measured the model. uncalibrated: those of the network or classifier itself, as an
    exported file gives them; an ensemble's are calibrated. agreement: the share of an ensemble's
    members that predict the ensemble's class; None for other models. members: the probabilities
    of each. likeness: None if the probabilities are not calibrated. conformal_set: classes of which
    one is right as often as was asked for, the most probable first; None if it was not.
    """

    path: str
    proba: Mapping[str, float]
    uncalibrated: Mapping[str, float]
    agreement: float | None
    members: Mapping[str, Mapping[str, float]]
    likeness: Likeness | None
    conformal_set: tuple[str, ...] | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether the model's held-out images calibrated its probabilities."""
        return self.likeness is not None

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
        if reference["stage"] in ("training", "finetuning"):
            from flowers17.prediction import networks

            is_tuned = reference["stage"] == "finetuning"
            return (networks.FineTuned if is_tuned else networks.Network)(artifact, loader)
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
    model: Model, paths: Iterable[str], refuse: Refuse, coverage: float | None = None
) -> Iterator[Prediction]:
    """Yield the prediction for each image, in the order of the paths.

    refuse: called with the reason for each image that cannot be used, which is left out. coverage:
    of sets of classes, if the store tells which images measured the model.
    """
    sizes, n_at_once = model.sizes, model.n_at_once
    for block in blocks(paths, sizes, n_at_once, refuse, model.resize, N_FIRST, model.depth):
        yield from predictions_of(model, block, coverage)


def predictions_of(
    model: Model, block: Block, coverage: float | None = None
) -> Iterator[Prediction]:
    """Yield the prediction for each image of a block."""

    def by_class(proba: np.ndarray) -> dict[str, float]:
        return dict(zip(model.classes, proba.tolist(), strict=True))

    answers, evidence = model.answers(block), model.evidence
    proba = tempered(answers.proba, evidence.temperature) if evidence else answers.proba
    likenesses = evidence.likeness(block) if evidence else [None] * len(proba)
    sets = evidence.sets(answers.proba, coverage) if evidence and coverage else None
    for row, path in enumerate(block.paths):
        agreement, members = None, {}
        if answers.members is not None:
            of_members = answers.members[:, row]
            agreement = float(np.mean(of_members.argmax(axis=1) == answers.proba[row].argmax()))
            members = dict(zip(model.members, map(by_class, of_members), strict=True))
        yield Prediction(
            path,
            by_class(proba[row]),
            by_class(answers.proba[row]),
            agreement,
            members,
            likenesses[row],
            None if sets is None else tuple(model.classes[label] for label in sets[row]),
        )
