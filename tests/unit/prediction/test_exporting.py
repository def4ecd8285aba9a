"""An exported model predicts as the store's model does, in a process that has only Keras."""

import json
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from flowers17.artifacts import Artifact, Store
from flowers17.cli import main
from flowers17.config import HeadSettings, RecipeSettings, ResizeName
from flowers17.data.decoding import squares
from flowers17.digests import file_sha256
from flowers17.errors import InvalidInput
from flowers17.learners.evaluation import probabilities
from flowers17.prediction import exporting
from flowers17.prediction.classifiers import FeatureMap
from flowers17.prediction.models import Answers, Loader, Model, open_model
from flowers17.prediction.pictures import Block
from flowers17.reporting.metrics import accuracy_interval, mean_spread
from flowers17.transfer.extractors import resized
from flowers17.transfer.fine_tuning import cut, image_network
from flowers17.transfer.fine_tuning import trainable_network as fine_tuned
from tests.support import tiny_backbone
from tests.support.image_files import encoded, saved
from tests.support.processes import HANG_S, environment, output_of
from tests.support.stores import content
from tests.support.tiny_backbone import BACKBONE
from tests.support.tiny_training import SIZE, STACKED, STATEFUL, examples, fresh, prepared
from tests.unit.prediction.made_models import CLASSES, TWO_SIZES, Maker, network

IMAGES, LABELS = examples().inputs, examples().labels
HELD_OUT = np.arange(20, 30)
NAME = "tiny, clean split"
CODE = """
import sys
import keras, numpy as np
images = np.load(sys.argv[1])
for path in sys.argv[2:]:
    model = keras.models.load_model(path, compile=False)
    np.save(path + ".npy", model.predict_on_batch(images[str(model.inputs[0].shape[1])]))
print(sorted(one for one in sys.modules if one.startswith("flowers17")))
"""


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned network, as one of a store would be.

    network: over images of its input size; differentiable: the same, over those of the data set.
    """

    network: keras.Model
    differentiable: keras.Model
    name: str = "tuned"
    classes: tuple[str, ...] = tuple(CLASSES)
    sizes: frozenset[int] = frozenset({24})
    resize: ResizeName = "crop"
    depth: int = 16
    n_at_once: int = 8

    def applied(self, images: Mapping[int, Any]) -> Any:
        """Return symbolic probabilities of symbolic images."""
        return self.differentiable(images[24])

    def answers(self, block: Block) -> Answers:
        """Return class probabilities of a block's images."""
        return Answers(probabilities(self.network, resized(block.squares[24], 32)))


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    with prepared():
        yield


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    """A maker that publishes in an empty store."""
    return Maker(Store(tmp_path / "store"))


def _moved(model: keras.Model, seed: int = 1) -> keras.Model:
    """Return the model with every weight, moving averages too, other than a new one's."""
    draws = np.random.default_rng(seed)
    for weights in model.weights:
        weights.assign(np.abs(weights.numpy() + 0.1 * draws.standard_normal(weights.shape)))
    return model


def _tuned() -> Tuned:
    """Return a head on an untrained network, its last block unfrozen, that enlarges its images.

    It is scaled as VGG16 is.
    """
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="block4_conv1")(inputs)
    x = keras.layers.MaxPooling2D(name="block4_pool")(x)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="block5_conv1")(x)
    extractor = keras.Model(inputs, keras.layers.MaxPooling2D(name="block5_pool")(x))
    lower, upper = cut(extractor, "vgg16", "block5")
    head = HeadSettings(batch_norm=True, dropout=0.5)
    shape = extractor.output_shape[1:]
    tuned = fine_tuned(upper, shape, 3, pooling="average", units=8, head=head, seed=2)
    sides = (32, 24)
    return Tuned(*(image_network(lower, tuned, "vgg16", image_size=side) for side in sides))


