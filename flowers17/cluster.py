"""Building stages on the nodes of an existing Ray cluster.

The flow and its tasks stay where they are; Ray only finds a node with room for a stage. There a
worker of Ray's has it built in a process of its own, as `isolation` does here, and streams back
its messages. So a node needs our code, the libraries and the store, and nothing of
Prefect's. A stage that loses its process or node is built again, from its checkpoint in the store.
"""

import importlib.util
import logging
import os
import signal
import socket
import threading
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any, NamedTuple

from flowers17 import isolation
from flowers17.artifacts import Store
from flowers17.config import RunOptions
from flowers17.environment import keras_backend
from flowers17.errors import StageFailed
from flowers17.materials import differences
from flowers17.shared.store import open_store
from flowers17.stages import Outcome, Progress, References, Stage, key_material

TRIES = 4
ANSWER_S = 10.0
MAX_DIFFERENCES = 4
_connected_to = ""


class ClusterUnfit(StageFailed):
    """There is no such cluster, or one of its nodes could not make the very same artifact."""


class _BuildRequest(NamedTuple):
    """A stage for a node to build. material: of its key; lock: of the store, held by the flow."""

    stage: Stage
    inputs: References
    store: str
    lock: str
    material: Mapping[str, Any]
    variables: Mapping[str, str]


@contextmanager
def connected(options: RunOptions, store: Store) -> Iterator["Cluster"]:
    """Yield the cluster at `options.ray_address`; builds still running at the end are stopped.

    This process stays connected, for its next flow. Raises ClusterUnfit if Ray is not installed or
    no cluster answers.
    """
    _connect(options.ray_address)
    name = uuid.uuid4().hex
    lock = f"ray-{name}"
    cluster = Cluster(options, lock)
    try:
        with store.lock("ray", name):
            try:
                yield cluster
            finally:
                cluster.stop()
    finally:
        with suppress(FileNotFoundError):
            (store.own_folder(".locks") / lock).unlink()


class Cluster:
    """The cluster that this process is connected to. lock: of the store, held meanwhile."""

    def __init__(self, options: RunOptions, lock: str) -> None:
        self.options, self.lock = options, lock
        self._running: dict[str, Any] = {}
        self._stopped = False
        self._changed = threading.Condition()

    def ensure(
        self,
        stage: Stage,
        inputs: References,
        store: Store,
        *,
        progress: Progress,
        logger: logging.Logger | logging.LoggerAdapter,
    ) -> Outcome:
        """Return the stage's artifact as `ensure_isolated` does, built on a node with room.

        Raises what the build raises, ProcessEnded if it is lost TRIES times, and ClusterUnfit.
        """
        self._check_room(stage)
        variables = {"KERAS_BACKEND": keras_backend()}  # a node may have another keras.json
        if not self._required_resources(stage)["GPU"]:  # Ray would leave those of others in sight
            variables["CUDA_VISIBLE_DEVICES"] = "-1"
        material = key_material(stage, inputs)
        request = _BuildRequest(stage, dict(inputs), store.address, self.lock, material, variables)
        n_lost = 0
        while True:
            try:
                with closing(self._messages(request)) as stream:
                    return isolation.outcome_of(stream, progress=progress, logger=logger)
            except isolation.ProcessEnded as problem:
                n_lost += 1
                if n_lost == TRIES or self._stopped:
                    raise
                logger.warning("tried again (%d of %d): %s", n_lost, TRIES - 1, problem)

    def stop(self) -> None:
        """Cancel all builds, and wait until their callers have returned."""
        import ray

        with self._changed:
            self._stopped = True
            for generator in self._running.values():
                ray.cancel(generator, force=True)  # one that has ended is left alone
            self._changed.wait_for(lambda: not self._running, ANSWER_S)

    def _required_resources(self, stage: Stage) -> dict[str, float]:
        n_gpus = self.options.gpus_per_training if "gpu" in stage.tags else 0.0
        return {"CPU": self.options.cpus_per_stage, "GPU": n_gpus}

    def _check_room(self, stage: Stage) -> None:
        import ray

        required = self._required_resources(stage)
        nodes = [resources["Resources"] for resources in ray.nodes() if resources["Alive"]]
        if not any(
            all(resources.get(kind, 0) >= n for kind, n in required.items()) for resources in nodes
        ):
            raise ClusterUnfit(
                f"stage {stage.label}: expected a node with {required['CPU']} CPUs and "
                f"{required['GPU']:g} GPUs, the {len(nodes)} nodes of the cluster have "
                + " / ".join(
                    f"{resources.get('CPU', 0):g} and {resources.get('GPU', 0):g}"
                    for resources in nodes
                )
                + "; add one (`ray start --address=…`), or change --cpus-per-stage or "
                "--gpus-per-training"
            )

    def _messages(self, request: _BuildRequest) -> Generator[isolation.Message, None, None]:
        """Yield the messages of a node that builds the stage; closing it ends the build."""
        import ray

        required = self._required_resources(request.stage)
        # Tried again here and not by Ray, which would leave out as many messages as came before.
        build = ray.remote(max_calls=1, max_retries=0)(_build_messages).options(
            name=request.stage.title, num_cpus=required["CPU"], num_gpus=required["GPU"]
        )
        with self._changed:
            if self._stopped:
                raise isolation.ProcessInterrupted(isolation.interruption(request.stage))
            generator: Any = build.remote(request)
            self._running[request.stage.title] = generator
        try:
            for reference in generator:
                yield ray.get(reference)
        except ray.exceptions.RayTaskError as problem:
            raise ClusterUnfit(
                f"stage {request.stage.label}: a node could not begin ({problem.cause!r}); "
                "expected the same checkout and libraries there"
            ) from problem
        except ray.exceptions.RayError as problem:
            raise isolation.ProcessEnded(
                f"stage {request.stage.label}: its node or Ray's worker was lost "
                f"({type(problem).__name__}). Run the same command again: what is finished is kept"
            ) from problem
        finally:
            ray.cancel(generator, force=True)
            with self._changed:
                del self._running[request.stage.title]
                self._changed.notify_all()


