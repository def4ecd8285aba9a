"""Shared by the benchmarks: real images, one child process per measurement, the machine's name."""

import argparse
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that a benchmark runs from anywhere, installed or not

SEED = 17
OPTIONS: dict[str, dict[str, Any]] = {
    "dataset": {"required": True, "help": "the archive 17flowers.tgz, or a folder"},
    "weights_dir": {"required": True, "type": Path, "help": "extractor weights"},
    "repeats": {"default": 3, "help": "measurements of each way"},
}


def options_of(
    description: str | None, *common: str, words: tuple[str, str] | None = None, **own: Any
) -> argparse.Namespace:
    """Options of a benchmark from the command line; prints the machine.

    common: names in OPTIONS. words: name and help of what stands without a name, at least once.
    own: arguments of `add_argument` for others; type: the default's.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if words:
        parser.add_argument(words[0], nargs="+", help=words[1])
    for name, values in ({name: OPTIONS[name] for name in common} | own).items():
        default = values.get("default")
        kind = type(default) if isinstance(default, int | float) else str
        parser.add_argument(f"--{name.replace('_', '-')}", **{"type": kind, **values})
    options = parser.parse_args()
    from flowers17.environment import machine

    print("machine:", ", ".join(f"{name} {value}" for name, value in machine().items()))
    print(f"load before: {os.getloadavg()[0]:.1f} (a shared machine shows in both ways)")
    return options


def load(dataset: str) -> SimpleNamespace:
    """Images of a data set at 128 pixels, labels, and the report's split by the study's seed."""
    from flowers17.data.images import image_set
    from flowers17.data.source import source_from
    from flowers17.data.splits import report_split
    from flowers17.seeds import derived_seed

    images, seed = image_set(source_from(dataset), size=128), derived_seed(SEED, "split", "report")
    split = report_split(images.labels, validation_fraction=0.25, seed=seed)
    return SimpleNamespace(**{**vars(split), **vars(images)})


def plain_extractor(name: str, weights_dir: Path) -> tuple[Any, Callable[..., Any]]:
    """Keras's application with its weights, and its preprocessing."""
    from keras import applications

    from flowers17.backbones.facts import known_facts
    from flowers17.transfer.weights import resolve_weights

    facts = known_facts()[name]
    module = getattr(applications, facts.module)
    model = getattr(module, facts.function)(
        include_top=False, weights=None, input_shape=(128, 128, 3)
    )
    model.load_weights(resolve_weights(name, weights_dir).path)  # type: ignore[arg-type]
    return model, module.preprocess_input


def study_extractor(name: Any, weights_dir: Path) -> Any:
    """The project's own extractor."""
    from flowers17.transfer.extractors import build_extractor
    from flowers17.transfer.weights import resolve_weights

    path = resolve_weights(name, weights_dir).path
    return build_extractor(name, input_size=128, weights_path=path, seed=SEED)


@dataclass
class Timer:
    """Seconds of named steps: of the wall clock, and of all cores together."""

    seconds: dict[str, float] = field(default_factory=dict)
    cores: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step; its seconds are added to those of an earlier one of its name."""
        wall, cores = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - wall
        self.cores[name] = self.cores.get(name, 0.0) + time.process_time() - cores


@dataclass
class Measurement(Timer):
    """Measurement of a child process: seconds by step, peak memory, returned value."""

    peak_gib: float = 0.0
    value: Any = None


def medians(measurements: Sequence[Timer]) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds by step, of the wall clock and of all cores together."""
    wall, cores = ([vars(each)[name] for each in measurements] for name in ("seconds", "cores"))
    return pd.DataFrame(wall).median().to_dict(), pd.DataFrame(cores).median().to_dict()


def in_turn(
    workloads: Mapping[str, Callable[[], Any]], repeats: int, n_warm: int = 1
) -> list[Measurement]:
    """Measurements of workloads that take turns, and their values, after rounds that warm up."""
    rounds = [Measurement(value={}) for _ in range(n_warm + repeats)]
    for measurement in rounds:
        for name, workload in workloads.items():
            with measurement.step(name):
                measurement.value[name] = workload()
    return rounds[n_warm:]


def beside_plain(
    sides: Sequence[Callable[..., Any]], extractors: Sequence[str], options: argparse.Namespace
) -> tuple[pd.DataFrame, list[tuple[str, Any, Any]]]:
    """Both sides in turn for each extractor: seconds and memory by step, and returned values.

    sides: `project` and `plain`, called with timer, data set, extractor and weights.
    """
    rows, values = [], []
    for repeat in range(options.repeats):
        for extractor in extractors:
            place = (options.dataset, extractor, options.weights_dir)
            pair = [measured(side, *place) for side in sides]
            values.append((extractor, *(measurement.value for measurement in pair)))
            for side, measurement in zip(sides, pair, strict=True):
                for step, seconds in measurement.seconds.items():
                    row = (repeat, extractor, step, side.__name__, seconds, measurement.peak_gib)
                    rows.append(row)
    columns = ["repeat", "extractor", "step", "side", "seconds", "GiB"]
    return pd.DataFrame(rows, columns=columns), values


def measured(function: Callable[..., Any], *arguments: Any) -> Measurement:
    """Run `function(timer, *arguments)` in a fresh process, so that peak memory is its own.

    Only the timer's steps count; the start of Python and imports before them do not.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_child, (function, arguments))


def _child(function: Callable[..., Any], arguments: Sequence[Any]) -> Measurement:
    timer = Timer()
    value = function(timer, *arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Measurement(timer.seconds, timer.cores, peak, value)
