"""The protocol of all models, and the loader of the artifacts that they need."""

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flowers17.ancestry import ArtifactId, Manifest, by_id, family
from flowers17.artifacts import Artifact, Reference, Store, short_name
from flowers17.config import DeviceName, ResizeName
from flowers17.errors import ArtifactDamaged
from flowers17.learners.devices import Precision, chosen_device, prepare
from flowers17.prediction.pictures import Block

if TYPE_CHECKING:
    from flowers17.prediction.features import FeatureMap
    from flowers17.prediction.likeness import Evidence

MemberModels = Literal["refit", "average"]
BATCH_SIZE = 64
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
        from flowers17.prediction.likeness import evidence_of

        return evidence_of(self._artifact, self, self._loader)


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
