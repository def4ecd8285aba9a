"""A fine-tuned network: extractor and head rebuilt from code, weights loaded from its artifact."""

from functools import cached_property
from typing import TYPE_CHECKING

from flowers17.artifacts import Artifact
from flowers17.config import HeadSettings
from flowers17.learners.stored import load
from flowers17.prediction.features import extractor_of
from flowers17.prediction.models import Answers, Loader
from flowers17.prediction.networks import BATCH_SIZE, Network
from flowers17.prediction.pictures import Block
from flowers17.transfer.extractors import resized

if TYPE_CHECKING:
    import keras


class FineTuned(Network):
    """The network of an artifact of stage `finetuning`."""

    def __init__(self, artifact: Artifact, loader: Loader) -> None:
        super().__init__(artifact, loader)
        self._input_size = int(self._config["input_size"])

    def _check_code(self) -> None:
        """Nothing to check: only Keras's own networks are fine-tuned."""

    def answers(self, block: Block) -> Answers:
        """Return class probabilities, float32 (n, c), as the training itself computes them."""
        model = self.keras_model  # first of all: it chooses the device, which a backend reads early
        from flowers17.learners.evaluation import probabilities

        images = resized(block.squares[self._size], self._input_size)
        return Answers(probabilities(model, images, batch_size=BATCH_SIZE, flips=self.flips))

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
        load(trained, self._artifact, "run finetune")
        return image_network(lower, trained, config["extractor"], image_size=image_size)
