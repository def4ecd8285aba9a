"""A store that names code: nothing of it runs unless the person names it too."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowers17.artifacts import Artifact, Store
from flowers17.cli import main
from flowers17.config import RunOptions, StudySettings
from flowers17.digests import file_sha256
from flowers17.errors import ArtifactDamaged, InvalidInput
from flowers17.prediction.attacked import AttackedModel
from flowers17.prediction.models import Loader
from flowers17.prediction.networks import Network
from flowers17.stages import Stage
from tasks import attack
from tests.support.stores import content
from tests.support.tiny_training import STATEFUL, fresh, prepared
from tests.unit.prediction.made_models import Maker, definition_of, network, stacking

NAME = "forged, clean split"
CODE = """
from pathlib import Path
Path({marker!r}).touch()
def build(shape, n_classes):
    Path({marker!r}).touch()
"""


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    with prepared():
        yield


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Return the file that is there once code of somebody else was run."""
    return tmp_path / "marker"


@pytest.fixture
def folder(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder that Python imports from, and that the store is in, as where one works."""
    for path in (tmp_path / "evil.py", tmp_path / "package" / "__init__.py"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(CODE.format(marker=str(marker)))
    (tmp_path / "package" / "evil.py").write_text(CODE.format(marker=str(marker)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("evil", "package", "store"):
            del sys.modules[name]


def _forged(folder: Path, learner: str, source: Path | None) -> Store:
    """Return a store with a network that a function builds; source: whose digest it holds."""
    store = Store(folder / "store")
    definition = {"sha256": file_sha256(source)} if source else {"sha256": None}
    network(Maker(store), NAME, fresh(), learner=learner, definition=definition)
    return store


def _in_the_store(folder: Path, marker: Path, package: str = "") -> Path:
    """Put a module among the files of a store; return it."""
    path = folder / "store" / "training" / "x" / "evil.py"
    path.parent.mkdir(parents=True)
    path.write_text(CODE.format(marker=str(marker)))
    if package:
        (folder / "store" / "__init__.py").write_text(CODE.format(marker=str(marker)))
    return path


def _outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str]:
    """Return a command's exit code and what it prints, on one line."""
    try:
        main([*arguments, "--store", "store"])
        code: int | str | None = 0
    except SystemExit as end:
        code = end.code or 0
    printed = capsys.readouterr()
    return code, " ".join((printed.out + printed.err).split())


@pytest.mark.parametrize(
    ("learner", "file"),
    [
        ("evil:build", "evil.py"),
        ("package.evil:build", "package/evil.py"),
        ("package.evil:build", None),
        ("os:abort", None),
        ("store.training.x.evil:build", "store/training/x/evil.py"),
        ("store.training.x.evil:build", None),
    ],
)
def test_no_command_runs_what_only_the_store_names(
    learner: str,
    file: str | None,
    folder: Path,
    marker: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _in_the_store(folder, marker, package="store")
    store = _forged(folder, learner, folder / file if file else None)
    (folder / "photo.png").write_bytes(b"not looked at")
    before = content(store.root)
    for command in (
        ("predict", "photo.png", "--model", NAME),
        ("predict", "photo.png"),
        ("export", NAME, "--to", "model.keras"),
    ):
        code, printed = _outcome(capsys, *command)
        assert code == 2
        if file:
            assert "Whoever can write to the store can name any code" in printed
            assert f"--own-learner {learner}" in printed
            assert "PYTHONPATH" not in printed
        else:
            assert "expected the SHA-256 of module" in printed
    for command in (
        ("show",),
        ("show", "training"),
        ("predict", "--list"),
        ("gc", "--dry-run"),
        ("plan", "learners"),
    ):
        code, printed = _outcome(capsys, *command)
        assert (code, NAME in printed) == (0, command[0] != "plan")
    assert not marker.exists()
    assert not (folder / "model.keras").exists()
    assert content(store.root) == before


@pytest.mark.parametrize("package", ["", "store"])
def test_code_in_a_store_is_not_run_though_it_is_named(
    package: str, folder: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, learner = _in_the_store(folder, marker, package), "store.training.x.evil:build"
    _forged(folder, learner, path)
    code, printed = _outcome(capsys, "predict", "photo.png", "--own-learner", learner)
    assert code == 2
    assert "code in a store is never run" in printed
    assert not marker.exists()


def test_code_in_a_store_is_not_run_through_a_link_to_it(
    folder: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _in_the_store(folder, marker)
    (folder / "linked.py").symlink_to(path)
    _forged(folder, "linked:build", path)
    code, printed = _outcome(capsys, "predict", "photo.png", "--own-learner", "linked:build")
    assert (code, "code in a store is never run" in printed) == (2, True)
    assert not marker.exists()


def test_a_function_that_is_named_is_run_only_as_it_was_trained(
    folder: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "evil.py"
    store = _forged(folder, "evil:build", path)
    path.write_text(path.read_text() + "# changed")
    code, printed = _outcome(capsys, "predict", "photo.png", "--own-learner", "evil:build")
    assert (code, "expected the module 'evil' that it was trained with" in printed) == (2, True)
    assert not marker.exists()
    loader = Loader(store, device="cpu", own_learners=["evil:other"])
    with pytest.raises(InvalidInput, match="add `--own-learner evil:build`"):
        AttackedModel(_only(store), loader)


def test_one_that_is_named_and_as_it_was_trained_predicts(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    artifact = network(Maker(store), NAME, learner=STATEFUL, definition=definition_of(STATEFUL))
    model = Network(artifact, Loader(store, device="cpu", own_learners=[STATEFUL]))
    assert model.keras_model.output_shape == (None, 3)


def test_stages_name_the_functions_of_their_own_settings_only() -> None:
    own = Stage.of("training", "own", "tasks.training:build", {"learner": "mine:network"})
    plain = Stage.of("training", "plain", "tasks.training:build", {"learner": "mk-1"})
    stacking = Stage.of("stacking", "both", "tasks.stacking:build", inputs={"a": own, "b": plain})
    assert attack.own_learners(stacking) == {"own_learners": ["mine:network"]}
    assert attack.own_learners(plain) == {}
    target = attack.VictimStages("own", own, plain, is_network=True)
    stage = attack.stage(StudySettings(), RunOptions(device="cpu"), "noise", target, plain)
    assert '"own_learners":["mine:network"]' in stage.config


def test_an_ensemble_of_itself_is_damaged(tmp_path: Path) -> None:
    maker = Maker(Store(tmp_path))
    forged = stacking(maker, "stacked", 15)
    members = {"members": [{"name": "itself"}], "n_folds": 1}
    oof = maker.publish("out_of_fold", "oof", {"members": members}, inputs={"itself/refit": forged})
    result = {**forged.json("result"), "classes": ["a", "b"], "chosen": CHOSEN, "methods": [CHOSEN]}
    stacked = maker.publish("stacking", "stacked", {"result": result}, inputs={"out_of_fold": oof})
    with pytest.raises(ArtifactDamaged, match="expected"):
        AttackedModel(stacked, Loader(maker.store, device="cpu"))


CHOSEN = {"method": "average", "by": "refit", "temperature": 1.0, "cross_validated": 5}


def _only(store: Store) -> Artifact:
    [manifest] = store.manifests()
    artifact = store.find(manifest["stage"], manifest["key"])
    assert artifact is not None
    return artifact
