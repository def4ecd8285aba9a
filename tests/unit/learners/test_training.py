"""One training: resumed to the byte, and each ingredient against its exact effect."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from flowers17.config import RecipeSettings
from flowers17.data.augmentation import augmented_batch
from flowers17.digests import read_sha256
from flowers17.errors import InvalidInput, TrainingDiverged
from flowers17.learners.checkpoints import Checkpoints
from flowers17.learners.evaluation import loss_and_accuracy, probabilities
from flowers17.learners.images import resized, scaled
from flowers17.learners.training import train
from tests.support.stores import content
from tests.support.tiny_training import (
    EVERYTHING,
    N_TRAIN,
    PLAIN,
    SEED,
    STACKED,
    STATEFUL,
    End,
    Stopped,
    examples,
    fresh,
    trained,
    weight_bytes,
)


class Batches:
    """Records the batches that networks are trained on, and can stop at one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[tuple[np.ndarray, np.ndarray]] = []
        self.stop_at = -1
        real = keras.Model.train_on_batch

        def recording_step(model: Any, images: Any, targets: Any, **options: Any) -> Any:
            if len(self.steps) == self.stop_at:
                raise Stopped
            self.steps.append((images, targets))
            return real(model, images, targets, **options)

        monkeypatch.setattr(keras.Model, "train_on_batch", recording_step)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Batches:
    return Batches(monkeypatch)


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for copies of the checkpoints as they are after each epoch."""
    return tmp_path_factory.mktemp("snapshots")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, snapshots: Path) -> End:
    folder = tmp_path_factory.mktemp("whole") / "checkpoints"

    def copy(epoch: int) -> None:
        shutil.copytree(folder, snapshots / str(epoch))

    return trained(folder, EVERYTHING, STATEFUL, after_epoch=copy)


@pytest.fixture(scope="module")
def first_epoch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of a plain training that was stopped after an epoch."""
    folder = tmp_path_factory.mktemp("first") / "checkpoints"
    with pytest.raises(Stopped):
        trained(folder, stop_after=1)
    return folder


@pytest.fixture
def eager() -> Iterator[None]:
    """Let networks compute step by step: a claim on what they are given needs no compiled graph."""
    tensorflow = pytest.importorskip("tensorflow")
    tensorflow.config.run_functions_eagerly(True)
    yield
    tensorflow.config.run_functions_eagerly(False)


def _assert_resumed_alike(root: Path, recipe: RecipeSettings, learner: str, last: int) -> None:
    """Assert that a training which goes on after an epoch ends as the one that went through."""

    def copy(epoch: int) -> None:
        if epoch == last:
            shutil.copytree(root / "whole", root / "resumed")

    uninterrupted = trained(root / "whole", recipe, learner, after_epoch=copy)
    assert trained(root / "resumed", recipe, learner) == uninterrupted


