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
from tests.support.processes import eventually

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
Kept = dict[str, tuple[int, int]]


def _stage(store: Store, label: str, *settings: str) -> Stage:
    request = request_from([*SETTINGS, LAST, *settings], store=store.root, device="cpu")
    parts = in_order(attacks.parts(request.settings, request.places))
    return next(one for one in parts if one.label == label)


def _isolated(
    stage: Stage, given: References, store: Store, progress: Progress = lambda *_: None
) -> Outcome:
    """Build a stage in a process of its own, as a flow does."""
    logger = logging.getLogger(__name__)
    return ensure_isolated(stage, given, store, progress=progress, logger=logger)


def _inputs(stage: Stage, store: Store) -> References:
    """Build what a stage is given."""
    given: dict[str, Any] = {}
    for name, one in stage.inputs.items():
        needed = _inputs(one, store)
        build = _isolated if one.isolated else ensure
        given[name] = (existing(one, needed, store) or build(one, needed, store)).reference
    return given


def _killed(stage: Stage, given: References, store: Store, *moments: Callable[[], Any]) -> None:
    """Build a stage in a process that is killed once all conditions came true, in their order."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        building = pool.submit(_isolated, stage, given, store)
        for condition in moments:
            assert eventually(condition, 200), "nothing was done, or something was done again"
        [process] = [one for one in active_children() if one.name == stage.label]
        process.kill()
        with pytest.raises(ProcessEnded, match="SIGKILL"):
            building.result(60)


def _kept(store: Store, what: str) -> Kept:
    """Return what unfinished work there is, and by inode and time whether it was done anew."""
    found = {one.name: one.stat() for one in sorted((store.root / ".unfinished").glob(what))}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def _goes_on(store: Store, what: str, done: Kept) -> bool:
    """Return whether there is more than what was done before, which is as it was."""
    return done.items() < _kept(store, what).items()


def _undisturbed(store: Store, label: str, *settings: str) -> tuple[Stage, References, Outcome]:
    """Return a stage, what it is given, and what it makes; only that is not in the store."""
    stage = _stage(store, label, *settings)
    given = _inputs(stage, store)
    elsewhere = Store(store.root.with_name("undisturbed"))
    shutil.copytree(store.root, elsewhere.root)
    return stage, given, _isolated(stage, given, elsewhere)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_one_pixel_killed_resumes_with_its_batches_and_the_same_bytes(store: Store) -> None:
    stage, given, wanted = _undisturbed(store, PIXEL, LONG)
    batches = partial(_kept, store, BATCHES)
    _killed(stage, given, store, lambda: len(batches()) >= 2)
    done = batches()
    assert 2 <= len(done) < 8
    _killed(stage, given, store, partial(_goes_on, store, BATCHES, done))
    assert len(done) < len(batches()) < 8
    assert _isolated(stage, given, store) == wanted
    assert not batches(), "what is finished leaves nothing unfinished"


def test_defences_killed_in_each_part_resume_in_it_with_the_same_bytes(
    store: Store, tmp_path: Path
) -> None:
    data = class_folders(tmp_path / "data", {"daisy": 260, "snowdrop": 260})
    stage, given, wanted = _undisturbed(store, DEFENCES, f"dataset.source={data}", *DEFENDED)
    before, done = PARTS[0], Kept()
    for part in PARTS:
        goes_on = partial(_goes_on, store, before, done)
        _killed(stage, given, store, goes_on, partial(_kept, store, part))
        before, done = part, _kept(store, part)
        assert len(done) == 1, "it was not killed in the middle"

    told: list[tuple[int, Kept]] = []

    def progress(n_done: int, total: int, unit: str, history: History | None = None) -> None:
        if unit == "images":
            told.append((n_done, _kept(store, PARTS[-1])))

    assert _isolated(stage, given, store, progress) == wanted
    assert told[0] == (256, done), "a finished batch was done again"
    assert not list((store.root / ".unfinished").iterdir())
