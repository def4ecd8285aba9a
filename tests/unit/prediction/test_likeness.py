"""Likeness to training images: of plain squares and noise, of training images, of held-out ones."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from flowers17.artifacts import Store
from flowers17.prediction.evidence import (
    COLOURS,
    FEATURES,
    N_NEAREST,
    Evidence,
    HeldOut,
    Likeness,
    _distances,
    descriptors,
)
from flowers17.prediction.models import Answers, Loader, predictions_of
from flowers17.prediction.pictures import Block
from tests.unit.prediction.made_models import Maker

SIZE = 32


@dataclass(frozen=True)
class Map:
    """A feature map of a single constant, which tells nothing."""

    n_images: int

    def stored(self) -> np.ndarray:
        return np.ones((self.n_images, 2), np.float32)

    def of(self, block: Block) -> np.ndarray:
        return np.ones((len(block.paths), 2), np.float32)


@dataclass(frozen=True)
class Reader:
    """What `Evidence` asks of a model."""

    maps: tuple[Any, ...] = ()
    sizes: frozenset[int] = frozenset({SIZE})


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Pictures of soft blobs on a ground, uint8 (90, 32, 32, 3), and their labels."""
    generator = np.random.default_rng(5)
    down, right = np.mgrid[:SIZE, :SIZE]
    labels = np.arange(90) % 3
    images = np.empty((90, SIZE, SIZE, 3))
    for image, label in zip(images, labels, strict=True):
        y, x = generator.uniform(10, 22, 2)
        blob = np.exp(-((down - y) ** 2 + (right - x) ** 2) / generator.uniform(40, 80))
        colours = generator.uniform(0, 90, (2, 3))
        colours[0, label] += 150
        image[:] = blob[..., None] * colours[0] + (1 - blob[..., None]) * colours[1]
        image += generator.normal(0, 6, image.shape)
    return np.clip(images, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def evidence(
    pictures: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Makes the evidence of a model on those pictures, every third of which was held out."""
    images, labels = pictures
    store = Store(tmp_path_factory.mktemp("likeness"))
    maker = Maker(store)
    config = {"size": SIZE}
    source = maker.publish("images", "images@32", {}, {"images": images}, config=config)
    artifact = maker.publish("training", "model", {}, inputs={"images": source})
    held_out = np.arange(len(labels)) % 9 < 3
    rows, train = np.flatnonzero(held_out), np.flatnonzero(~held_out)
    proba = np.full((len(rows), 3), 0.01)
    proba[np.arange(len(rows)), labels[rows]] = 0.98
    proba[:6] = proba[:6, [1, 2, 0]]  # six are wrong, though sure
    own = HeldOut(rows, labels[rows], proba, train, labels[train])

    def of(*maps: Map) -> Evidence:
        return Evidence(artifact, Reader(maps), Loader(store), own)  # type: ignore[arg-type]

    return of


def _likeness(evidence: Evidence, *images: np.ndarray) -> list[Likeness]:
    block = Block(tuple(map(str, range(len(images)))), {SIZE: np.stack(images)})
    return evidence.likeness(block)


def _plain(*colour: int) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (SIZE, SIZE, 3)).copy()


def test_descriptors_are_at_most_as_far_apart_as_hellinger_s_distance_allows() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    rows = descriptors(np.concatenate([noise, _plain(0, 0, 255)[None], _plain(9, 9, 9)[None]]))
    lengths = (rows**2).sum(axis=1)
    np.testing.assert_allclose(lengths[:4], 1)
    np.testing.assert_allclose(lengths[4:], 2 / 3)  # without any edge
    assert (np.linalg.norm(rows[:, None] - rows, axis=2) <= np.sqrt(2)).all()


@pytest.mark.parametrize(
    "image",
    [
        *(_plain(*colour) for colour in ((0, 0, 255), (30, 80, 200), (255, 255, 255), (0, 0, 0))),
        np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), np.uint8),
    ],
    ids=["blue", "sky", "white", "black", "noise"],
)
@pytest.mark.parametrize("maps", [(), (Map(90),)], ids=["pixels", "features that tell nothing"])
def test_plain_squares_and_noise_are_unlike(
    evidence: Any, image: np.ndarray, maps: tuple[Map, ...]
) -> None:
    [likeness] = _likeness(evidence(*maps), image)
    assert (likeness.is_unlike, likeness.share, likeness.basis) == (True, 0.0, COLOURS)
    assert likeness.words == (
        "farther from all training images than every one of the 30 images that were held out, by "
        "colours and edges"
    )


def test_of_held_out_images_the_share_is_their_rank(
    evidence: Any, pictures: tuple[np.ndarray, np.ndarray]
) -> None:
    own = evidence()
    rows = own._own.rows
    shares = [likeness.share for likeness in _likeness(own, *pictures[0][rows])]
    np.testing.assert_allclose(sorted(shares), np.arange(1, 31) / 30)


def test_a_training_image_is_its_own_neighbour_and_the_nearest_come_first(
    evidence: Any, pictures: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = pictures
    [likeness] = _likeness(evidence(), images[5])
    first = likeness.nearest[0]
    assert (first.row, first.label, likeness.is_unlike) == (5, labels[5], False)
    assert first.distance == pytest.approx(0, abs=1e-6)
    distances = [neighbour.distance for neighbour in likeness.nearest]
    assert (len(distances), distances) == (N_NEAREST, sorted(distances))
    assert "100 % of the 30 images that were held out are as far" in likeness.words


def test_the_basis_is_what_tells_more(evidence: Any) -> None:
    class Telling(Map):
        def of(self, block: Block) -> np.ndarray:
            return np.array([[1, -1]] * len(block.paths), np.float32)

    own = evidence(Telling(90))
    likeness = own._judged({FEATURES: np.full(60, 1.4), COLOURS: np.zeros(60)})
    assert (likeness.is_unlike, likeness.basis) == (True, FEATURES)


def test_the_temperature_makes_a_model_as_sure_as_it_is_right(evidence: Any) -> None:
    """24 of 30 are right: at the best temperature, the mean confidence is about 0.8."""
    own = evidence()
    sharpened = own._own.proba ** (1 / own.temperature)
    confidence = (sharpened / sharpened.sum(axis=1, keepdims=True)).max(axis=1)
    assert own.temperature > 1
    assert confidence.mean() == pytest.approx(0.8, abs=0.01)


def test_sets_hold_the_right_class_of_held_out_images_as_often_as_promised() -> None:
    random, n = np.random.default_rng(3), 400
    proba = random.dirichlet(np.ones(3), 2 * n)
    labels = (random.random((2 * n, 1)) > proba.cumsum(axis=1)[:, :2]).sum(axis=1)
    own = HeldOut(np.arange(n), labels[:n], proba[:n], np.arange(n), labels[:n])
    evidence = Evidence(None, Reader(), None, own)  # type: ignore[arg-type]
    sets = evidence.sets(proba[n:], 0.9)
    covered = [label in members for label, members in zip(labels[n:], sets, strict=True)]
    assert 0.86 < np.mean(covered) < 0.95
    assert [members[0] for members in sets] == proba[n:].argmax(axis=1).tolist()
    assert 1 <= np.mean([len(members) for members in sets]) < 3


def test_distances_are_computed_on_one_core_so_that_no_thread_spins_beside_a_network() -> None:
    n_threads = []

    class Rows(np.ndarray):
        def __matmul__(self, other: np.ndarray) -> Any:
            n_threads.extend(pool["num_threads"] for pool in threadpool_info())
            return super().__matmul__(other)

    rows = np.random.default_rng(4).random((5, 3))
    distances = _distances(rows.view(Rows), rows)
    np.testing.assert_allclose(distances, np.linalg.norm(rows[:, None] - rows, axis=2), atol=1e-7)
    assert set(n_threads) == {1}


def test_likeness_comes_before_the_network_so_that_decoding_goes_on_beside_it() -> None:
    calls = []

    def likeness(block: Block) -> list[None]:
        calls.append("likeness")
        return [None] * len(block.paths)

    def answers(block: Block) -> Answers:
        calls.append("network")
        return Answers(np.full((len(block.paths), 2), 0.5))

    evidence = SimpleNamespace(likeness=likeness, temperature=1.0)
    model: Any = SimpleNamespace(classes=("a", "b"), evidence=evidence, answers=answers)
    assert [each.path for each in predictions_of(model, Block(("x", "y"), {}))] == ["x", "y"]
    assert calls == ["likeness", "network"]
