"""Stages built on a Ray cluster of two nodes: the same bytes, whatever is killed meanwhile."""

import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flowers17.artifacts import Store
from flowers17.cluster import Cluster, ClusterUnfit, connected
from flowers17.config import RunOptions
from flowers17.errors import InvalidInput, StageFailed
from flowers17.isolation import ProcessEnded
from flowers17.request import request_from
from flowers17.shared.store import CACHE_VARIABLE, existing_store
from flowers17.stages import Outcome, Stage
from tasks.engine import VIEW
from tests.support.object_storage import ObjectStorage, object_storage
from tests.support.processes import eventually, free_port, kill
from tests.support.ray_cluster import GPUS, RayNodes, holder, parent_of, ray_nodes, raylet_of
from tests.support.stores import content, unfinished
from tests.support.toy import number
from tests.support.toy_flow import Run, run
from tests.support.toy_processes import forked, is_gone

pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.usefixtures("api")]

logger = logging.getLogger("tests.ray")
EPOCHS = 32  # enough that a kill comes before the end, though epochs are told of late
SETTINGS = (
    "dataset.n_classes=3",
    "dataset.images_per_class=8",
    "dataset.image_size=32",
    "learners.definitions=[{name: tiny, blocks: [[4], [8]], dense: 16}]",
    "learners.plain=[tiny]",
    "learners.augmented=[]",
    f"learners.recipe.epochs={EPOCHS}",
    "learners.recipe.batch_size=8",
    "learners.precision=float32",
    "learners.best=[]",
)
TRAINED = "tiny, report split"
TOY = """
def build(job):
    job.save_json("total", {total})
    return {{}}
"""


def _training(store: Path | str) -> list[Stage]:
    """Return the stage of a small training."""
    from flows.learners import parts

    request = request_from(SETTINGS, store=store, device="cpu")
    return [stage for stage in parts(request.settings, request.options) if stage.name == "training"]


def _bytes(place: Path | str) -> dict[str, dict[str, bytes]]:
    """Return the files of trainings by label, without manifests, which hold times."""
    store = existing_store(place)
    trainings = [manifest for manifest in store.manifests() if manifest["stage"] == "training"]
    return {
        manifest["label"]: {
            name: data
            for name, data in content(store.local_folder("training", manifest["key"])).items()
            if name != "manifest.json"
        }
        for manifest in trainings
    }


def _silent(done: int, total: int, unit: str, history: Any = None) -> None:
    pass


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(scope="module")
def other_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the second node imports from first: there `made_toy` is another."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "made_toy.py").write_text(TOY.format(total=2))
    return folder


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    with object_storage(tmp_path_factory.mktemp("storage")) as storage:
        storage.variables["FLOWERS17_LEASE_S"] = "10"  # longer than a loaded machine lets one wait
        yield storage


@pytest.fixture(scope="module")
def nodes(other_code: Path, storage: ObjectStorage) -> Iterator[RayNodes]:
    """A head with two processors, and a node with four and two GPUs that are made up."""
    with ray_nodes(storage.variables) as nodes:
        nodes.added(n_cpus=4, n_gpus=GPUS, first_on_path=other_code)
        yield nodes


@pytest.fixture
def on_ray(nodes: RayNodes) -> dict[str, Any]:
    """The options of a run on the cluster."""
    return {"runner": "ray", "ray_address": nodes.address}


