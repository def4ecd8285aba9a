"""An attack killed in the middle: it repeats one batch at most, and ends with the same bytes."""

import shutil
from pathlib import Path

import pytest

from flowers17.artifacts import Store
from tests.support.made_attacks import LONG, artifacts, built, words
from tests.support.processes import eventually, python

pytestmark = pytest.mark.slow

PIXEL = "attack one_pixel on tiny, clean split"
TRAINED = "attack noise on tiny, clean split"


def _batches(store: Path) -> dict[str, int]:
    """Return when each batch that is done was written, by name."""
    found = (store / ".unfinished").glob("attack-*/*.batch")
    return {one.name: one.stat().st_mtime_ns for one in sorted(found)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with the network that is attacked."""
    return built(tmp_path_factory.mktemp("killed") / "store", only=TRAINED).root


def test_one_pixel_killed_resumes_with_its_batches_and_the_same_bytes(
    trained: Path, tmp_path: Path
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for place in (undisturbed, killed):
        shutil.copytree(trained, place)
    wanted = artifacts(built(undisturbed, LONG, only=PIXEL), "attack")[PIXEL]

    with python(*words(killed, LONG, only=PIXEL)) as process:
        assert eventually(lambda: len(_batches(killed)) >= 2, 200), "no batch was done"
        process.kill()
        process.communicate(timeout=60)
    done = _batches(killed)
    assert 2 <= len(done) < 8
    assert PIXEL not in artifacts(Store(killed), "attack")

    with python(*words(killed, LONG, only=PIXEL)) as process:
        assert eventually(lambda: len(_batches(killed)) > len(done), 200)
        assert done.items() <= _batches(killed).items(), "a finished batch was done again"
        assert process.wait(200) == 0
    found = artifacts(Store(killed), "attack")[PIXEL]
    assert found.reference == wanted.reference
    assert not _batches(killed), "what is finished leaves nothing unfinished"
