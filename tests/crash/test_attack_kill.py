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

from flowers17.artifacts import Store
from flowers17.isolation import ProcessEnded, ensure_isolated
from flowers17.request import request_from
from flowers17.stages import (
    History,
    Outcome,
    Progress,
    References,
    Stage,
    ensure,
    existing,
    in_order,
)
from flows import attacks
from tests.support.attack_study import SETTINGS
from tests.support.image_files import class_folders
from tests.support.killed_studies import overridden
from tests.support.processes import HANG_S, eventually

pytestmark = pytest.mark.slow

LAST = "learners.recipe.selection=last"  # so that no folds have to find an epoch
BATCHES = "attack-*/*.batch"
PIXEL = "attack one_pixel on tiny, clean split"
LONG = "attacks.one_pixel={n_images: 8, population: 100, generations: 10, images_per_batch: 1}"
DEFENCES = "defences of tiny, clean split"
# Of images so small 256 are attacked at once: 260 are two batches.
DEFENDED = (
    "dataset.image_size=16",
    "ensemble.ensembles=[]",  # whose extractor reads no image below 32
    "splits.validation_fraction=0.5",
    "learners.definitions=[{name: tiny, blocks: [[16], [32]], dense: 16}]",
    "attacks.n_images=260",
    "attacks.pgd_steps=10",
    "attacks.pgd_restarts=1",
    "attacks.pgd_losses=[cross_entropy]",
    "defences.networks=[{learner: tiny, augmentation: none}]",
    "defences.adversaries=[]",
    "defences.filters=[]",
    "defences.detectors=[{budgets: [8, 16], recipe: {epochs: 4, batch_size: 64}}]",
    "defences.budgets=[8]",
)
# What a detector is trained on, its training, the attacks on all defences.
PARTS = (
    "defences-*/00-images/*.batch",
    "defences-*/00-detector/generation-*.json",
    "defences-*/attacks/*.batch",
)
FileVersions = dict[str, tuple[int, int]]


def _stage(store: Store, label: str, *settings: str) -> Stage:
    request = request_from(overridden(SETTINGS, LAST, *settings), store=store.root, device="cpu")
    parts = in_order(attacks.parts(request.settings, request.options))
    return next(stage for stage in parts if stage.label == label)


def _isolated(
    stage: Stage, inputs: References, store: Store, progress: Progress = lambda *_: None
) -> Outcome:
    """Build a stage in a process of its own, as a flow does."""
    logger = logging.getLogger(__name__)
    return ensure_isolated(stage, inputs, store, progress=progress, logger=logger)


def _inputs(stage: Stage, store: Store) -> References:
    """Build the inputs of a stage."""
    inputs: dict[str, Any] = {}
    for name, source in stage.inputs.items():
        its_inputs = _inputs(source, store)
        build = _isolated if source.isolated else ensure
        inputs[name] = (
            existing(source, its_inputs, store) or build(source, its_inputs, store)
        ).reference
    return inputs


def _killed(stage: Stage, inputs: References, store: Store, *moments: Callable[[], Any]) -> None:
    """Build a stage in a process that is killed once all conditions came true, in their order."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        building = pool.submit(_isolated, stage, inputs, store)
        for condition in moments:
            assert eventually(condition), "nothing was done, or something was done again"
        [process] = [child for child in active_children() if child.name == stage.label]
        process.kill()
        with pytest.raises(ProcessEnded, match="SIGKILL"):
            building.result(HANG_S)


def _unfinished_files(store: Store, pattern: str) -> FileVersions:
    """Inode and time of each file of unfinished work, which show whether it was written again."""
    stats = {path.name: path.stat() for path in sorted((store.root / ".unfinished").glob(pattern))}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def _has_more(store: Store, pattern: str, before: FileVersions) -> bool:
    """Whether there are more files than before, and the former ones are unchanged."""
    return before.items() < _unfinished_files(store, pattern).items()


def _undisturbed(store: Store, label: str, *settings: str) -> tuple[Stage, References, Outcome]:
    """A stage, its inputs and its outcome; the store has the inputs only."""
    stage = _stage(store, label, *settings)
    inputs = _inputs(stage, store)
    elsewhere = Store(store.root.with_name("undisturbed"))
    shutil.copytree(store.root, elsewhere.root)
    return stage, inputs, _isolated(stage, inputs, elsewhere)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_one_pixel_killed_resumes_with_its_batches_and_the_same_bytes(store: Store) -> None:
    stage, inputs, expected = _undisturbed(store, PIXEL, LONG)
    batches = partial(_unfinished_files, store, BATCHES)
    _killed(stage, inputs, store, lambda: len(batches()) >= 2)
    killed_batches = batches()
    assert 2 <= len(killed_batches) < 8
    later: list[FileVersions] = []

    def progress(*_: Any) -> None:
        later.append(batches())

    assert _isolated(stage, inputs, store, progress) == expected
    assert any(len(killed_batches) < len(each) for each in later)
    assert all(killed_batches.items() <= each.items() for each in later if each), "done again"
    assert not batches(), "what is finished leaves nothing unfinished"


def test_defences_killed_in_each_part_resume_in_it_with_the_same_bytes(
    store: Store, tmp_path: Path
) -> None:
    data = class_folders(tmp_path / "data", {"daisy": 260, "snowdrop": 260})
    stage, inputs, expected = _undisturbed(store, DEFENCES, f"dataset.source={data}", *DEFENDED)
    before, work = PARTS[0], FileVersions()
    for part in PARTS:
        has_more = partial(_has_more, store, before, work)
        _killed(stage, inputs, store, has_more, partial(_unfinished_files, store, part))
        before, work = part, _unfinished_files(store, part)
        assert len(work) == 1, "it was not killed in the middle"

    steps: list[tuple[int, FileVersions]] = []

    def progress(n_done: int, total: int, unit: str, history: History | None = None) -> None:
        if unit == "images":
            steps.append((n_done, _unfinished_files(store, PARTS[-1])))

    assert _isolated(stage, inputs, store, progress) == expected
    assert steps[0] == (256, work), "a finished batch was done again"
    assert not list((store.root / ".unfinished").iterdir())