def _published(
    maker: Maker, split: str = "clean", model: keras.Model | None = None, **changes: Any
) -> Artifact:
    """Publish a training with the images, the split and the splits that it was made from."""
    model = model or _moved(fresh())
    items = {"names": [f"{n}.jpg" for n in range(30)], "source": {"kind": "rendered"}}
    images = maker.publish(
        "images", "images@16", {"items": items}, {"images": IMAGES}, config={"size": SIZE}
    )
    splits = maker.publish("splits", "splits", {}, inputs={"images": images})
    kind = "repeated" if split.startswith("repeat") else split
    values = {"split": {"name": split, "kind": kind}, "classes": CLASSES}
    train = np.setdiff1d(np.arange(len(LABELS)), HELD_OUT)
    arrays = {"labels": LABELS, "train": train, "validation": HELD_OUT}
    read = maker.publish("split", f"{split} split", values, arrays, inputs={"splits": splits})
    proba = probabilities(model, IMAGES)
    predicted = proba[HELD_OUT].argmax(axis=1)
    n_correct = int((predicted == LABELS[HELD_OUT]).sum())
    result = {"n_train": 20, "split": split, "kind": kind, "epochs": 4, "best_epoch": 2}
    result |= {"classes": CLASSES, "image_size": SIZE, "n_correct": n_correct}
    result |= {"n_validation": 10, "recipe": RecipeSettings().model_dump(mode="json")}
    arrays = {
        f"weights/{index:03d}": weights.numpy() for index, weights in enumerate(model.weights)
    }
    arrays |= {"proba": proba, "validation-predicted": predicted, **changes.pop("arrays", {})}
    definition = STACKED.model_dump(mode="json")
    config = {"learner": STACKED.name, "definition": definition, "precision": "float32"}
    config |= changes.pop("config", {})
    return maker.publish(
        "training",
        f"tiny, {split} split",
        {"result": {**result, **changes}},
        arrays,
        config=config,
        inputs={"images": images, "split": read},
    )


def _network(maker: Maker, model: keras.Model, **options: Any) -> Model:
    artifact = network(maker, "tiny", model, **options)
    loader = Loader(maker.store, device="cpu", own_learners=[STATEFUL])
    return open_model(artifact.manifest, loader)


def _export(*arguments: str) -> int | str | None:
    try:
        main(["export", "--device", "cpu", *arguments])
    except SystemExit as end:
        return end.code or 0
    return 0


@pytest.mark.slow
def test_keras_files_say_the_same_in_a_process_without_flowers17(
    maker: Maker, tmp_path: Path
) -> None:
    stacked, stateful = _moved(fresh()), _moved(fresh(STATEFUL, any_size=True))
    tuned = _tuned()
    larger = np.random.default_rng(3).integers(0, 256, (9, 24, 24, 3), dtype=np.uint8)
    files: Mapping[str, tuple[Model, np.ndarray]] = {
        "stacked": (_network(maker, stacked), probabilities(stacked, IMAGES)),
        "stateful": (
            _network(maker, stateful, learner=STATEFUL, recipe=TWO_SIZES),
            probabilities(stateful, IMAGES, flips=True),
        ),
        "tuned": (tuned, tuned.answers(Block(("",) * 9, {24: larger})).proba),
    }
    np.savez(tmp_path / "images.npz", **{str(SIZE): IMAGES, "24": larger})
    paths = [tmp_path / f"{name}.keras" for name in files]
    for path, (model, _) in zip(paths, files.values(), strict=True):
        exporting.write(model, path)
    loaded = output_of(CODE, str(tmp_path / "images.npz"), *map(str, paths))
    assert loaded == "[]\n"
    for path, (_, expected) in zip(paths, files.values(), strict=True):
        proba = np.load(f"{path}.npy")
        np.testing.assert_allclose(proba, expected, atol=1e-4 if path.stem == "tuned" else 1e-6)
        assert proba.dtype == np.float32
    exporting.write(tuned, tmp_path / "tuned.onnx")
    proba = exporting.read(tmp_path / "tuned.onnx")({"image": larger})
    np.testing.assert_allclose(proba, files["tuned"][1], atol=1e-4)


@pytest.mark.parametrize(
    ("learner", "options"),
    [
        (STACKED.name, {}),
        (STATEFUL, {"recipe": TWO_SIZES}),
        (STACKED.name, {"precision": "mixed_bfloat16"}),
    ],
    ids=["as it is", "of any size, with flips", "trained in bfloat16"],
)
def test_onnx_files_say_the_same(
    learner: str, options: dict[str, Any], maker: Maker, tmp_path: Path
) -> None:
    model = _moved(fresh(learner, any_size=learner == STATEFUL))
    path = tmp_path / "tiny.onnx"
    served = _network(maker, model, learner=learner, **options)
    exporting.write(served, path)
    proba = exporting.read(path)({"image": IMAGES})
    np.testing.assert_allclose(
        proba, probabilities(model, IMAGES, flips=bool(options.get("recipe"))), atol=1e-6
    )
    import onnx

    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(properties["labels"]) == exporting.labels(served)


