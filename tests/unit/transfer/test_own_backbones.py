"""Networks by file, by function and by preset: what is run, and what is refused."""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.artifacts import Store
from flowers17.backbones.facts import backbone_of
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.request import request_from
from flowers17.stages import Stage, ensure, in_order
from flowers17.transfer.extractors import build_extractor, feature_maps
from flowers17.transfer.fine_tuning import cut, image_network, trainable_network
from flowers17.transfer.weights import resolve_weights
from flows import features, finetune

SIZE = 32
IMAGES = np.random.default_rng(3).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
MODULE = """
import keras

def network(shape):
    keras.utils.set_random_seed(1)
    images = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 255)(images)
    for number in (1, 2, 3):
        x = keras.layers.Conv2D(4 * number, 3, padding="same", name=f"block{number}_conv")(x)
        x = keras.layers.Dropout(0.5)(x)
    return keras.Model(images, x)

def nothing(shape):
    return None

def leaves(shape):
    raise SystemExit(3)

def inner(shape):
    raise RuntimeError("no such dish")

def raises(shape):
    return inner(shape)
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "own_backbone.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_backbone:network"
    sys.modules.pop("own_backbone", None)


def _built(name: str, size: int = SIZE, **options: Any) -> Any:
    source = resolve_weights(name, None)
    return build_extractor(name, input_size=size, weights_path=source.path, seed=1, **options)


def _features(model: Any, name: str) -> np.ndarray:
    return feature_maps(model, IMAGES, extractor=name, input_size=SIZE)


def test_file_gives_its_own_network_weights_and_scaling(tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Rescaling(1 / 255), layers.Conv2D(5, 3, strides=2)]
    )
    model.save(tmp_path / "mine.keras")
    name = f"file:{tmp_path / 'mine.keras'}"
    expected = np.asarray(model(IMAGES.astype(np.float32))).reshape(4, -1)
    np.testing.assert_allclose(_features(_built(name), name), expected, rtol=1e-5, atol=1e-6)
    drawn = [_features(_built(name, untrained=True), name) for _ in range(2)]
    assert np.array_equal(*drawn)
    assert not np.allclose(drawn[0], expected)


def test_function_gives_its_network_and_a_file_its_weights(own_module: str, tmp_path: Path) -> None:
    model = _built(own_module)
    model.save_weights(tmp_path / "own.weights.h5")
    name = f"file:{tmp_path / 'own.weights.h5'}+{own_module}"
    assert backbone_of(name).short_name == f"file:own.weights.h5+{own_module}"
    assert np.array_equal(_features(_built(name), name), _features(model, own_module))
    first, other = resolve_weights(own_module, None), resolve_weights(name, None)
    assert (first.kind, first.sha256, other.kind) == ("function", None, "file")
    assert first.code == other.code != other.sha256 is not None


def test_own_network_is_cut_at_its_blocks_and_frozen_without_dropout(own_module: str) -> None:
    lower, upper = cut(_built(own_module), own_module, "block2")
    assert upper is not None
    assert [weight.path for weight in upper.trainable_weights] == [
        f"block{number}_conv/{kind}" for number in (2, 3) for kind in ("kernel", "bias")
    ]
    trained = trainable_network(
        None, (32, 32, 4), 3, pooling="average", units=4, head=_head(), seed=1
    )
    over_images = image_network(lower, trained, own_module)
    floats = IMAGES.astype(np.float32) / 255
    assert np.array_equal(
        np.asarray(over_images(floats, training=True)), np.asarray(over_images(floats))
    )


def _head() -> Any:
    from flowers17.config import HeadSettings

    return HeadSettings()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", "got NoneType .*; did the function forget `return`"),
        ("absent", "no function 'absent' .* has inner, leaves, network, nothing, raises; correct"),
    ],
)
def test_function_that_gives_no_network_is_refused(
    function: str, message: str, own_module: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        _built(own_module.replace("network", function))


@pytest.mark.parametrize(
    ("function", "problem", "text"),
    [
        ("raises", "RuntimeError: no such dish", 'raise RuntimeError("no such dish")'),
        ("leaves", "SystemExit: 3", "raise SystemExit(3)"),
        ("without", "TypeError: without", "def without"),
        ("imports", "ModuleNotFoundError: No module named 'nowhere_at_all'", "import nowhere"),
    ],
)
def test_what_a_function_raises_is_told_with_its_line(
    function: str, problem: str, text: str, own_module: str, tmp_path: Path
) -> None:
    path = tmp_path / "own_backbone.py"
    lines = (
        path.read_text() + "\ndef without(): pass\ndef imports(shape):\n    import nowhere_at_all"
    )
    path.write_text(lines)
    number = next(k for k, line in enumerate(lines.splitlines(), 1) if text in line)
    place = f"{path}, line {number}" if function != "without" else str(path)
    with pytest.raises(InvalidInput) as refusal:
        _built(own_module.replace("network", function))
    message = str(refusal.value)
    assert problem in message
    assert f"({place})" in message
    assert f"own_backbone.{function}((32, 32, 3))" in message


def test_module_that_raises_is_told_with_its_line(own_module: str, tmp_path: Path) -> None:
    (tmp_path / "own_backbone.py").write_text(MODULE + "\n1 / 0\n")
    number = MODULE.count("\n") + 2
    with pytest.raises(InvalidInput, match=rf"ZeroDivisionError: .*py, line {number}\); mend"):
        _built(own_module)


def _with_top(end: str) -> keras.Model:
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(images)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if end == "convolution":
        x = keras.layers.Reshape((1, 1, 4), name="as_image")(x)
        x = keras.layers.Reshape((5,), name="scores")(keras.layers.Conv2D(5, 1)(x))
        return keras.Model(images, keras.layers.Softmax()(x))
    if end == "layer":
        return keras.Model(images, keras.layers.Activation("softmax")(keras.layers.Dense(5)(x)))
    return keras.Model(images, keras.layers.Dense(5, activation=end)(x))


@pytest.mark.parametrize(
    ("end", "before"),
    [
        *(("softmax", "avg_pool"), ("sigmoid", "avg_pool")),
        *(("layer", "avg_pool"), ("convolution", "as_image")),
    ],
)
def test_network_with_its_classifier_is_refused_with_the_layer_to_cut_behind(
    end: str, before: str, tmp_path: Path
) -> None:
    model = _with_top(end)
    model.save(tmp_path / "top.keras")
    name = f"file:{tmp_path / 'top.keras'}"
    advice = rf"without its classifier, .* 5 probabilities .*model.get_layer\('{before}'\).output"
    with pytest.raises(InvalidInput, match=advice):
        _built(name)
    keras.Model(model.input, model.get_layer(before).output).save(tmp_path / "top.keras")
    assert _built(name).output_shape == (None, 1, 1, 4)


def test_network_of_another_size_says_which_it_takes(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((48, 48, 3)), keras.layers.Conv2D(2, 3)])
    model.save(tmp_path / "fixed.keras")
    with pytest.raises(InvalidSettings, match=r"fixed.keras: expected an `input_size` of 48"):
        _built(f"file:{tmp_path / 'fixed.keras'}")


def test_network_of_images_that_are_not_square_is_refused(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((48, SIZE, 3)), keras.layers.Conv2D(2, 3)]).save(
        tmp_path / "oblong.keras"
    )
    with pytest.raises(InvalidInput, match=r"oblong.keras: expected a square input, got 48 × 32"):
        _built(f"file:{tmp_path / 'oblong.keras'}")


@pytest.mark.parametrize("output", ["tokens", "two"])
def test_network_that_gives_no_map_is_refused(output: str, tmp_path: Path) -> None:
    images = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(2, 3)(images)
    outputs = {"tokens": keras.layers.Reshape((-1, 2))(x), "two": [x, x]}[output]
    keras.Model(images, outputs).save(tmp_path / "other.keras")
    with pytest.raises(InvalidInput, match=r"other.keras: expected a"):
        _built(f"file:{tmp_path / 'other.keras'}")


@pytest.mark.parametrize("kind", ["lambda", "module"])
def test_no_code_from_a_file_is_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, trace = tmp_path / "trap.keras", tmp_path / "trace"
    (tmp_path / "trap_module.py").write_text(f"open({str(trace)!r}, 'w')\nclass Layer: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    layer: Any = keras.layers.Rescaling(2.0, name="trap")
    if kind == "lambda":
        layer = keras.layers.Lambda(lambda x: x * 2)
    keras.Sequential([keras.Input((SIZE, SIZE, 3)), layer]).save(path)
    if kind == "module":
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(files["config.json"])
        part = config["config"]["layers"][1]
        part |= {"module": "trap_module", "class_name": "Layer", "registered_name": None}
        files["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    with pytest.raises(InvalidInput, match=r"expected classes of Keras alone, got .* is not run"):
        _built(f"file:{path}")
    assert not trace.exists()
    assert "trap_module" not in sys.modules


def test_registered_class_of_a_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("mylab")
    class Twice(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    Twice.__module__ = "__main__"  # where a notebook defines it
    keras.Sequential([keras.Input((SIZE, SIZE, 3)), Twice()]).save(tmp_path / "custom.keras")
    del keras.saving.get_custom_objects()["mylab>Twice"]
    advice = r"got mylab.Twice; .* a function that imports it and .* loads the file, .*extractor"
    with pytest.raises(InvalidInput, match=advice):
        _built(f"file:{tmp_path / 'custom.keras'}")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged"])
def test_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.keras").write_bytes(content)
    message = rf"bad.keras: .* {len(content)} bytes .*; save or download it again"
    with pytest.raises(InvalidInput, match=message):
        _built(f"file:{tmp_path / 'bad.keras'}")


def test_file_is_found_in_the_weights_folder_and_else_missed(tmp_path: Path) -> None:
    (tmp_path / "mine.keras").write_bytes(b"x")
    source = resolve_weights("file:mine.keras", tmp_path)
    assert (source.kind, source.path) == ("file", tmp_path / "mine.keras")
    for folder in (tmp_path, None):
        place = f" or {tmp_path / 'other.keras'}" if folder else ""
        message = (
            rf"file:other.keras: expected its file at {Path.cwd() / 'other.keras'}{place}, found "
            "none; give the folder that holds other.keras as --weig"
        )
        with pytest.raises(InvalidInput, match=message):
            resolve_weights("file:other.keras", folder)


@pytest.mark.parametrize(
    "name", ["resnet51", "hub:", "file:x.h5", "file:x.weights.h5+hub:y", "a b:c", "x.y"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidSettings, match=r"extractor: expected a network of .*, hub:PRESET"):
        backbone_of(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet51", "did you mean resnet50?"),
        ("EfficientNetV2B0", "did you mean efficientnetv2b0?"),
        ("file:mine.weights.h5+MobileNet", "did you mean mobilenet?"),
        ("zzz", "see `flowers17 backbones`"),
    ],
)
def test_a_name_that_is_all_but_a_network_s_is_answered_with_that_network(
    name: str, hint: str
) -> None:
    with pytest.raises(InvalidSettings) as refused:
        backbone_of(name)
    assert str(refused.value).endswith(f"; {hint}")
    assert len(str(refused.value)) < 250


class TestPreset:
    """Presets are made here, small and untrained; KerasHub is an extra."""

    @pytest.fixture(scope="class")
    @staticmethod
    def hub() -> Any:
        return pytest.importorskip("keras_hub")

    @staticmethod
    def _saved(hub: Any, backbone: Any, converter: Any, folder: Path) -> str:
        backbone.save_to_preset(str(folder))
        converter.save_to_preset(str(folder))
        return f"hub:{folder}"

    def test_of_a_vision_transformer_gives_its_class_token(self, hub: Any, tmp_path: Path) -> None:
        vit = hub.models.ViTBackbone((SIZE, SIZE, 3), 8, 2, 2, 16, 32)
        converter = hub.layers.ViTImageConverter(
            image_size=(SIZE, SIZE), scale=[1 / 100, 1 / 110, 1 / 120], offset=[-1.0, -1.1, -1.2]
        )
        name = self._saved(hub, vit, converter, tmp_path / "vit")
        expected = np.asarray(vit(converter(IMAGES.astype(np.float32))))[:, 0]
        model = _built(name)
        np.testing.assert_allclose(_features(model, name), expected, rtol=1e-4, atol=1e-5)
        with pytest.raises(InvalidInput, match="set `input_size` to it"):
            _built(name, size=2 * SIZE)
        lower, upper = cut(model, name, "vit_encoder")
        assert upper is not None
        assert lower.output_shape == (None, 17, 16)
        drawn = [_features(_built(name, untrained=True), name) for _ in range(2)]
        assert np.array_equal(*drawn)
        assert len(np.unique(drawn[0], axis=0)) == len(IMAGES)

    def test_of_dinov2_takes_other_sizes_than_it_was_trained_at(
        self, hub: Any, tmp_path: Path
    ) -> None:
        shapes = {"image_shape": (64, 64, 3), "position_embedding_shape": (64, 64, 3)}
        dino = hub.models.DINOV2Backbone(8, 1, 16, 2, 32, num_register_tokens=2, **shapes)
        converter = hub.layers.DINOV2ImageConverter(scale=1 / 255)
        name = self._saved(hub, dino, converter, tmp_path / "dino")
        assert _features(_built(name), name).shape == (4, 16)
        images = np.zeros((2, 64, 64, 3), np.uint8)
        features = feature_maps(_built(name, 64), images, extractor=name, input_size=64)
        expected = np.asarray(dino(np.zeros((2, 64, 64, 3), np.float32)))[:, 0]
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)

    def test_of_siglip_gives_the_embedding_of_its_image_encoder(
        self, hub: Any, tmp_path: Path
    ) -> None:
        from keras_hub.src.models.siglip.siglip_text_encoder import SigLIPTextEncoder
        from keras_hub.src.models.siglip.siglip_vision_encoder import SigLIPVisionEncoder

        vision = SigLIPVisionEncoder(8, 16, 1, 2, 32, image_shape=(SIZE, SIZE, 3), name="vision")
        text = SigLIPTextEncoder(10, 16, 16, 1, 2, 32, max_sequence_length=4, name="text")
        siglip = hub.models.SigLIPBackbone(vision, text)
        converter = hub.layers.SigLIPImageConverter(scale=1 / 255)
        name = self._saved(hub, siglip, converter, tmp_path / "siglip")
        expected = np.asarray(vision({"images": IMAGES.astype(np.float32) / 255}))
        np.testing.assert_allclose(_features(_built(name), name), expected, rtol=1e-4, atol=1e-5)
        with pytest.raises(InvalidInput, match="set `input_size` to it"):
            _built(name, size=2 * SIZE)

    def test_of_a_convolutional_network_gives_its_map(self, hub: Any, tmp_path: Path) -> None:
        resnet = hub.models.ResNetBackbone([64], [7], [64, 64], [1, 1], [1, 2], "basic_block")
        converter = hub.layers.ResNetImageConverter(scale=1 / 255)
        name = self._saved(hub, resnet, converter, tmp_path / "resnet")
        expected = np.asarray(resnet(IMAGES.astype(np.float32) / 255))
        model = _built(name)
        assert model.output_shape == (None, *expected.shape[1:])
        np.testing.assert_allclose(
            _features(model, name), expected.reshape(4, -1), rtol=1e-4, atol=1e-5
        )
        lower, upper = cut(model, name, "0.4")
        assert upper is not None
        assert np.allclose(upper(lower(IMAGES * 1.0)), expected, rtol=1e-4, atol=1e-5)

    def test_is_known_by_the_digest_of_its_files(self, tmp_path: Path) -> None:
        (tmp_path / "preset").mkdir()
        (tmp_path / "preset" / "config.json").write_text("{}")
        first = resolve_weights("hub:preset", tmp_path)
        assert first.path == tmp_path / "preset"
        (tmp_path / "preset" / "config.json").write_text("{ }")
        assert resolve_weights("hub:preset", tmp_path).sha256 != first.sha256
        assert resolve_weights("hub:other", tmp_path).kind == "download"

    def test_that_names_other_code_is_refused(self, hub: Any, tmp_path: Path) -> None:
        config = {"module": "trap_module", "class_name": "Trap", "config": {}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(InvalidInput, match="expected classes of Keras alone"):
            _built(f"hub:{tmp_path}")


@pytest.mark.parametrize(
    "name",
    [
        *("größe netz", "花"),
        *(pytest.param(name, marks=pytest.mark.long) for name in ("_mine", "ünet")),
    ],
)
def test_a_name_of_any_letters_serves_for_features_and_fine_tuning(
    name: str, own_module: str, tmp_path: Path
) -> None:
    model = _built(own_module)
    path = tmp_path / f"{name}.keras"
    model.save(path)
    extractor = f"file:{path}"
    assert backbone_of(extractor).short_name == f"file:{name}.keras"
    assert np.array_equal(_features(_built(extractor), extractor), _features(model, own_module))
    for function in (f"{name}:bäu", f"nets.{name}:_build") if name.isidentifier() else ():
        assert backbone_of(function).kind == "function"
        lower, _ = cut(_built(own_module), function, "block2")
        assert image_network(lower, None, function).predict(IMAGES / 255.0, verbose=0).any()


def test_image_too_small_for_an_own_network_is_refused(tmp_path: Path) -> None:
    images = keras.Input((None, None, 3))
    keras.Model(images, keras.layers.Conv2D(2, 40)(images)).save(tmp_path / "large.keras")
    with pytest.raises(InvalidSettings, match=r"large.keras: expected an `input_size` .* got 32 "):
        _built(f"file:{tmp_path / 'large.keras'}")


def test_two_files_of_one_name_are_told_apart_by_a_clear_word(
    own_module: str, tmp_path: Path
) -> None:
    names = []
    for units in (2, 3):
        path = tmp_path / f"{units}" / "mine.keras"
        path.parent.mkdir()
        keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(units, 3)]).save(path)
        names.append(f"{{extractor: 'file:{path}'}}")
    request = request_from([f"features.table=[{', '.join(names)}]"])
    with pytest.raises(InvalidInput, match=r"mine.keras.*two files .* one name, rename one"):
        in_order(features.parts(request.settings, request.options))


def _tuning_stages(name: str, cut: str, **options: Any) -> list[Stage]:
    maps = f"{{extractor: '{name}', pooling: average}}"
    request = request_from(
        [
            *(
                "dataset.image_size=32",
                "features.weights=imagenet",
                f"fine_tuning.unfrozen.others={cut}",
            ),
            *(f"features.table=[{maps}]", "features.combinations=[]"),
            f"fine_tuning.table=[{maps}]",
        ],
        **options,
    )
    parts = (flow.parts(request.settings, request.options) for flow in (features, finetune))
    return in_order(stage for part in parts for stage in part)


def test_wrong_cut_of_an_own_network_fails_its_first_stage(own_module: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    stages = _tuning_stages(own_module, "block9")
    [backbone] = [stage for stage in stages if stage.name == "backbone"]
    assert not backbone.inputs
    for stage in stages:
        if stage.name in ("features", "activations", "finetuning"):
            assert stage.inputs["backbone"] == backbone
    with pytest.raises(InvalidSettings, match=r"unfrozen.*: expected one of block1, block2, block"):
        ensure(backbone, {}, store)
    digests = set()
    for point in ("block2", "0.4"):
        [right] = [each for each in _tuning_stages(own_module, point) if each.name == "backbone"]
        digests.add(ensure(right, {}, store).reference.digest)
    assert len(digests) == 1  # another cut makes no features anew
    assert "backbone" not in {stage.name for stage in _tuning_stages("resnet50", "0.2")}


def test_damaged_weights_of_an_own_network_fail_its_first_stage(
    own_module: str, tmp_path: Path
) -> None:
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Dense(3)])
    other.save_weights(tmp_path / "own.weights.h5")
    stages = _tuning_stages(f"file:own.weights.h5+{own_module}", "0.4", weights_dir=tmp_path)
    [backbone] = [stage for stage in stages if stage.name == "backbone"]
    with pytest.raises(InvalidInput, match=r"own.weights.h5: holds 12 values where .*replace"):
        ensure(backbone, {}, Store(tmp_path / "store"))


def test_vector_of_a_dense_layer_is_used_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _with_top("linear").save(tmp_path / "scores.keras")
    stages = _tuning_stages(f"file:{tmp_path / 'scores.keras'}", "0.9")
    [backbone] = [stage for stage in stages if stage.name == "backbone"]
    store = Store(tmp_path / "store")
    with caplog.at_level("WARNING"):
        artifact = store.open(ensure(backbone, {}, store).reference)
    advice = "if its 5 numbers are scores of classes, cut the network before it"
    assert advice in caplog.text
    assert advice in artifact.manifest["metrics"]["ends in"]