@pytest.fixture(scope="module")
def trained_here(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Path:
    """A store whose training the runner `local` built."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    store = tmp_path_factory.mktemp("here") / "store"
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        assert run(_training(store), store).state.is_completed()
    return store


class TestTrainings:
    @pytest.mark.long  # both are killed in the next one, too, where no folder is shared
    @pytest.mark.parametrize("node_too", [False, True], ids=["process", "process, later node"])
    def test_have_the_bytes_of_those_made_here_though_their_process_or_node_is_killed(
        self,
        store: Path,
        trained_here: Path,
        nodes: RayNodes,
        on_ray: dict[str, Any],
        node_too: bool,
    ) -> None:
        roomy = [nodes.added(n_cpus=5) for _ in range(2 * node_too)]
        disturber = _Disturber(store, roomy, nodes)
        ended = disturber.run(_training(store), store, on_ray)
        assert set(ended.names.values()) == {"Completed"}
        assert disturber.killed_pid
        assert bool(disturber.killed_node) is node_too
        epochs = disturber.epochs
        assert epochs == sorted(epochs)  # it never went back by more than the epoch it was told of
        assert epochs[-1] == EPOCHS
        assert len(epochs) - len(set(epochs)) <= 1 + node_too
        assert _bytes(store) == _bytes(trained_here)
        assert len(_bytes(store)[TRAINED]) > 1
        assert list((store / ".locks").glob("ray-*")) == []
        assert unfinished(Store(store)) == []

    def test_go_on_after_their_process_and_on_another_node_that_shares_no_folder_with_theirs(
        self,
        storage: ObjectStorage,
        tmp_path: Path,
        trained_here: Path,
        nodes: RayNodes,
        on_ray: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        caches = [tmp_path / "nodes" / name for name in ("one", "two")]
        roomy = [nodes.added(n_cpus=5, variables={CACHE_VARIABLE: str(cache)}) for cache in caches]
        here = {**storage.variables, CACHE_VARIABLE: str(tmp_path / "here")}
        for name, value in here.items():
            monkeypatch.setenv(name, value)
        disturber = _Disturber(tmp_path / "nodes", roomy, nodes)
        ended = disturber.run(_training(storage.address), storage.address, on_ray)
        assert set(ended.names.values()) == {"Completed"}
        assert disturber.killed_pid
        assert disturber.killed_node
        assert disturber.epochs[-1] == EPOCHS
        [_] = [cache for cache in caches if list(cache.glob("*/training/*/manifest.json"))]
        assert _bytes(storage.address) == _bytes(trained_here)
        assert len(_bytes(storage.address)[TRAINED]) > 1
        assert not [name for name in storage.names() if name.startswith(".unfinished/")]


class _Disturber:
    """Kills the process of a training, later its node; keeps which epochs it was told of.

    root: a folder above the nodes' stores or caches; roomy: nodes, of which that of the training is
    killed.
    """

    def __init__(self, root: Path, roomy: Sequence[Any], nodes: RayNodes) -> None:
        self.root, self.roomy, self.nodes = root, roomy, nodes
        self.epochs: list[int] = []
        self.killed_pid: int | None = None
        self.killed_node: Any = None

    def run(self, stages: list[Stage], store: Path | str, on_ray: dict[str, Any]) -> Run:
        """Run a flow under this one's eyes; its nodes are gone afterwards."""
        token = VIEW.set(self)
        try:
            return run(stages, store, **on_ray, cpus_per_stage=5 if self.roomy else 4)
        finally:
            VIEW.reset(token)
            for node in self.roomy:
                if node is not self.killed_node:
                    self.nodes.killed(node)

    def started(self, label: str) -> None:
        pass

    def progress(self, label: str, epoch: int, total: int, unit: str) -> None:
        if label != TRAINED or "validation" not in unit:
            return
        self.epochs.append(epoch)
        held = [holder(lock) for lock in self.root.glob("**/.locks/training-*")]
        [pid] = [holder_pid for holder_pid in held if holder_pid] or [None]
        if pid is None or pid == self.killed_pid:  # told before the kill, read after it
            return
        if self.killed_pid is None:
            if epoch >= 3:
                self.killed_pid = pid
                kill(pid)
        elif self.roomy and self.killed_node is None and epoch >= 6:
            raylet = parent_of(parent_of(pid))
            [self.killed_node] = [node for node in self.roomy if raylet_of(node) == raylet]
            os.kill(pid, signal.SIGSTOP)  # it would be at its end before the node is
            self.nodes.killed(self.killed_node)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def ended(self, label: str, ending: str, seconds: float) -> None:
        pass


def _together(spans: Path, value: int, at_once: int, *tags: str) -> Stage:
    """Return a stage that waits for so many of its kind, and notes when and where it was built."""
    spans.mkdir(exist_ok=True)
    return Stage.of(
        "number",
        f"n{value}",
        "tests.support.toy:together",
        {"value": value, "at_once": at_once},
        resources={"spans": str(spans)},
        isolated=True,
        tags=tags,
    )


@pytest.mark.parametrize(
    ("each", "at_once"), [(1.0, GPUS), pytest.param(0.5, 2 * GPUS, marks=pytest.mark.long)]
)
def test_gpus_are_shared_out_by_ray(
    store: Path, tmp_path: Path, on_ray: dict[str, Any], each: float, at_once: int
) -> None:
    spans, alone = tmp_path / "spans", tmp_path / "alone"
    n = max(at_once, GPUS + 1)
    stages = [_together(spans, value, at_once, "training", "gpu") for value in range(n)]
    stages.append(_together(alone, n, 1, "training"))
    assert run(stages, store, **on_ray, gpus_per_training=each).state.is_completed()
    spans_read = [json.loads(path.read_text()) for path in spans.glob("*.json")]
    most = max(
        sum(begin <= moment < end for begin, end, _ in spans_read) for moment, _, _ in spans_read
    )
    assert (len(spans_read), most) == (n, at_once)
    assert {gpu for _, _, gpu in spans_read} == {str(gpu) for gpu in range(GPUS)}
    [lone_span] = alone.glob("*.json")
    assert json.loads(lone_span.read_text())[2] == "-1"


@pytest.fixture
def cluster(store: Path, nodes: RayNodes) -> Iterator[Cluster]:
    """The cluster, as a run on the store sees it."""
    with connected(_options(nodes.address), Store(store)) as cluster:
        yield cluster


def _options(address: str, **changes: Any) -> RunOptions:
    return RunOptions(runner="ray", ray_address=address, **changes)


def _built(cluster: Cluster, store: Path, stage: Stage) -> Outcome:
    return cluster.ensure(stage, {}, Store(store), progress=_silent, logger=logger)


class TestErrors:
    def test_of_a_build_keep_type_message_and_traceback(
        self, cluster: Cluster, store: Path
    ) -> None:
        stage = number("a", 4, config={"problem": "invalid"}, isolated=True)
        with pytest.raises(InvalidInput, match="expected a flower, got a stone") as caught:
            _built(cluster, store, stage)
        assert "tests/support/toy.py" in caught.value.__notes__[0]

    def test_tell_that_a_build_took_too_long_and_it_is_not_tried_again(
        self, cluster: Cluster, store: Path, tmp_path: Path
    ) -> None:
        calls = tmp_path / "calls"
        stage = number(
            "a", 4, config={"seconds": 600}, resources={"calls": str(calls)}, timeout_s=5.0
        )
        with pytest.raises(StageFailed, match="expected to end within 5 s; it was stopped"):
            _built(cluster, store, stage)
        tries = calls.read_text() if calls.exists() else ""  # where a process begins slowly, none
        assert tries in ("", "4\n")

    def test_tell_that_every_try_was_lost(
        self, cluster: Cluster, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("flowers17.cluster.TRIES", 2)
        calls = tmp_path / "calls"
        stage = number("a", 4, config={"problem": "killed"}, resources={"calls": str(calls)})
        with pytest.raises(ProcessEnded, match="stage a: its process ended by SIGKILL"):
            _built(cluster, store, stage)
        assert calls.read_text() == "4\n" * 2

    def test_name_what_differs_on_a_node(
        self,
        store: Path,
        tmp_path: Path,
        on_ray: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "made_toy.py").write_text(TOY.format(total=1))
        monkeypatch.syspath_prepend(tmp_path)
        stage = Stage.of("number", "a", "made_toy:build", isolated=True, optional=True)
        ended = run([stage], store, **on_ray, cpus_per_stage=4)
        assert ended.state.is_failed()  # though the stage is one that a study can do without
        assert "expected the code and libraries of the run, got others (code made_toy ch" in str(
            ended.failure
        )
        assert not (store / "number").exists()

    def test_name_what_is_missing_on_a_node(
        self, cluster: Cluster, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "only_here.py").write_text(TOY.format(total=1))
        monkeypatch.syspath_prepend(tmp_path)
        stage = Stage.of("number", "a", "only_here:build", isolated=True)
        with pytest.raises(
            ClusterUnfit, match=r"checkout and the libraries of the run, got .*only"
        ):
            _built(cluster, store, stage)

    def test_tell_a_node_that_does_not_see_the_runs_store_or_its_locks(
        self, nodes: RayNodes, cluster: Cluster, store: Path
    ) -> None:
        unseen = Cluster(_options(nodes.address), "ray-unseen")
        with pytest.raises(ClusterUnfit, match=f"expected the run's store at {store}, found an"):
            _built(unseen, store, number("a", 4))
        (store / ".locks" / "ray-unseen").touch()
        with pytest.raises(ClusterUnfit, match=r"holds a lock in .*, found it free; mount"):
            _built(unseen, store, number("a", 4))

    def test_tell_that_no_node_has_room(
        self, nodes: RayNodes, cluster: Cluster, store: Path
    ) -> None:
        greedy = Cluster(_options(nodes.address, gpus_per_training=8), cluster.lock)
        with pytest.raises(ClusterUnfit, match=r"a node with 1 CPUs and 8 GPUs, .* 4 and 2"):
            _built(greedy, store, number("a", 4, tags=("gpu",)))

    def test_tell_that_there_is_no_cluster(self, store: Path) -> None:
        address = f"127.0.0.1:{free_port()}"
        ended = run([number("a", 1)], store, runner="ray", ray_address=address)
        assert f"ray_address: expected a Ray cluster at {address}" in str(ended.failure)
        assert isinstance(ended.failure, ClusterUnfit)

    def test_tell_that_a_client_gets_no_progress(self, store: Path) -> None:
        with (
            pytest.raises(ClusterUnfit, match="expected auto or host:port, got ray://head:10001"),
            connected(_options("ray://head:10001"), Store(store)),
        ):
            pass

    def test_tell_that_ray_is_not_installed(
        self, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "ray", None)
        with (
            pytest.raises(ClusterUnfit, match=r"expected the package `ray`, found none; install"),
            connected(_options("auto"), Store(store)),
        ):
            pass


def test_builds_end_with_the_runs_that_want_them(tmp_path: Path, nodes: RayNodes, api: str) -> None:
    signals = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    runs = [(tmp_path / sign.name, tmp_path / f"{sign.name} calls") for sign in signals]
    words = [("endless_on_ray", str(store), str(calls), nodes.address) for store, calls in runs]
    with forked(*words, env={"PREFECT_API_URL": api}) as (_, pids):
        for sign, (store, calls), pid in zip(signals, runs, pids, strict=True):
            assert eventually(calls.exists), "it never began"
            [lock] = (store / ".locks").glob("number-*")
            builder = holder(lock)
            assert builder
            os.kill(pid, sign)
            assert is_gone(pid)
            assert is_gone(builder)
            assert holder(lock) is None