@pytest.mark.parametrize(
    ("side", "is_mirrored", "ending"),
    [
        (24, False, ".keras"),
        pytest.param(24, False, ".onnx", marks=pytest.mark.long),
        pytest.param(49, True, ".keras", marks=pytest.mark.long),
        (49, True, ".onnx"),
    ],
)
def test_a_feature_map_of_resized_images_is_exported_as_it_predicts(
    side: int, is_mirrored: bool, ending: str, maker: Maker, tmp_path: Path
) -> None:
    images = maker.publish("images", "images", {}, config={"size": side})
    config = {
        "extractor": BACKBONE,
        "input_size": 32,
        "pooling": "average",
        "mirrored": is_mirrored,
        "weights": {
            "kind": "random",
            "sha256": None,
            "seed": 1,
            "code": file_sha256(Path(tiny_backbone.__file__)),
        },
    }
    inputs = {"images": images}
    artifact = maker.publish("features", "features", {}, config=config, inputs=inputs)
    loader = Loader(maker.store, device="cpu", own_learners=[BACKBONE])
    features = FeatureMap(artifact, loader)
    pixels = np.random.default_rng(2).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    expected = features.of(Block(("a", "b", "c"), {side: pixels}))
    classes = tuple(map(str, range(expected.shape[1])))
    served: Any = SimpleNamespace(
        name="features",
        classes=classes,
        sizes=frozenset({side}),
        resize="crop",
        depth=16,
        applied=features.applied,
    )
    exporting.write(served, tmp_path / f"features{ending}")
    exported = exporting.read(tmp_path / f"features{ending}")({"image": pixels})
    np.testing.assert_allclose(exported, expected, atol=3e-3 * np.abs(expected).max())