def _connect(address: str) -> None:
    global _connected_to
    if importlib.util.find_spec("ray") is None:
        raise ClusterUnfit(
            "runner: expected the package `ray`, found none; install it with "
            "`make setup EXTRAS=ray`, or choose another runner"
        )
    # Ray prints to the standard output when a worker dies, whatever its settings for logs say.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    import ray

    address = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    if "://" in address:
        raise ClusterUnfit(
            f"ray_address: expected auto or host:port, got {address}; a client of Ray's gets no "
            "progress, so make this machine a node: `ray start --address=host:port`"
        )
    if ray.is_initialized():
        if address == _connected_to:
            return
        ray.shutdown()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if address != "auto":  # Ray itself would try for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
        ray.init(address, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as problem:
        raise ClusterUnfit(
            f"ray_address: expected a Ray cluster at {address} that this machine belongs to, with "
            f"its versions of Ray and Python; got: {problem}; see `ray status`, or start one with "
            "`ray start --head`"
        ) from problem
    else:
        _connected_to = address
    finally:  # Ray takes it, and Prefect would no longer be told that the run is cancelled
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _build_messages(request: _BuildRequest) -> Iterator[isolation.Message]:
    """Yield the messages of a build, on the node that builds the stage."""
    os.environ.update(request.variables)
    try:
        _check_node(request)
        store = open_store(request.store)
        # Ray's worker has this one stage built, and then ends.
        stream = isolation.messages(request.stage, request.inputs, store, forks=False)
        with closing(stream):
            yield from stream
    except StageFailed as problem:
        yield "error", problem


def _check_node(request: _BuildRequest) -> None:
    """Raise ClusterUnfit if this node has another store, or would make another artifact."""
    from ray.util import get_node_ip_address

    node, store = f"node {get_node_ip_address()}", open_store(request.store)
    if request.store == str(store.root):  # a folder, not object storage, which is one everywhere
        if not (store.root / ".locks" / request.lock).exists():
            raise ClusterUnfit(
                f"{node}: expected the run's store at {store.root}, found another or none; mount "
                "the same storage there on every node"
            )
        if not store.is_locked(request.lock):
            raise ClusterUnfit(
                f"{node}: expected to see that the run holds a lock in {store.root}, found it "
                "free; mount the storage so that locks hold between hosts (docs/team.md)"
            )
    try:
        here = key_material(request.stage, request.inputs)
    except ImportError as problem:
        raise ClusterUnfit(
            f"{node}: expected the checkout and the libraries of the run, got {problem}"
        ) from problem
    if here != request.material:
        changes = differences(request.material, here)
        raise ClusterUnfit(
            f"{node}: expected the code and libraries of the run, got others "
            f"({'; '.join(changes[:MAX_DIFFERENCES])}); bring it to the same checkout and packages"
        )
