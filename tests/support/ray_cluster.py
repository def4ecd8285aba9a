"""A real Ray cluster on this machine: each node has its own processes, GPUs are made up."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.processes import ROOT

MEMORY = 80_000_000  # bytes of a node's object store: the least that Ray accepts
GPUS = 2


class RayNodes:
    """A head without GPUs, on which the flow's process is, too, and nodes that come and go."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        from ray.cluster_utils import Cluster

        self._variables = variables
        self._cluster = Cluster()
        self.head = self.added(n_cpus=2)

    @property
    def address(self) -> str:
        """Where the cluster is."""
        return str(self._cluster.address)

    def added(
        self,
        n_cpus: int,
        n_gpus: int = 0,
        first_on_path: Path = ROOT,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """Add a node; its processes look for modules in that folder before ours.

        variables: of the environment, besides those of all nodes.
        """
        path = f"{first_on_path}{os.pathsep}{ROOT}"
        return self._cluster.add_node(
            num_cpus=n_cpus,
            num_gpus=n_gpus,
            object_store_memory=MEMORY,
            include_dashboard=False,
            include_log_monitor=False,
            no_monitor=True,  # nothing scales it
            env_vars={**self._variables, **variables, "PYTHONPATH": path},
        )

    def killed(self, node: Any) -> None:
        """Kill all that makes up a node, at once."""
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """End every node."""
        self._cluster.shutdown()


@contextmanager
def ray_nodes(variables: Mapping[str, str]) -> Iterator[RayNodes]:
    """Start a head; whatever is left of the cluster afterwards is ended and removed.

    variables: of the environment of all nodes.
    """
    folder = tempfile.mkdtemp(prefix="ray-")  # a short name, since sockets lie in it
    before = dict(os.environ)
    # Workers at Ray's niceness of 15 get nothing of a machine that other tests keep busy.
    chosen = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": folder, "RAY_worker_niceness": "0"}
    # A killed node refuses a connection; one that is slow to answer has ten seconds for each.
    chosen["RAY_health_check_period_ms"] = "500"
    # No worker that no build has asked for.
    chosen |= {"RAY_prestart_worker_first_driver": "0", "RAY_enable_worker_prestart": "0"}
    os.environ |= chosen
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # a training in this process may have hidden all
    import ray

    nodes = RayNodes(variables)
    try:
        yield nodes
    finally:
        ray.shutdown()
        nodes.close()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def raylet_of(node: Any) -> int:
    """Return the process that is the parent of a node's workers."""
    return int(node.all_processes["raylet"][0].process.pid)


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[1])


def holder(lock: Path) -> int | None:
    """Return the process that holds a file's kernel lock, if one does."""
    inode = lock.stat().st_ino
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    pids = [
        int(fields[4])
        for fields in lines
        if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}")
    ]
    return pids[0] if pids else None
