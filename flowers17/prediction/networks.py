"""Networks and extractors of a store: rebuilt from code, their weights loaded from artifacts.

An artifact is data that others may have written. That of a network built by the user's own function
names the function. It runs only if the user names it too, and only unchanged: without this check a
store could have any function called.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowers17.artifacts import Artifact
from flowers17.backbones.facts import backbone_of
from flowers17.config import HeadSettings, LearnerDefinition, RecipeSettings
from flowers17.digests import file_sha256
from flowers17.errors import ChecksumMismatch, InvalidInput, WeightsMissing
from flowers17.learners.networks import build, load_weights, module_of
from flowers17.learners.own_modules import module_file, module_places
from flowers17.manifests import read_as_written
from flowers17.prediction.models import BATCH_SIZE, Answers, Loader, Model
from flowers17.prediction.pictures import Block
from flowers17.seeds import derived_seed
from flowers17.transfer.extractors import build_extractor, check_network, resized
from flowers17.transfer.weights import resolve_weights

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
        takes_any_size = set(self._recipe.resolutions) != {1.0}
        self._input_size = None if takes_any_size else self._size
        if artifact.reference.stage == "finetuning":  # of one of Keras's own networks
            return
        learner = self._config["learner"]
        if module_of(learner, self._definitions):
            trained = (self._config["definition"] or {}).get("sha256")
            check_own_learner(self.name, learner, trained, self._loader)

    def answers(self, block: Block) -> Answers:
        """Return class probabilities, float32 (n, c), as the training itself computes them."""
        model = self.keras_model  # first of all: it chooses the device, which a backend reads early
        from flowers17.learners.evaluation import probabilities

        images = resized(block.squares[self._size], model.input_shape[1] or self._size)
        return Answers(
            probabilities(model, images, batch_size=BATCH_SIZE, flips=self._recipe.flips_at_test)
        )

    def applied(self, images: Mapping[int, Any]) -> Any:
        """Return symbolic class probabilities: see `models.Model`."""
        model = self.differentiable
        import keras

        name = f"network-{self._artifact.reference.key[:12]}"  # names must differ
        return keras.Model(model.input, model.output, name=name)(images[self._size])

    @property
    def _definitions(self) -> tuple[LearnerDefinition, ...]:
        definition = self._config["definition"] or {}
        return (LearnerDefinition.model_validate(definition),) if "blocks" in definition else ()

    @cached_property
    def keras_model(self) -> "keras.Model":
        """The network, built and its weights loaded at the first use, for images of its size."""
        return self._built(self._input_size)

    def _built(self, size: int | None) -> "keras.Model":
        """The network for images of a size, or of any."""
        own, learner = self._definitions, self._config["learner"]
        with read_as_written(self.name), self._loader.building(self._config["precision"]):
            model = build(learner, (size, size, 3), len(self.classes), definitions=own)
        load_weights(model, self._artifact, "run learners")
        return model

    @cached_property
    def differentiable(self) -> "keras.Model":
        """The network as it predicts: float32 images in [0, 1] → class probabilities.

        It averages an image and its mirror image if the recipe has predictions do so.
        """
        fits = self._input_size in (None, self._size)
        model = self.keras_model if fits else self._built(self._size)
        if not self._recipe.flips_at_test:
            return model
        import keras

        images = keras.Input(model.input_shape[1:])
        proba = keras.layers.Average(dtype="float32")([model(images), model(images[:, :, ::-1])])
        return keras.Model(images, proba, name=model.name)


class FineTuned(Network):
    """The network of an artifact of stage `finetuning`, its extractor included."""

    def __init__(self, artifact: Artifact, loader: Loader) -> None:
        super().__init__(artifact, loader)
        self._input_size = int(self._config["input_size"])

    def _built(self, size: int | None) -> "keras.Model":
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
        return image_network(lower, trained, config["extractor"], image_size=size)


def extractor_of(artifact: Artifact, loader: Loader) -> "keras.Model":
    """A newly built extractor with the weights that an artifact was made with.

    artifact: of stage `features`, `activations` or `finetuning`. Raises WeightsMissing or
    ChecksumMismatch if these weights are not there, InvalidInput if a function that may not be run
    would build it.
    """
    material = artifact.manifest["material"]
    config, path = material["config"], _weights_path(artifact, loader)
    backbone, weights = backbone_of(config["extractor"]), config["weights"]
    if backbone.kind == "function":
        label = artifact.manifest["label"]
        check_own_learner(label, backbone.name, weights.get("code"), loader)
    with loader.building("float32"):
        model = build_extractor(
            config["extractor"],
            input_size=config["input_size"],
            weights_path=path,
            seed=derived_seed(material["seed"] or 0, "features"),  # see tasks.weights
            untrained=weights["kind"] == "random",
        )
    if reference := artifact.manifest["inputs"].get("backbone"):
        with read_as_written(artifact.manifest["label"]):
            check_network(model, loader.artifact(reference).json("facts"), config["extractor"])
    return model


def _weights_path(artifact: Artifact, loader: Loader) -> Path | None:
    """The file or preset that an artifact was made with; None if it needed none."""
    config = artifact.manifest["material"]["config"]
    extractor, sha256 = config["extractor"], config["weights"]["sha256"]
    if "weights" in artifact.manifest["inputs"]:
        return loader.artifact(artifact.manifest["inputs"]["weights"]).path
    if sha256 is None:
        return None
    source = resolve_weights(extractor, loader.weights_dir)
    if source.path is not None and source.sha256 == sha256:
        return source.path
    problem = ChecksumMismatch if source.path else WeightsMissing
    received = f"{source.sha256[:12]}…" if source.sha256 else "none"
    raise problem(
        f"{source.path or extractor}: expected the weights that {artifact.manifest['label']} was "
        f"made with, sha256 {sha256[:12]}…, got {received}; give their folder as --weights-dir"
    )


def check_own_learner(name: str, learner: str, sha256: str | None, loader: Loader) -> None:
    """Raise InvalidInput unless a function may be called to rebuild a network.

    Its module, and the packages around it, may not lie in the store. Nothing is imported.
    name: of the model. learner: `module:function`. sha256: of the module's file that the network
    was trained with, from its artifact.
    """
    module = learner.partition(":")[0]
    if sha256 is None:
        raise InvalidInput(
            f"{name}: expected the SHA-256 of module {module!r}, which it asks to be run, its "
            "artifact holds none; train it again"
        )
    if learner not in loader.own_learners:
        raise InvalidInput(
            f"{name}: the store asks to run code of module {module!r}, function "
            f"{learner.partition(':')[2]!r}. Whoever can write to the store can name any code. If "
            f"you know and trust this one, add `--own-learner {learner}`; in Python "
            f"Loader(…, own_learners=[{learner!r}])"
        )
    store = loader.store.root.resolve()
    for file, folders in module_places(module):
        locations = [*folders, *([file] if file else [])]
        if any(location.resolve().is_relative_to(store) for location in locations):
            raise InvalidInput(
                f"{name}: expected module {module!r} outside the store, found it in {store}; code "
                "in a store is never run: move it, and put it where Python finds it"
            )
    source = module_file(module)
    source_sha256 = file_sha256(source) if source else None
    if source_sha256 != sha256:
        raise InvalidInput(
            f"{name}: expected the module {module!r} that it was trained with, sha256 "
            f"{sha256[:12]}…, got {f'{source_sha256[:12]}…' if source_sha256 else 'none'}; "
            "put the file that it was trained with where Python finds it, or train again"
        )
