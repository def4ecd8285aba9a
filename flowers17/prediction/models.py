"""Models of a store: their protocol, the loader of their artifacts, and their predictions."""

import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flowers17.artifacts import Artifact, Reference, Store, short_name
from flowers17.config import DeviceName, ResizeName
from flowers17.errors import ArtifactDamaged
from flowers17.learners.devices import Precision, chosen_device, prepare
from flowers17.manifests import ArtifactId, Manifest, by_id, family, read_as_written
from flowers17.prediction.pictures import Block, Refuse, blocks

if TYPE_CHECKING:
    from flowers17.prediction.classifiers import FeatureMap
    from flowers17.prediction.evidence import Evidence, Likeness

MemberModels = Literal["refit", "average"]
BATCH_SIZE = 64
N_FIRST = 8  # images of the first block, so that the first answers come soon
_BEING_MADE = object()


@dataclass(frozen=True)
class Answers:
    """Predictions of a model for a block of images.

    proba: float (n, c). members: of an ensemble, each member's probabilities, float (m, n, c).
    """

    proba: np.ndarray
    members: np.ndarray | None = None


class Model:
    """A network, a classifier on features or an ensemble; it is built at the first prediction.

    sizes: sides of the squares that it takes; resize: how images become them. n_at_once: the
    batch size that suits it. maps: the feature maps that it reads. members: names of an
    ensemble's members.
    """

    classes: tuple[str, ...]
    sizes: frozenset[int]
    n_at_once = BATCH_SIZE
    maps: "tuple[FeatureMap, ...]" = ()
    members: tuple[str, ...] = ()

    def __init__(self, artifact: Artifact, loader: "Loader") -> None:
        self._artifact, self._loader = artifact, loader
        self._config = artifact.manifest["material"]["config"]
        self.name: str = artifact.manifest["label"]
        self.resize: ResizeName = self._config.get("resize", "crop")

    def answers(self, block: Block) -> Answers:
        """Class probabilities of a block's images."""
        raise NotImplementedError

    def applied(self, images: Mapping[int, Any]) -> Any:
        """Symbolic class probabilities, (n, c), of symbolic Keras images.

        images: float32 (n, s, s, 3) in [0, 1], by side s, for each of `sizes`. Features
        that several models take of one tensor are computed once.
        """
        raise NotImplementedError

    @cached_property
    def depth(self) -> int:
        """Bits of grey levels, in files of 16 bits, of the images that it was made from."""
        origins = family(self._artifact.manifest, self._loader.manifests)
        metrics = (origin.get("metrics", {}) for origin in origins if origin["stage"] == "images")
        return int(next((each["depth"] for each in metrics if "depth" in each), 16))

    @cached_property
    def evidence(self) -> "Evidence | None":
        """What the model's own images say of its predictions; None if the store lacks them."""
        from flowers17.prediction.evidence import Evidence, held_out

        images = held_out(self._artifact, self._loader)
        return Evidence(self._artifact, self, self._loader, images) if images else None


class Loader:
    """Opens the artifacts of one store for one run, each verified, and each once.

    own_learners: the functions, `module:function`, that may be called to rebuild networks; no other
    is, since whoever can write to a store can name any function in it.
    """

    def __init__(
        self,
        store: Store,
        *,
        weights_dir: Path | None = None,
        device: DeviceName = "auto",
        own_learners: Collection[str] = (),
    ) -> None:
        # TensorFlow reports what it compiles, and warns of every model after the fourth.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        self.store, self.weights_dir = store, weights_dir
        self.own_learners = frozenset(own_learners)
        self._device, self._is_prepared = device, False
        self._known: dict[tuple[str, str], Any] = {}

    def artifact(self, reference: Mapping[str, str]) -> Artifact:
        """Return the artifact of a reference in a manifest; raises what `Store.open` does."""
        return self.store.open(Reference.from_json(reference))

    @cached_property
    def manifests(self) -> dict[ArtifactId, Manifest]:
        """Every manifest of the store, by stage and key."""
        return by_id(self.store.manifests())

    def once(self, reference: Mapping[str, str], make: Callable[[Artifact], Any]) -> Any:
        """The object that `make` makes of an artifact, made at the first call.

        Raises ArtifactDamaged for an artifact that is made from itself.
        """
        place = (reference["stage"], reference["key"])
        if place not in self._known:
            self._known[place] = _BEING_MADE
            try:
                self._known[place] = make(self.artifact(reference))
            except BaseException:
                del self._known[place]
                raise
        if self._known[place] is _BEING_MADE:
            raise ArtifactDamaged(f"{short_name(*place)}: expected inputs other than itself")
        return self._known[place]

    @contextmanager
    def building(self, precision: Precision) -> Iterator[None]:
        """Build Keras models in a precision; the first call sets the process up.

        Raises InvalidSettings if a GPU is asked for and absent.
        """
        if not self._is_prepared:
            prepare(chosen_device(self._device), "float32", 0)
            self._is_prepared = True
        import keras

        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)


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
    likeness: "Likeness | None"
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
    from flowers17.prediction.catalogue import KINDS

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
    from flowers17.ensemble.calibration import tempered  # which imports SciPy

    def by_class(proba: np.ndarray) -> dict[str, float]:
        return dict(zip(model.classes, proba.tolist(), strict=True))

    # Likeness first: it uses one core, while the next images are decoded on the others.
    evidence = model.evidence
    likenesses = evidence.likeness(block) if evidence else [None] * len(block.paths)
    answers = model.answers(block)
    proba = tempered(answers.proba, evidence.temperature) if evidence else answers.proba
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
