"""A trained network: rebuilt from code, its weights loaded from its artifact."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flowers17.artifacts import Artifact
from flowers17.config import LearnerDefinition, RecipeSettings, ResizeName
from flowers17.errors import InvalidInput
from flowers17.learners.networks import build, module_of
from flowers17.learners.stored import load
from flowers17.manifests import read_as_written
from flowers17.prediction.models import Answers, Loader
from flowers17.prediction.own_code import check_own_learner
from flowers17.prediction.pictures import Block

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 64


class Network:
    """The network of an artifact of stage `training`."""

    n_at_once = BATCH_SIZE
    maps: tuple[Any, ...] = ()
    members: tuple[str, ...] = ()

    def __init__(self, artifact: Artifact, loader: Loader) -> None:
        self._artifact, self._loader = artifact, loader
        self._config = artifact.manifest["material"]["config"]
        result = artifact.json("result")
        self.name: str = artifact.manifest["label"]
        if "classes" not in result:
            raise InvalidInput(
                f"{self.name}: expected a training that names its classes, got one of an older "
                "version; run `flowers17 run learners` again"
            )
        self.classes = tuple(map(str, result["classes"]))
        self._size = int(result["image_size"])
        self.sizes = frozenset({self._size})
        self.resize: ResizeName = self._config.get("resize", "crop")
        self._recipe = RecipeSettings.model_validate(result["recipe"])
        self._check_code()

    def answers(self, block: Block) -> Answers:
        """Return class probabilities, float32 (n, c), as the training itself computes them."""
        model = self.keras_model  # first of all: it chooses the device, which a backend reads early
        from flowers17.learners.evaluation import probabilities

        images = block.squares[self._size]
        return Answers(probabilities(model, images, batch_size=BATCH_SIZE, flips=self.flips))

    def applied(self, images: Mapping[int, Any]) -> Any:
        """Return symbolic class probabilities: see `models.Model`."""
        model = self.differentiable
        import keras

        name = f"network-{self._artifact.reference.key[:12]}"  # names must differ
        return keras.Model(model.input, model.output, name=name)(images[self._size])

    @property
    def flips(self) -> bool:
        """Whether the probabilities of an image and its mirror image are averaged."""
        return self._recipe.flips_at_test

    def _check_code(self) -> None:
        """Raise InvalidInput if code that may not be run would build the network."""
        learner = self._config["learner"]
        if module_of(learner, self._definitions):
            trained = (self._config["definition"] or {}).get("sha256")
            check_own_learner(self.name, learner, trained, self._loader)

    @property
    def _definitions(self) -> tuple[LearnerDefinition, ...]:
        definition = self._config["definition"] or {}
        return (LearnerDefinition.model_validate(definition),) if "blocks" in definition else ()

    @cached_property
    def keras_model(self) -> "keras.Model":
        """The network, built and its weights loaded at the first use."""
        own, learner = self._definitions, self._config["learner"]
        takes_any_size = set(self._recipe.resolutions) != {1.0}
        side = None if takes_any_size else self._size
        with read_as_written(self.name), self._loader.building(self._config["precision"]):
            model = build(learner, (side, side, 3), len(self.classes), definitions=own)
        load(model, self._artifact, "run learners")
        return model

    @cached_property
    def differentiable(self) -> "keras.Model":
        """The network as it predicts: float32 images in [0, 1] → class probabilities.

        It averages an image and its mirror image if the recipe has predictions do so.
        """
        model = self._plain
        if not self._recipe.flips_at_test:
            return model
        import keras

        images = keras.Input(model.input_shape[1:])
        proba = keras.layers.Average(dtype="float32")([model(images), model(images[:, :, ::-1])])
        return keras.Model(images, proba, name=model.name)

    @property
    def _plain(self) -> "keras.Model":
        """The network of images of the data set's size, without a mirror image."""
        return self.keras_model