def test_the_command_writes_what_predict_says_with_labels_and_card(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact, store, path = _published(maker), str(maker.store.root), tmp_path / "flower.keras"
    assert _export(NAME, "--to", str(path), "--store", store) == 0
    printed = capsys.readouterr()
    beside = [tmp_path / "flower.keras.labels.json", tmp_path / "flower.keras.md"]
    assert printed.out.splitlines() == [str(written) for written in (path, *beside)]
    n_correct = artifact.json("result")["n_correct"]
    assert f"{n_correct} of 10 held-out images right, as in the study" in printed.err
    Image.fromarray(IMAGES[4]).save(tmp_path / "photo.png")
    main_arguments = ["predict", str(tmp_path / "photo.png"), "--store", store, "--model", NAME]
    with pytest.raises(SystemExit):
        main([*main_arguments, "--device", "cpu", "--json"])
    predicted = json.loads(capsys.readouterr().out)["uncalibrated"]
    classes = json.loads(beside[0].read_text())["classes"]
    exported = dict(
        zip(classes, exporting.read(path)({"image": IMAGES[4:5]})[0].tolist(), strict=True)
    )
    assert exported == pytest.approx(predicted, abs=1e-6)
    assert not list(tmp_path.glob(".export-*"))


def test_the_command_prints_what_it_did_and_nothing_of_its_libraries(
    maker: Maker, tmp_path: Path
) -> None:
    _published(maker)
    arguments = ["export", NAME, "--to", "a.onnx", "--store", str(maker.store.root)]
    arguments += ["--device", "cpu"]
    end = subprocess.run(
        [sys.executable, "-c", f"from flowers17.cli import main; main({arguments!r})"],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_S,
    )
    assert end.stderr.count("\n") == 2, end.stderr
    first, second = end.stderr.splitlines()
    assert first == f"model: {NAME}"
    assert second.startswith("checked: ")
    assert end.stdout.splitlines() == ["a.onnx", "a.onnx.labels.json", "a.onnx.md"]


def test_the_card_has_scores_with_intervals_limits_and_lineage(
    maker: Maker, tmp_path: Path
) -> None:
    artifact = _published(maker)
    repeats = [_published(maker, f"repeat-0{number}") for number in (1, 2)]
    path = tmp_path / "flower.keras"
    assert _export(NAME, "--to", str(path), "--store", str(maker.store.root)) == 0
    card = path.with_name("flower.keras.md").read_text()
    n_correct = artifact.json("result")["n_correct"]
    low, high = accuracy_interval(n_correct, 10)
    assert f"| {n_correct / 10:.3f} | {low:.3f}–{high:.3f} |" in card
    over = mean_spread(
        [repeat.json("result")["n_correct"] / 10 for repeat in repeats], n_train=20, n_validation=10
    )
    assert f"mean over 2 clean splits, the same training on each | {over.mean:.3f} |" in card
    truth, proba = LABELS[HELD_OUT], artifact.array("proba")[HELD_OUT]
    right = int(np.sum((proba.argmax(axis=1) == truth) & (truth == 1)))
    assert f"| iris | {right} of {int(np.sum(truth == 1))} |" in card
    recalls = [np.mean(proba.argmax(axis=1)[truth == label] == label) for label in range(3)]
    assert f"| balanced accuracy | {np.mean(recalls):.3f} |" in card
    largest = np.bincount(truth).max() / 10
    assert f"| accuracy of the largest class alone | {largest:.3f} |" in card
    measures = ("| accuracy |", "| balanced accuracy |", "| macro-F1 |")
    places = [card.index(measure) for measure in measures]
    assert places == sorted(places)
    assert f"SHA-256 `{file_sha256(path)}`" in card
    for origin in (artifact, *artifact.manifest["inputs"].values()):
        key = origin.reference.key if isinstance(origin, Artifact) else origin["key"]
        assert f"`{key[:12]}`" in card
    assert "pictures of one scene are kept on one side" in card
    assert "says nothing about photographs" in card
    assert "under the MIT licence" in card


def _odd_images() -> dict[str, bytes]:
    """Return image files that have to be turned, composited or scaled, by what they are."""
    draws = np.random.default_rng(3)
    grey = Image.fromarray(draws.integers(0, 65_536, (24, 20), dtype=np.uint16))
    clear = Image.fromarray(draws.integers(0, 256, (24, 20, 4), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "plain": encoded((20, 24)),
        "transparent": saved(Image.new("RGBA", (20, 24), (0, 0, 0, 0)), "PNG"),
        "half transparent, turned": saved(clear, "PNG", exif=turned),
        "transparent palette": saved(clear.convert("RGB").convert("P"), "PNG", transparency=3),
        "grey of 16 bits": saved(grey, "PNG"),
        "grey of 16 bits, turned": saved(grey, "TIFF", exif=turned),
        "grey of 16 bits, one of them transparent": saved(grey, "PNG", transparency=0),
        "every grey of 16 bits": saved(
            Image.fromarray(np.arange(65_536, dtype=np.uint16).reshape(256, 256)), "PNG"
        ),
        "CMYK": saved(clear.convert("RGB").convert("CMYK"), "JPEG"),
    }


@pytest.mark.parametrize(
    ("file", "resize", "depth", "factor"),
    [
        pytest.param("flower.keras", "crop", 16, "257", marks=pytest.mark.long),
        ("flower.onnx", "crop", 12, "16.0588"),
        ("flower.keras", "pad", 10, "4.01176"),
        pytest.param("flower.keras", "stretch", 16, "257", marks=pytest.mark.long),
    ],
)
def test_the_card_s_program_decodes_as_the_study_does(
    file: str,
    resize: ResizeName,
    depth: int,
    factor: str,
    maker: Maker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Model, "depth", depth)
    _published(maker, config={} if resize == "crop" else {"resize": resize})
    monkeypatch.chdir(tmp_path)
    assert _export(NAME, "--to", file, "--store", str(maker.store.root)) == 0
    card = Path(f"{file}.md").read_text()
    Path("program.py").write_text(card.partition("```python\n")[2].partition("```")[0])
    for kind, data in _odd_images().items():
        Path("photo.jpg").write_bytes(data)
        [decoded] = runpy.run_path("program.py")["images"]["image"]
        expected = squares(data, kind, [SIZE], resize=resize, depth=depth).squares[SIZE]
        np.testing.assert_array_equal(decoded, expected, kind)
    before = json.loads(Path(f"{file}.labels.json").read_text())["inputs"][0]["before"]
    assert "lay what is transparent on white, divide 16-bit grey by " + factor in before
    assert before in card
    assert ("It looks at the central square alone." in card) == (resize == "crop")


class TestRefuses:
    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("flower.h5", "expected a file name that ends in .keras or .onnx, got '.h5'"),
            ("flower", "got 'no ending'"),
            ("none/flower.keras", "expected an existing folder"),
        ],
    )
    def test_a_target_that_cannot_be_written(
        self, target: str, message: str, maker: Maker, tmp_path: Path, capsys: Any
    ) -> None:
        network(maker, NAME)
        arguments = ["--store", str(maker.store.root)]
        assert _export(NAME, "--to", str(tmp_path / target), *arguments) == 2
        assert message in capsys.readouterr().err

    def test_onnx_without_its_packages(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(InvalidInput, match=r"install flowers17\[onnx\]"):
            exporting.check_target(tmp_path / "flower.onnx")
        exporting.check_target(tmp_path / "flower.keras")

    def test_an_unknown_name(self, maker: Maker, tmp_path: Path, capsys: Any) -> None:
        network(maker, NAME)
        arguments = ["--store", str(maker.store.root), "--to", str(tmp_path / "a.keras")]
        assert _export("mk-9", *arguments) == 2
        assert "there are: tiny, clean split" in capsys.readouterr().err

    def test_a_network_that_no_longer_says_what_the_study_stored(
        self, maker: Maker, tmp_path: Path
    ) -> None:
        shifted = np.roll(probabilities(_moved(fresh()), IMAGES), 1, axis=1)
        artifact = _published(maker, arrays={"proba": shifted})
        loader, path = Loader(maker.store, device="cpu"), tmp_path / "a.keras"
        model = open_model(artifact.manifest, loader)
        exporting.write(model, path)
        with pytest.raises(InvalidInput, match=r"within 0\.05, got others for 10 of 10 images"):
            exporting.file_check(path, model, artifact, loader)

    def test_no_file_for_classes_of_all_but_equal_probability_or_for_one_image_between_two_votes(
        self, maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stored = np.tile(np.float32([0.6, 0.3, 0.1]), (len(IMAGES), 1))
        stored[HELD_OUT[0]] = 0.4005, 0.3995, 0.2
        artifact = _published(maker, arrays={"proba": stored})
        loader = Loader(maker.store, device="cpu")
        model, exported = open_model(artifact.manifest, loader), stored[HELD_OUT]
        monkeypatch.setattr(exporting, "read", lambda path: lambda images: exported)
        exported[0] = 0.3995, 0.4005, 0.2
        check = exporting.file_check(tmp_path / "a.onnx", model, artifact, loader)
        assert check is not None
        assert check.difference == pytest.approx(0.001, rel=0.01)
        exported[1] = 0.4, 0.5, 0.1
        assert exporting.file_check(tmp_path / "a.onnx", model, artifact, loader) is not None
        exported[2] = 0.4, 0.5, 0.1
        with pytest.raises(InvalidInput, match=r"for 2 of 10 images, up to 0\.2 apart"):
            exporting.file_check(tmp_path / "a.onnx", model, artifact, loader)
        exported[1:3] = stored[HELD_OUT[0]]
        exported[:, 2] = np.nan
        with pytest.raises(InvalidInput, match="up to nan apart"):
            exporting.file_check(tmp_path / "a.onnx", model, artifact, loader)

    def test_such_a_network_in_the_place_of_a_good_one(
        self, maker: Maker, tmp_path: Path, capsys: Any
    ) -> None:
        _published(maker)
        folder = tmp_path / "exported"
        folder.mkdir()
        arguments = [NAME, "--to", str(folder / "a.keras"), "--store", str(maker.store.root)]
        assert _export(*arguments) == 0
        before = content(folder)
        assert len(before) == 3
        shifted = np.roll(probabilities(_moved(fresh()), IMAGES), 1, axis=1)
        _published(replace(maker, created="2026-02-03T04:05:06Z"), arrays={"proba": shifted})
        assert _export(*arguments) == 2
        message = capsys.readouterr().err
        assert "a.keras: expected the probabilities that the study stored, within" in message
        assert content(folder) == before
