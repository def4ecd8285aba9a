import subprocess
import sys

import numpy as np
import pytest

from flowers17.data import oxford17
from flowers17.data.rendered import described_plants, flower, flowers
from flowers17.errors import InvalidInput


def test_every_class_has_its_flower() -> None:
    plants = described_plants()
    assert set(plants) == {*oxford17.CLASS_NAMES, "common", "surroundings"}
    assert all(plants[name]["parts"] for name in oxford17.CLASS_NAMES)


def test_shapes_and_labels() -> None:
    images, labels = flowers(n_classes=17, images_per_class=2, size=24, seed=1)
    assert images.shape == (34, 24, 24, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert labels.tolist() == [label for label in range(17) for _ in range(2)]


def test_image_depends_on_seed_class_and_index_alone() -> None:
    few, _ = flowers(n_classes=2, images_per_class=2, size=24, seed=1)
    more, _ = flowers(n_classes=3, images_per_class=4, size=24, seed=1)
    assert np.array_equal(few[3], more[5])
    assert np.array_equal(few[3], flower("snowdrop", 1, size=24, seed=1))
    assert not np.array_equal(few[3], flower("snowdrop", 1, size=24, seed=2))
    assert len({image.tobytes() for image in more}) == 12


def test_another_process_draws_the_same_bytes() -> None:
    code = (
        "from flowers17.data.rendered import flower; import hashlib;"
        "print(hashlib.sha256(flower('iris', 3, size=32, seed=5).tobytes()).hexdigest())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


def test_scene_is_the_same_at_every_size() -> None:
    for name in ("sunflower", "tulip"):
        large = flower(name, 0, size=96, seed=3).astype(float)
        small = flower(name, 0, size=48, seed=3).astype(float)
        reduced = large.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
        assert np.corrcoef(reduced.ravel(), small.ravel())[0, 1] > 0.97


def test_progress_tells_every_image() -> None:
    steps: list[tuple[int, int]] = []
    flowers(
        n_classes=2,
        images_per_class=2,
        size=16,
        seed=1,
        progress=lambda *step: steps.append(step),
    )
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("n_classes", "images_per_class", "size", "message"),
    [
        (18, 1, 16, r"expected 1\.\.17, got 18"),
        (0, 1, 16, r"expected 1\.\.17, got 0"),
        (2, 0, 16, "images_per_class"),
        (2, 1, 4, "size"),
    ],
)
def test_impossible_settings_are_refused(
    n_classes: int, images_per_class: int, size: int, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        flowers(n_classes=n_classes, images_per_class=images_per_class, size=size, seed=0)


@pytest.mark.slow
def test_classifiers_on_raw_pixels_beat_chance_and_differ() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    images, labels = flowers(n_classes=17, images_per_class=12, size=16, seed=17)
    columns = images.reshape(len(images), -1) / 255.0
    is_validation = np.arange(len(labels)) % 4 == 0
    models = (LogisticRegression(C=0.01, max_iter=200), KNeighborsClassifier(5), GaussianNB())
    with threadpool_limits(1):  # several threads would wait for each other
        scores = [
            model.fit(columns[~is_validation], labels[~is_validation]).score(
                columns[is_validation], labels[is_validation]
            )
            for model in models
        ]
    assert min(scores) > 3 / 17
    assert max(scores) < 0.9
    assert max(scores) - min(scores) > 0.05
