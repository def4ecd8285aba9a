"""Shared by the benchmarks: real images, one child process per measurement, the machine's name."""

import argparse
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that a benchmark runs from anywhere, installed or not

SEED = 17


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="the archive 17flowers.tgz, or a folder")
    parser.add_argument("--weights-dir", required=True, type=Path, help="extractor weights")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each way")
    return parser


@dataclass(frozen=True)
class Data:
    """Images at 128 pixels, their labels, and the report's split."""

    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray


def load(dataset: str) -> Data:
    """Return the images of a data set with the report's split of the study's own seed."""
    from flowers17.data.images import image_set
    from flowers17.data.source import source_from
    from flowers17.data.splits import report_split
    from flowers17.seeds import derived_seed

    found = image_set(source_from(dataset), size=128)
    split = report_split(
        found.labels, validation_fraction=0.25, seed=derived_seed(SEED, "split", "report")
    )
    return Data(found.images, found.labels, split.train, split.validation)


@dataclass
class Timer:
    """Seconds of named steps."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step, in seconds of the wall clock."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Measurement:
    """What one child process did: seconds a step, peak memory, and what it returned."""

    seconds: dict[str, float]
    peak_gib: float
    value: Any

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())


def measured(function: Callable[..., Any], *given: Any) -> Measurement:
    """Run `function(timer, *given)` in a fresh process, so that peak memory is its own.

    Only the timer's steps count: the start of Python and imports made before them do not.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_child, (function, given))


def _child(function: Callable[..., Any], given: Sequence[Any]) -> Measurement:
    timer = Timer()
    value = function(timer, *given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Measurement(timer.seconds, peak, value)


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def print_machine() -> None:
    """Print processor, cores, memory, load and versions."""
    names = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    processor = names[0].split(":", 1)[1].strip() if names else platform.processor()
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"machine: {processor}, {os.cpu_count()} cores, {gib:.0f} GiB, {platform.system()}")
    print(f"load before: {os.getloadavg()[0]:.1f} (a shared machine shows in both ways)")
    packages = ("tensorflow", "tensorflow-cpu", "keras", "scikit-learn", "numpy", "scipy")
    versions = [f"{one} {version(one)}" for one in packages if _installed(one)]
    print(f"Python {platform.python_version()}, {', '.join(versions)}")


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
