"""Flow `learners` at small size: built once, then cached; watched; killed and resumed."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flowers17.artifacts import Artifact, Reference, Store
from tests.support.commands import called
from tests.support.processes import HANG_S, eventually, kill, python

pytestmark = [pytest.mark.server, pytest.mark.slow]

EPOCHS = 40
SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=8",
    "dataset.image_size=32",
    "splits.n_repeats=1",
    "learners.definitions=[{name: tiny, blocks: [[2]], dense: 4}]",
    "learners.plain=[tiny]",
    f"learners.recipe.epochs={EPOCHS}",
    "learners.recipe.batch_size=8",
    "learners.precision=float32",
)
PLAIN_ONLY = ("learners.augmented=[]", "learners.best=[]")
WHOLE = (
    "learners.augmented=[tiny]",
    "learners.augmentations=[wide]",
    "learners.augmented_epochs=2",
    "learners.best=[tiny]",
    "learners.best_splits=1",
    "learners.best_recipe.epochs=1",
    "learners.best_recipe.resolutions=[1]",
    "learners.best_recipe.batch_size=8",
)
PLAIN = "tiny, report split"
TRAINED = {PLAIN, "tiny wide, report split", "tiny best, repeat-01 split"}
CODE = """
import sys
from flowers17.cli import main

try:
    main(sys.argv[1:])
except SystemExit as end:
    if end.code:
        raise
heavy = {"jax", "keras", "matplotlib", "pandas", "scipy", "sklearn", "tensorflow", "torch"}
print("imported:", *sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""


def _words(store: Path, *options: str) -> list[str]:
    return ["run", "learners", "--store", str(store), "--device", "cpu", "--json", *options]


def _counts(api: str, words: list[str], settings: tuple[str, ...]) -> dict[str, int]:
    """Run to the end in this process; return how many stages were built and reused."""
    code, printed, complaints = called(*words, api=api, settings=(*SETTINGS, *settings))
    assert code == 0, complaints
    return dict(json.loads(printed)["counts"])


def _trainings(store: Path) -> dict[str, Artifact]:
    """Trainings of a store by label."""
    manifests = [
        manifest for manifest in Store(store).manifests() if manifest["stage"] == "training"
    ]
    return {
        manifest["label"]: Artifact(store / "training" / manifest["key"], manifest)
        for manifest in manifests
    }


def _holder(lock: Path) -> int:
    """Process that holds a file's kernel lock."""
    inode = lock.stat().st_ino
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    [pid] = [
        int(fields[4])
        for fields in lines
        if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}")
    ]
    return pid


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> tuple[Path, int]:
    """A store with every training and their report, and how many stages that took."""
    store = tmp_path_factory.mktemp("learners") / "store"
    counts = _counts(prefect_api, _words(store, "--runner", "processes"), WHOLE)
    assert counts["failed"] == counts["reused"] == 0
    return store, counts["built"]


def test_each_training_leaves_its_history_layers_weights_and_probabilities(
    built: tuple[Path, int],
) -> None:
    trainings = _trainings(built[0])
    assert trainings.keys() == TRAINED
    for label, artifact in trainings.items():
        result = artifact.json("result")
        history = artifact.json("history")["epochs"]
        proba = artifact.array("proba")
        split = Store(built[0]).open(Reference.from_json(artifact.manifest["inputs"]["split"]))
        assert len(history) == result["epochs"] == (EPOCHS if label == PLAIN else len(history))
        assert proba.shape == (len(split.array("labels")), 3)
        predicted = proba[split.array("validation")].argmax(axis=1)
        assert (predicted == artifact.array("validation-predicted")).all()
        assert len(predicted) == result["n_validation"]
        weights = [name for name in artifact.manifest["files"] if name.startswith("weights/")]
        values = sum(artifact.array(name.removesuffix(".npy")).size for name in weights)
        assert values == result["n_parameters"]
        assert sum(row["parameters"] for row in artifact.json("layers")) == values
    losses = [epoch["val_loss"] for epoch in trainings[PLAIN].json("history")["epochs"]]
    result = trainings[PLAIN].json("result")
    assert result["best_epoch"] == 1 + losses.index(min(losses))
    assert result["validation_loss"] == pytest.approx(min(losses), rel=1e-6)
    assert not list((built[0] / ".unfinished").glob("training-*"))


def test_a_second_run_reuses_every_stage_and_imports_nothing_to_compute_with(
    built: tuple[Path, int], prefect_api: str
) -> None:
    chosen = [word for setting in (*SETTINGS, *WHOLE) for word in ("--set", setting)]
    words = [*_words(built[0]), *chosen]
    with python("-c", CODE, *words, env={"PREFECT_API_URL": prefect_api}) as process:
        printed, complaints = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, complaints
    counts = json.loads(printed)["counts"]
    assert counts == {**dict.fromkeys(counts, 0), "reused": built[1]}
    assert complaints.strip().endswith("imported:")


@pytest.mark.usefixtures("api", "built")
def test_learning_curves_and_progress_are_shown() -> None:
    keys = ["learning-curves-tiny-report-split", "progress-tiny-report-split"]
    filter_ = ArtifactFilter(key=ArtifactFilterKey(any_=keys))
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(artifact_filter=filter_)
    shown: dict[str, Any] = {artifact.key or "": artifact for artifact in artifacts}
    assert shown.keys() == set(keys)
    assert "data:image/svg+xml;base64," in str(shown[keys[0]].data)
    assert shown[keys[1]].type == "progress"
    assert shown[keys[1]].data == 100.0


def test_a_killed_training_says_so_and_goes_on_from_its_last_epoch(
    built: tuple[Path, int], tmp_path: Path, prefect_api: str
) -> None:
    store, logs = tmp_path / "store", tmp_path / "logs"
    words = _words(store, "--tensorboard", str(logs))
    unfinished = store / ".unfinished"

    def epochs() -> list[int]:
        paths = unfinished.glob("training-*/generation-*.json")
        return [int(path.stem.partition("-")[2]) for path in paths]

    def kill_training() -> None:
        assert eventually(lambda: max(epochs(), default=0) >= 3), "no epoch was saved"
        [lock] = unfinished.glob("training-*/lock")
        training = _holder(lock)
        assert training != os.getpid()
        kill(training)

    with ThreadPoolExecutor() as pool:
        killing = pool.submit(kill_training)
        code, _, complaints = called(*words, api=prefect_api, settings=(*SETTINGS, *PLAIN_ONLY))
        killing.result()
    assert code == 1
    assert "SIGKILL" in complaints
    assert "Run the same command again" in " ".join(complaints.split())
    n_done = max(epochs())
    assert 3 <= n_done < EPOCHS, "it was not killed on the way"
    shutil.rmtree(logs)

    counts = _counts(prefect_api, words, PLAIN_ONLY)
    assert counts["failed"] == 0
    [log] = logs.rglob("events.*")
    assert log.read_bytes().count(b"val_accuracy") == EPOCHS - n_done
    artifact, undisturbed = _trainings(store)[PLAIN], _trainings(built[0])[PLAIN]
    assert artifact.reference == undisturbed.reference