class TestResume:
    def test_two_trainings_are_equal_to_the_byte(self, tmp_path: Path, undisturbed: End) -> None:
        assert trained(tmp_path, EVERYTHING, STATEFUL) == undisturbed

    @pytest.mark.parametrize(
        "last",  # the third epoch is the last of the small images
        [
            epoch if epoch == 3 else pytest.param(epoch, marks=pytest.mark.long)
            for epoch in range(1, EVERYTHING.epochs)
        ],
    )
    def test_after_any_epoch_ends_with_the_same_bytes(
        self, tmp_path: Path, undisturbed: End, snapshots: Path, last: int
    ) -> None:
        folder = tmp_path / "checkpoints"
        shutil.copytree(snapshots / str(last), folder)
        assert trained(folder, EVERYTHING, STATEFUL) == undisturbed
        last_snapshot = snapshots / str(EVERYTHING.epochs)
        for name in ("weights-000006.npz", "state-000006.npz"):
            assert read_sha256(folder / name) == read_sha256(last_snapshot / name)

    def test_within_the_larger_images_computes_as_if_there_had_been_no_smaller_ones(
        self, tmp_path: Path
    ) -> None:
        """All batches are full: a part of one would relax both graphs to take any."""
        recipe = EVERYTHING.model_copy(update={"batch_size": 10, "epochs": 12})
        expected = trained(tmp_path / "undisturbed", recipe, STATEFUL)
        with pytest.raises(Stopped):
            trained(tmp_path / "resumed", recipe, STATEFUL, stop_after=8)
        assert trained(tmp_path / "resumed", recipe, STATEFUL) == expected

    def test_in_the_middle_of_an_epoch_repeats_that_epoch_only(
        self, tmp_path: Path, undisturbed: End, snapshots: Path, batches: Batches
    ) -> None:
        folder = tmp_path / "checkpoints"
        shutil.copytree(snapshots / "3", folder)
        batches.stop_at = 3 + 1  # three batches an epoch: in the fifth
        with pytest.raises(Stopped):
            trained(folder, EVERYTHING, STATEFUL)
        batches.stop_at = -1
        before = len(batches.steps)
        assert trained(folder, EVERYTHING, STATEFUL) == undisturbed
        assert len(batches.steps) - before == 3 * (EVERYTHING.epochs - 4)

    def test_from_the_generation_before_a_damaged_one_ends_with_the_same_bytes(
        self,
        tmp_path: Path,
        undisturbed: End,
        snapshots: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        shutil.copytree(snapshots / "5", tmp_path / "checkpoints")
        path = tmp_path / "checkpoints" / "state-000005.npz"
        path.write_bytes(path.read_bytes()[:-9])
        assert trained(tmp_path / "checkpoints", EVERYTHING, STATEFUL) == undisturbed
        assert "state-000005.npz: damaged checkpoint" in caplog.text

    def test_of_a_plain_learner_ends_with_the_same_bytes(self, tmp_path: Path) -> None:
        _assert_resumed_alike(tmp_path, PLAIN, STACKED.name, 2)

    def test_of_a_finished_training_does_nothing(
        self, tmp_path: Path, batches: Batches, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = trained(tmp_path)
        before, n_batches = content(tmp_path), len(batches.steps)
        epochs: list[int] = []
        assert trained(tmp_path, after_epoch=epochs.append) == first
        assert len(batches.steps) == n_batches == 3 * PLAIN.epochs
        assert epochs == []
        assert content(tmp_path) == before
        assert caplog.records == []

    def test_works_for_layers_whose_names_count_up(
        self, tmp_path: Path, undisturbed: End, snapshots: Path
    ) -> None:
        names = {fresh(STATEFUL, any_size=True).layers[1].name for _ in range(2)}
        assert len(names) == 2
        shutil.copytree(snapshots / "6", tmp_path / "checkpoints")
        assert trained(tmp_path / "checkpoints", EVERYTHING, STATEFUL) == undisturbed

    @pytest.mark.parametrize(
        "change",
        [
            {"recipe": PLAIN.model_copy(update={"learning_rate": 0.02})},
            {"recipe": PLAIN.model_copy(update={"epochs": 5})},
            {"seed": 6},
            {"augmentation": "flips"},
            {"learner": STATEFUL},
            {"examples": {"labels": np.roll(examples().labels, 1)}},
            {"examples": {"inputs": examples(seed=1).inputs}},
            {"examples": {"validation": np.arange(N_TRAIN, 29)}},
        ],
        ids=["rate", "epochs", "seed", "augmentation", "learner", "labels", "images", "rows"],
    )
    def test_of_another_training_is_refused(
        self, first_epoch: Path, change: dict[str, Any]
    ) -> None:
        before = content(first_epoch)
        with pytest.raises(InvalidInput, match="another configuration"):
            trained(first_epoch, **change)
        assert content(first_epoch) == before

    def test_in_another_precision_is_refused(self, first_epoch: Path) -> None:
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            with pytest.raises(InvalidInput, match="another configuration"):
                trained(first_epoch)
        finally:
            keras.config.set_dtype_policy("float32")

    def test_in_bfloat16_ends_with_the_same_bytes(self, tmp_path: Path) -> None:
        recipe = EVERYTHING.model_copy(update={"epochs": 4, "resolutions": (1.0,)})
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            _assert_resumed_alike(tmp_path, recipe, STATEFUL, 2)
        finally:
            keras.config.set_dtype_policy("float32")


class TestSelection:
    def test_keeps_the_epoch_of_the_lowest_validation_loss(self, tmp_path: Path) -> None:
        recipe = PLAIN.model_copy(update={"epochs": 8, "learning_rate": 0.3})
        at_epoch: dict[int, list[bytes]] = {}
        model = fresh()
        result = train(
            model,
            examples(),
            recipe,
            "none",
            seed=SEED,
            folder=tmp_path,
            after_epoch=lambda history: at_epoch.update({len(history): weight_bytes(model)}),
        )
        losses = [epoch["val_loss"] for epoch in result.history]
        assert result.best_epoch == 1 + int(np.argmin(losses))
        assert 1 < result.best_epoch < 8, "the test needs a lowest loss on the way"
        assert weight_bytes(model) == at_epoch[result.best_epoch] != at_epoch[8]
        proba = probabilities(model, examples().inputs[N_TRAIN:])
        assert loss_and_accuracy(proba, examples().labels[N_TRAIN:])[0] == min(losses)

    def test_last_keeps_the_last_epoch(self, tmp_path: Path) -> None:
        recipe = PLAIN.model_copy(update={"epochs": 5, "learning_rate": 0.3, "selection": "last"})
        with pytest.raises(Stopped):
            trained(tmp_path, recipe, stop_after=3)
        end = trained(tmp_path, recipe)
        assert end.best_epoch == 5
        with np.load(tmp_path / "weights-000005.npz") as arrays:
            assert [arrays[name].tobytes() for name in sorted(arrays.files)] == end.weights

    def test_of_equal_losses_keeps_the_first(self, tmp_path: Path) -> None:
        recipe = PLAIN.model_copy(update={"learning_rate": 1e-30})
        end = trained(tmp_path, recipe)
        assert len({epoch["val_loss"] for epoch in end.history}) == 1
        assert end.best_epoch == 1


@pytest.mark.usefixtures("eager")
class TestWhatAnEpochSees:
    def test_every_training_image_once_in_an_order_of_its_own(
        self, tmp_path: Path, batches: Batches
    ) -> None:
        trained(tmp_path, PLAIN.model_copy(update={"epochs": 2}), augmentation="none")
        sizes = [len(images) for images, _ in batches.steps]
        assert sizes == [8, 8, 4] * 2
        expected = scaled(examples().inputs[:N_TRAIN])
        orders = []
        for start in (0, 3):
            images = np.concatenate([images for images, _ in batches.steps[start : start + 3]])
            order = [
                int(np.flatnonzero((expected == image).all(axis=(1, 2, 3)))[0]) for image in images
            ]
            assert sorted(order) == list(range(N_TRAIN))
            targets = np.concatenate([targets for _, targets in batches.steps[start : start + 3]])
            np.testing.assert_array_equal(targets.argmax(axis=1), examples().labels[order])
            orders.append(order)
        assert orders[0] != orders[1]

    def test_views_are_those_of_the_augmentation_for_that_epoch(
        self, tmp_path: Path, batches: Batches
    ) -> None:
        trained(tmp_path, PLAIN.model_copy(update={"epochs": 2}), augmentation="strong")
        for number, start in ((1, 0), (2, 3)):
            views = augmented_batch(
                examples().inputs, np.arange(N_TRAIN), "strong", root=SEED, epoch=number
            )
            images = np.concatenate([images for images, _ in batches.steps[start : start + 3]])
            assert sorted(image.tobytes() for image in images) == sorted(
                image.tobytes() for image in scaled(views)
            )

    def test_resolutions_change_the_size_for_equal_shares_of_the_epochs(
        self, tmp_path: Path, batches: Batches
    ) -> None:
        changes = {"epochs": 6, "batch_size": N_TRAIN, "resolutions": (0.5, 0.75, 1.0)}
        trained(tmp_path, PLAIN.model_copy(update=changes), STATEFUL, augmentation="none")
        sizes = [images.shape[1] for images, _ in batches.steps]
        assert sizes == [8, 8, 12, 12, 16, 16]
        small = scaled(resized(examples().inputs[:N_TRAIN], 8))
        assert {image.tobytes() for image in batches.steps[0][0]} == {
            image.tobytes() for image in small
        }

    def test_mixup_ends_after_its_share_of_the_epochs(
        self, tmp_path: Path, batches: Batches
    ) -> None:
        recipe = PLAIN.model_copy(update={"mixup": 5.0, "mixup_until": 0.5})
        trained(tmp_path, recipe, augmentation="none")
        pure = [bool((targets.max(axis=1) == 1).all()) for _, targets in batches.steps]
        assert pure == [False] * 6 + [True] * 6

    def test_the_loss_is_of_smoothed_targets(self, tmp_path: Path) -> None:
        recipe = PLAIN.model_copy(
            update={"epochs": 1, "batch_size": 20, "label_smoothing": 0.3, "learning_rate": 1e-9}
        )
        end = trained(tmp_path, recipe, augmentation="none")
        proba = probabilities(fresh(), examples().inputs[:N_TRAIN]).astype(np.float64)
        targets = np.eye(3)[examples().labels[:N_TRAIN]] * 0.7 + 0.1
        by_hand = -(targets * np.log(proba)).sum(axis=1).mean()
        assert end.history[0]["loss"] == pytest.approx(by_hand, rel=1e-5)

    def test_the_loss_of_an_epoch_is_the_mean_over_its_images(self, tmp_path: Path) -> None:
        recipe = PLAIN.model_copy(update={"epochs": 1, "learning_rate": 1e-9})
        [epoch] = trained(tmp_path, recipe, augmentation="none").history
        proba = probabilities(fresh(), examples().inputs)
        loss, accuracy = loss_and_accuracy(proba[:N_TRAIN], examples().labels[:N_TRAIN])
        assert epoch["loss"] == pytest.approx(loss, rel=1e-5)
        assert epoch["accuracy"] == pytest.approx(accuracy)
        loss, accuracy = loss_and_accuracy(proba[N_TRAIN:], examples().labels[N_TRAIN:])
        assert epoch["val_loss"] == pytest.approx(loss, rel=1e-5)
        assert epoch["val_accuracy"] == pytest.approx(accuracy)

    def test_the_history_tells_the_rate_that_each_epoch_begins_with(self, tmp_path: Path) -> None:
        recipe = RecipeSettings(
            epochs=4, batch_size=8, learning_rate=0.1, schedule="one-cycle", warmup=0.5
        )
        rates = [epoch["learning_rate"] for epoch in trained(tmp_path, recipe).history]
        progress = (np.array([0, 3, 6, 9]) + 1) / 12
        expected = (
            np.where(
                progress < 0.5, progress / 0.5, (1 + np.cos(np.pi * (progress - 0.5) / 0.5)) / 2
            )
            * 0.1
        )
        np.testing.assert_allclose(rates, expected, rtol=1e-5)

    def test_the_callback_is_called_after_every_batch(self, tmp_path: Path) -> None:
        calls: list[tuple[float, Mapping[str, float], float]] = []
        trained(tmp_path, after_batch=lambda *numbers: calls.append(numbers))
        expected = [epoch + n_seen / 20 for epoch in range(4) for n_seen in (8, 16, 20)]
        assert [epochs for epochs, _, _ in calls] == pytest.approx(expected)
        assert all(rate > 0 and {"loss", "accuracy"} <= logs.keys() for _, logs, rate in calls)


def _configuration(folder: Path) -> str:
    manifest = json.loads(next(folder.glob("generation-*.json")).read_text())
    return str(manifest["configuration"])


@pytest.mark.usefixtures("eager")
class TestDivergence:
    def test_stops_and_says_what_to_do(self, tmp_path: Path) -> None:
        recipe = PLAIN.model_copy(update={"learning_rate": 1e10})
        with pytest.raises(TrainingDiverged, match=r"tiny: expected a finite loss, got (nan|inf)"):
            trained(tmp_path, recipe)

    def test_of_the_last_step_of_an_epoch_is_noticed_before_it_is_saved(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: Batches
    ) -> None:
        real = keras.Model.train_on_batch

        def overshot(model: Any, images: Any, targets: Any, **options: Any) -> Any:
            logs = real(model, images, targets, **options)
            if len(batches.steps) == 2 * 3:
                model.weights[-1].assign(np.full(3, np.nan, np.float32))
            return logs

        monkeypatch.setattr(keras.Model, "train_on_batch", overshot)
        with pytest.raises(TrainingDiverged, match=r"got nan in epoch 2; .* is epoch 1, in"):
            trained(tmp_path)
        with Checkpoints(tmp_path, _configuration(tmp_path)) as checkpoints:
            checkpoint = checkpoints.latest()
        assert checkpoint is not None
        assert checkpoint.epoch == 1
        assert all(np.isfinite(array).all() for array in checkpoint.arrays["weights"])

    def test_names_the_last_good_checkpoint_which_is_there_and_loads(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: Batches
    ) -> None:
        real = keras.Model.train_on_batch

        def poisoned(model: Any, images: Any, targets: Any, **options: Any) -> Any:
            if len(batches.steps) == 7:  # in epoch 3
                targets = targets * np.float32(np.nan)
            return real(model, images, targets, **options)

        with monkeypatch.context() as patched:
            patched.setattr(keras.Model, "train_on_batch", poisoned)
            with pytest.raises(TrainingDiverged) as caught:
                trained(tmp_path)
        message = str(caught.value)
        assert "got nan in epoch 3; the last good checkpoint is epoch 2" in message
        assert str(tmp_path) in message
        assert "Lower the learning rate (now at most 0.01), or compute in float32" in message
        n_before = len(batches.steps)
        assert [epoch["epoch"] for epoch in trained(tmp_path).history] == [1, 2, 3, 4]
        assert len(batches.steps) - n_before == 3 * 2


class TestProbabilities:
    def test_flips_average_an_image_and_its_mirror_image(self) -> None:
        model, images = fresh(), examples().inputs
        plain = probabilities(model, images)
        mirrored = probabilities(model, np.ascontiguousarray(images[:, :, ::-1]))
        averaged = probabilities(model, images, flips=True)
        np.testing.assert_array_equal(averaged, (plain + mirrored) / np.float32(2))
        assert np.abs(plain - mirrored).max() > 0
        np.testing.assert_array_equal(
            averaged, probabilities(model, images[:, :, ::-1], flips=True)
        )

    def test_are_float32_that_sum_to_1_in_any_batch_size(self) -> None:
        model, images = fresh(), examples().inputs
        proba = probabilities(model, images)
        assert (proba.dtype, proba.shape) == (np.float32, (30, 3))
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(probabilities(model, images, batch_size=7), proba, rtol=1e-5)

    def test_measures_are_the_hand_result(self) -> None:
        proba = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [1.0, 0.0, 0.0]])
        loss, accuracy = loss_and_accuracy(proba, np.array([0, 2, 1]))
        assert loss == pytest.approx(-(np.log(0.5) + np.log(0.8) + np.log(1e-7)) / 3)
        assert accuracy == pytest.approx(2 / 3)


