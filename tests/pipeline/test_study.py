"""A small study end to end: built once, then cached; plan; damage; a person's own images."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import called
from tests.support.image_files import class_folders
from tests.support.processes import HANG_S, python
from tests.support.tiny_backbone import BACKBONE

pytestmark = [pytest.mark.server, pytest.mark.slow]

MAP, SVM = f"{{extractor: '{BACKBONE}'}}", f"svm on {BACKBONE}"
SETTINGS = (
    f"features.table=[{MAP}]",
    f"features.combinations=[{{maps: [{MAP}], n_components: 4, search: true}}]",
    "features.classifiers.names=[knn, svm, random_forest]",
    "features.classifiers.random_forest.n_estimators=10",
    "features.weights=random",
    "splits.n_repeats=1",
    "learners.plain=[]",
    "learners.augmented=[]",
    "learners.best=[]",
    "fine_tuning.table=[]",
    "ensemble.ensembles=[]",
    "defences.networks=[]",
    "poisoning.networks=[]",
    "next_steps.questions=[]",
    "attacks.models=[]",
    "dataset.image_size=32",
)
RENDERED = ("dataset.n_classes=3", "dataset.images_per_class=8")
CODE = """
import sys
from flowers17.cli import main

try:
    main(sys.argv[1:])
except SystemExit as end:
    if end.code:
        raise
heavy = {"keras", "matplotlib", "pandas", "scipy", "sklearn", "tensorflow"}
print("imported:", *sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""


def command(api: str, *words: str, settings: tuple[str, ...] = ()) -> Any:
    """Run `flowers17 … --json` in this process; return what it printed as JSON."""
    code, printed, complaints = called(*words, "--json", api=api, settings=(*SETTINGS, *settings))
    assert code == 0, complaints
    return json.loads(printed)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Path:
    """A store that holds one finished study on rendered flowers."""
    place = tmp_path_factory.mktemp("study") / "store"
    output = command(prefect_api, "run", "study", "--store", str(place), settings=RENDERED)
    assert output["counts"] == {**dict.fromkeys(output["counts"], 0), "built": 17}
    assert Path(output["report"]).is_file()
    return place


def test_a_second_run_reuses_every_stage_and_imports_nothing_to_compute_with(
    store: Path, prefect_api: str
) -> None:
    chosen = [word for setting in (*SETTINGS, *RENDERED) for word in ("--set", setting)]
    words = ("-c", CODE, "run", "study", "--store", str(store), "--json", *chosen)
    with python(*words, env={"PREFECT_API_URL": prefect_api}) as process:
        printed, complaints = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, complaints
    output = json.loads(printed)
    assert output["counts"] == {**dict.fromkeys(output["counts"], 0), "reused": 17}
    assert complaints.strip().endswith("imported:")


def test_plan_names_exactly_the_stages_that_a_setting_changes(
    store: Path, prefect_api: str
) -> None:
    changed = (*RENDERED, "features.classifiers.svm.C=3.5")
    steps = command(prefect_api, "plan", "study", "--store", str(store), settings=changed)
    reasons = {step["label"]: step["why"] for step in steps if step["action"] == "run"}
    assert set(reasons) == {SVM, f"{SVM}, all images", "report"}
    assert reasons[SVM] == ["setting hyperparameters.C: 10.0 → 3.5"]
    assert f"input {SVM} would be built anew" in reasons["report"]


def test_a_flipped_byte_is_noticed_and_the_numbers_come_out_the_same(
    store: Path, prefect_api: str
) -> None:
    before = (store / "report" / "results.json").read_bytes()
    (damaged,) = store.glob("features/*/features.npy")
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    output = command(prefect_api, "run", "study", "--store", str(store), settings=RENDERED)
    assert output["counts"]["built"] == 1
    assert output["counts"]["reused"] == 16
    assert (store / "report" / "results.json").read_bytes() == before


def test_a_folder_of_a_persons_own_images_goes_through(tmp_path: Path, prefect_api: str) -> None:
    photos = class_folders(tmp_path / "photos", {"oak": 8, "elm": 9, "ash": 7})
    store = tmp_path / "store"
    words = ("run", "study", "--dataset", str(photos), "--store", str(store))
    output = command(prefect_api, *words)
    assert output["counts"]["failed"] == 0
    results = json.loads((store / "report" / "results.json").read_text())
    assert "photos" not in json.dumps(results)
    assert {"oak", "elm", "ash"} <= set(json.dumps(results).replace('"', " ").split())
