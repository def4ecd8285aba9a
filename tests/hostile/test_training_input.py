"""Learners, examples, recipes and folders that are not what they should be: each a clear error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from flowers17.config import (
    DatasetSettings,
    LearnerDefinition,
    LearnersSettings,
    MemberSettings,
    RecipeSettings,
    RunOptions,
    StudySettings,
)
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.learners.examples import check_examples
from flowers17.learners.networks import build
from tasks import training
from tests.support.stores import content
from tests.support.tiny_training import (
    N_CLASSES,
    N_TRAIN,
    PLAIN,
    SIZE,
    STATEFUL,
    examples,
    prepared,
    trained,
)
from tests.support.toy import number


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    with prepared():
        yield


IMAGES, LABELS = examples().inputs, examples().labels


class TestExamples:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"inputs": IMAGES / 255},
                r"expected uint8 images, or float32 .* got float64 \(30, 16",
            ),
            ({"inputs": IMAGES.astype(np.int64)}, "expected uint8 .* got int64"),
            ({"inputs": IMAGES[..., 0]}, r"expected uint8 \(n, size, size, 3\)"),
            ({"inputs": IMAGES[..., :1]}, r"got uint8 \(30, 16, 16, 1\)"),
            ({"inputs": IMAGES[:, :12]}, r"got uint8 \(30, 12, 16, 3\)"),
            ({"inputs": IMAGES[:0], "labels": LABELS[:0]}, "at least one"),
            ({"labels": LABELS[:-1]}, r"labels: expected int \(30,\), got int64 \(29,\)"),
            ({"labels": LABELS.astype(float)}, "labels: expected int .* got float64"),
            ({"labels": np.eye(3, dtype=int)[LABELS]}, r"labels: .* got int64 \(30, 3\)"),
            ({"labels": LABELS + 1}, "labels: expected 0 to 2, got 1 to 3"),
            ({"labels": LABELS - 1}, "labels: expected 0 to 2, got -1 to 1"),
            ({"train": np.arange(0)}, "train: expected rows of 30 images, at least one, got none"),
            ({"validation": np.arange(0)}, "validation: expected rows .* got none"),
            ({"train": np.arange(10, 31)}, "train: expected rows of 30 images, .* got 10 to 30"),
            ({"train": np.arange(-1, 10)}, "train: expected rows .* got -1 to 9"),
            ({"train": np.arange(20.0)}, r"train: expected rows, int \(n,\), got float64 \(20,\)"),
            ({"validation": np.ones(30, bool)}, "validation: expected rows, .* got bool"),
            ({"validation": np.arange(18, 30)}, "no image in both, got 2, the first 18"),
        ],
    )
    def test_that_do_not_fit_are_refused_before_anything_is_written(
        self, tmp_path: Path, changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InvalidInput, match=message):
            trained(tmp_path / "checkpoints", examples=changes)
        assert list(tmp_path.iterdir()) == []

    def test_of_more_classes_than_the_network_has_are_refused(self) -> None:
        model = build("baseline", (SIZE, SIZE, 3), N_CLASSES + 1)
        with pytest.raises(InvalidInput, match="baseline: expected 3 outputs, got 4"):
            check_examples(model, examples(), PLAIN, "none")


class TestRecipe:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"epochs": 0},
            {"epochs": -1},
            {"batch_size": 0},
            {"learning_rate": 0},
            {"learning_rate": float("nan")},
            {"learning_rate": float("inf")},
            {"schedule": "cosine"},
            {"warmup": 1},
            {"momentum": 1},
            {"weight_decay": -1e-4},
            {"label_smoothing": 1},
            {"mixup": -0.1},
            {"mixup_until": 1.1},
            {"resolutions": ()},
            {"resolutions": (0.5, 1.5)},
            {"resolutions": (0,)},
            {"selection": "best"},
            {"epoch": 5},
        ],
        ids=str,
    )
    def test_that_makes_no_sense_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            RecipeSettings(**wrong)

    def test_with_batches_larger_than_the_data_is_refused(self, tmp_path: Path) -> None:
        recipe = PLAIN.model_copy(update={"batch_size": N_TRAIN + 1})
        with pytest.raises(InvalidSettings, match="at most the 20 training images, got 21; lower"):
            trained(tmp_path / "checkpoints", recipe)
        assert list(tmp_path.iterdir()) == []

    def test_with_resolutions_for_a_learner_of_one_size_is_refused(self, tmp_path: Path) -> None:
        recipe = PLAIN.model_copy(update={"resolutions": (0.5, 1.0)})
        with pytest.raises(InvalidSettings, match="tiny: expected images of 16 pixels at every ep"):
            trained(tmp_path, recipe)

    def test_with_a_resolution_too_small_for_the_pools_is_refused(self) -> None:
        model = build("residual", (None, None, 3), N_CLASSES)
        recipe = PLAIN.model_copy(update={"resolutions": (0.5, 1.0)})
        with pytest.raises(InvalidSettings, match=r"large enough .* 8 pixels at resolution 0\.5"):
            check_examples(model, examples(), recipe, "none")

    def test_for_images_of_another_size_is_refused(self) -> None:
        model = build("baseline", (32, 32, 3), N_CLASSES)
        with pytest.raises(InvalidSettings, match=r"expected images of 32 pixels .* got 16"):
            check_examples(model, examples(), PLAIN, "none")


class TestSettings:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"blocks": ()},
            {"blocks": ((),)},
            {"blocks": ((0,),)},
            {"dense": 0},
            {"padding": "full"},
            {"activation": "gelu"},
            {"name": "My Net"},
            {"name": "module:function"},
        ],
        ids=str,
    )
    def test_a_definition_that_makes_no_sense_is_refused(self, wrong: dict[str, Any]) -> None:
        right: dict[str, Any] = {"name": "mine", "blocks": ((4,),), "dense": 8}
        LearnerDefinition(**right)
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            LearnerDefinition(**{**right, **wrong})

    def _stage(self, options: RunOptions, learner: str, size: int = 128, **recipe: Any) -> Any:
        changed = LearnersSettings(recipe=PLAIN.model_copy(update=recipe))
        settings = StudySettings(dataset=DatasetSettings(image_size=size), learners=changed)
        network = MemberSettings(learner=learner, augmentation="none")
        return training.stage(settings, options, network, number("images", 1), number("split", 1))

    def test_an_unknown_learner_is_refused_before_anything_is_trained(self) -> None:
        with pytest.raises(InvalidSettings, match=r"expected one of baseline, .* got 'mk-9'"):
            self._stage(RunOptions(device="cpu"), "mk-9")

    @pytest.mark.parametrize(("learner", "size"), [("mk-5", 74), ("aggregated", 32)])
    def test_images_too_small_for_a_learner_are_refused_before_anything_is_trained(
        self, learner: str, size: int
    ) -> None:
        options = RunOptions(device="cpu")
        assert self._stage(options, learner, size).label
        message = rf"{learner}: expected .* {size} × {size} .* got {size - 1} × {size - 1}; raise"
        with pytest.raises(InvalidInput, match=message):
            self._stage(options, learner, size - 1)

    def test_growing_images_for_a_learner_of_one_size_are_refused_as_early(self) -> None:
        options, growing = RunOptions(device="cpu"), {"resolutions": (0.5, 1.0)}
        assert self._stage(options, "residual", **growing).label
        with pytest.raises(
            InvalidSettings, match=r"mk-2: expected .* one image size.* got .*0\.5, 1;"
        ):
            self._stage(options, "mk-2", **growing)

    def test_a_gpu_asked_for_and_absent_is_refused_before_anything_is_trained(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        with pytest.raises(InvalidSettings, match="expected a GPU, found none"):
            self._stage(RunOptions(device="gpu"), "mk-2")

    def test_a_function_of_ones_own_counts_with_its_code(self) -> None:
        """A changed builder is another training, not the same artifact."""
        config = self._stage(RunOptions(device="cpu"), STATEFUL).config
        assert '"definition":{"sha256":"' in config


class TestFolder:
    def test_with_other_things_in_it_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "photo.jpg").write_bytes(b"a daisy")
        with pytest.raises(InvalidInput, match=r"found 'photo.jpg'; choose another folder"):
            trained(tmp_path)
        assert content(tmp_path) == {"photo.jpg": b"a daisy"}

    def test_that_is_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("a daisy")
        with pytest.raises(InvalidInput, match="expected a folder for checkpoints, found a file"):
            trained(tmp_path / "file")