@pytest.mark.usefixtures("eager")
class TestBalancedClasses:
    """Training on 15, 3 and 2 images of three classes."""

    LABELS = np.repeat([0, 1, 2, 0], [15, 3, 2, 10])
    WEIGHTS = 20 / (3 * np.array([15, 3, 2]))

    def _trained(self, tmp_path: Path, class_weight: str | None, recipe: RecipeSettings) -> Any:
        unequal = replace(examples(), labels=self.LABELS, class_weight=class_weight)
        return train(fresh(), unequal, recipe, "none", seed=SEED, folder=tmp_path)

    def test_losses_are_weighted_by_the_inverse_share_of_the_class(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        weights: list[np.ndarray] = []
        real = keras.Model.train_on_batch

        def watched(model: Any, images: Any, targets: Any, **options: Any) -> Any:
            weights.append(options["sample_weight"])
            np.testing.assert_allclose(weights[-1], self.WEIGHTS[targets.argmax(axis=1)], rtol=1e-6)
            return real(model, images, targets, **options)

        monkeypatch.setattr(keras.Model, "train_on_batch", watched)
        self._trained(tmp_path, "balanced", PLAIN)
        assert np.concatenate(weights[:3]).sum() == pytest.approx(20)

    def test_a_mixed_image_has_the_mixture_of_weights(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = keras.Model.train_on_batch

        def watched(model: Any, images: Any, targets: Any, **options: Any) -> Any:
            expected = (targets * self.WEIGHTS).sum(axis=1)
            np.testing.assert_allclose(options["sample_weight"], expected, rtol=1e-6)
            return real(model, images, targets, **options)

        monkeypatch.setattr(keras.Model, "train_on_batch", watched)
        self._trained(tmp_path, "balanced", PLAIN.model_copy(update={"mixup": 0.5}))

    def test_without_them_keras_gets_no_weights(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = keras.Model.train_on_batch

        def watched(model: Any, images: Any, targets: Any, **options: Any) -> Any:
            assert options["sample_weight"] is None
            return real(model, images, targets, **options)

        monkeypatch.setattr(keras.Model, "train_on_batch", watched)
        self._trained(tmp_path, None, PLAIN)

    def test_validation_loss_is_weighted_alike(self) -> None:
        proba = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
        loss, accuracy = loss_and_accuracy(proba, np.array([0, 1]), np.array([1.0, 3.0, 9.0]))
        assert loss == pytest.approx((np.log(2) + 3 * np.log(4)) / 4)
        assert accuracy == 0.5

    def test_another_weight_does_not_resume_the_same_training(self, tmp_path: Path) -> None:
        self._trained(tmp_path, "balanced", PLAIN)
        with pytest.raises(InvalidInput, match="checkpoint"):
            self._trained(tmp_path, None, PLAIN)
