"""Trained and fine-tuned networks: rebuilt from code, their weights loaded from artifacts."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flowers17.artifacts import Artifact
from flowers17.config import HeadSettings, LearnerDefinition, RecipeSettings
from flowers17.errors import InvalidInput
from flowers17.learners.networks import build, load_weights, module_of
from flowers17.manifests import read_as_written
from flowers17.prediction.features import extractor_of
from flowers17.prediction.models import BATCH_SIZE, Answers, Loader, Model
from flowers17.prediction.own_code import check_own_learner
from flowers17.prediction.pictures import Block
from flowers17.transfer.extractors import resized

if TYPE_CHECKING:
    import keras


class Network(Model):
    """The network of an artifact of stage `training`."""

    def __init__(self, artifact: Artifact, loader: Loader) -> None:
        super().__init__(artifact, loader)
        result = artifact.json("result")
        if "classes" not in result:
            raise InvalidInput(
                f"{self.name}: expected a training that names its classes, got one of an older "
                "version; run `flowers17 run learners` again"
            )
        self.classes = tuple(map(str, result["classes"]))
        self._size = int(result["image_size"])
        self.sizes = frozenset({self._size})
        self._recipe = RecipeSettings.model_validate(result["recipe"])
        self._check_code()

    def answers(self, block: Block) -> Answers:
        """Return class probabilities, float32 (n, c), as the training itself computes them."""
        model = self.keras_model  # first of all: it chooses the device, which a backend reads early
        from flowers17.learners.evaluation import probabilities

        images = resized(block.squares[self._size], model.input_shape[1] or self._size)
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
        load_weights(model, self._artifact, "run learners")
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


class FineTuned(Network):
    """The network of an artifact of stage `finetuning`."""

    def __init__(self, artifact: Artifact, loader: Loader) -> None:
        super().__init__(artifact, loader)
        self._input_size = int(self._config["input_size"])

    def _check_code(self) -> None:
        """Nothing to check: only Keras's own networks are fine-tuned."""

    @cached_property
    def keras_model(self) -> "keras.Model":
        """The network, extractor included, for images of the extractor's input size."""
        return self._built(self._input_size)

    @property
    def _plain(self) -> "keras.Model":
        resizes = self._size != self._input_size
        return self._built(self._size) if resizes else self.keras_model

    def _built(self, image_size: int) -> "keras.Model":
        extractor = extractor_of(self._artifact, self._loader)
        from flowers17.transfer.fine_tuning import cut, image_network, trainable_network

        config, map_shape = self._config, tuple(extractor.output_shape[1:])
        lower, upper = cut(extractor, config["extractor"], config["unfrozen_from"])
        with self._loader.building(config["precision"]):
            trained = trainable_network(
                upper,
                map_shape,
                len(self.classes),
                pooling=config["pooling"],
                units=config["units"],
                head=HeadSettings.model_validate(config["head"]),
                seed=0,
                name=config["extractor"],
            )
        load_weights(trained, self._artifact, "run finetune")
        return image_network(lower, trained, config["extractor"], image_size=image_size)
