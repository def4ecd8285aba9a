"""Attacks and defences killed in the middle: they repeat one batch, and end with the same bytes."""

import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from flowers17.artifacts import Reference, Store
from flowers17.isolation import ProcessEnded, ensure_isolated
from flowers17.request import request_from
from flowers17.stages import History, Progress, References, Stage, ensure, in_order
from flows import attacks
from tests.support.attack_study import SETTINGS
from tests.support.builds import built, cut_off
from tests.support.image_files import class_folders
from tests.support.killed_studies import overridden
from tests.support.processes import HANG_S, eventually

pytestmark = pytest.mark.slow

BATCHES = "attack-*/*.batch"
PIXEL = "attack one_pixel on tiny, clean split"
DEFENCES = "defences of tiny, clean split"
UNDER_ATTACK = overridden(
    SETTINGS,
    "learners.recipe.epochs=1",
    "learners.recipe.batch_size=65",
    "learners.recipe.selection=last",  # so that no folds have to find an epoch
    # Of images so small 256 are attacked at once: 260 are two batches.
    "dataset.image_size=16",
    "ensemble.ensembles=[]",  # whose extractor reads no image below 32
    "splits.validation_fraction=0.5",
    "learners.definitions=[{name: tiny, blocks: [[2]], dense: 4}]",
    "attacks.n_images=260",
    "attacks.pgd_steps=2",
    "attacks.pgd_restarts=1",
    "attacks.pgd_losses=[cross_entropy]",
    "attacks.one_pixel={n_images: 8, population: 100, generations: 10, images_per_batch: 1}",
    "defences.networks=[{learner: tiny, augmentation: none}]",
    "defences.adversaries=[]",
    "defences.filters=[]",
    "defences.detectors=[{budgets: [8], recipe: {epochs: 2, batch_size: 104}}]",
    "defences.budgets=[8]",
)
# What a detector is trained on, its training, the attacks on all defences.
PARTS = (
    "defences-*/00-images/*.batch",
    "defences-*/00-detector/generation-*.json",
    "defences-*/attacks/*.batch",
)
FileVersions = dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Stage], Store]:
    """Stages by label, and a store in which two of them were built without a kill."""
    root = tmp_path_factory.mktemp("undisturbed")
    data = class_folders(root / "data", {"daisy": 260, "snowdrop": 260})
    settings = (*UNDER_ATTACK, f"dataset.source={data}")
    request = request_from(settings, store=root / "store", device="cpu")
    parts = in_order(attacks.parts(request.settings, request.options))
    stages = {stage.label: stage for stage in parts}
    return stages, built([stages[PIXEL], stages[DEFENCES]], request.store)


@pytest.fixture
def store(undisturbed: tuple[dict[str, Stage], Store], tmp_path: Path) -> Store:
    """A store that has the inputs of both stages only."""
    both = shutil.ignore_patterns("attack", "defences")
    return Store(shutil.copytree(undisturbed[1].root, tmp_path / "store", ignore=both))


def _inputs(stage: Stage, store: Store) -> References:
    """Inputs of a stage that a store has."""
    return {
        name: ensure(source, _inputs(source, store), store).reference
        for name, source in stage.inputs.items()
    }


def _isolated(
    stage: Stage, inputs: References, store: Store, progress: Progress = lambda *_: None
) -> Reference:
    """Build a stage in a process of its own, as a flow does."""
    logger = logging.getLogger(__name__)
    return ensure_isolated(stage, inputs, store, progress=progress, logger=logger).reference


def _killed(stage: Stage, inputs: References, store: Store, is_time: Callable[[], bool]) -> None:
    """Build a stage in a process that is killed once a condition comes true."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        building = pool.submit(_isolated, stage, inputs, store)
        assert eventually(is_time), "nothing was done"
        [process] = [child for child in active_children() if child.name == stage.label]
        process.kill()
        with pytest.raises(ProcessEnded, match="SIGKILL"):
            building.result(HANG_S)


def _unfinished_files(store: Store, pattern: str) -> FileVersions:
    """Inode and time of each file of unfinished work, which show whether it was written again."""
    stats = {path.name: path.stat() for path in sorted((store.root / ".unfinished").glob(pattern))}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def test_one_pixel_killed_resumes_with_its_batches_and_the_same_bytes(
    undisturbed: tuple[dict[str, Stage], Store], store: Store
) -> None:
    stage = undisturbed[0][PIXEL]
    inputs = _inputs(stage, store)
    batches = partial(_unfinished_files, store, BATCHES)
    _killed(stage, inputs, store, lambda: len(batches()) >= 2)
    killed_batches = batches()
    assert 2 <= len(killed_batches) < 8
    later: list[FileVersions] = []

    def progress(*_: Any) -> None:
        later.append(batches())

    expected = ensure(stage, inputs, undisturbed[1])
    assert expected.reused
    assert _isolated(stage, inputs, store, progress) == expected.reference
    assert any(len(killed_batches) < len(each) for each in later)
    assert all(killed_batches.items() <= each.items() for each in later if each), "done again"
    assert not batches(), "what is finished leaves nothing unfinished"


def test_defences_killed_in_each_part_resume_in_it_with_the_same_bytes(
    undisturbed: tuple[dict[str, Stage], Store], store: Store
) -> None:
    stage = undisturbed[0][DEFENCES]
    inputs = _inputs(stage, store)
    before, work = PARTS[0], FileVersions()
    for part in PARTS:
        cut_off([stage], store.root, part, 2)
        assert work.items() < _unfinished_files(store, before).items(), "it was done again"
        before, work = part, _unfinished_files(store, part)
        assert len(work) == 1, "it was not killed in the middle"

    steps: list[tuple[int, FileVersions]] = []

    def progress(n_done: int, total: int, unit: str, history: History | None = None) -> None:
        if unit == "images":
            steps.append((n_done, _unfinished_files(store, PARTS[-1])))

    expected = ensure(stage, inputs, undisturbed[1])
    assert expected.reused
    assert _isolated(stage, inputs, store, progress) == expected.reference
    assert steps[0] == (256, work), "a finished batch was done again"
    assert not list((store.root / ".unfinished").iterdir())
