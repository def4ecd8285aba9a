"""Time and disk that a stage would take, told from what like stages took.

Durations and sizes stand in manifests. They are scaled by what a stage's cost grows with: the
bytes that it reads, and settings such as epochs. Where a store has no precedent, a training's
operations and the rate of this machine's matrix products serve.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from pydantic import ValidationError

from flowers17.ancestry import Manifest
from flowers17.config import LearnerDefinition
from flowers17.precedents import Precedents
from flowers17.stages import Stage, machine

# Settings that a stage's time grows with, to a power; of several of one name the least counts,
# and of a list its length.
_POWERS = {
    "size": 2,
    "images_per_class": 1,
    "n_classes": 1,
    "epochs": 1,
    "n_estimators": 1,
    "population": 1,
    "generations": 1,
    "n_images": 1,
    "n_targets": 1,
    "pgd_steps": 1,
    "gamma": 1,
    "budgets": 1,
}
_OVERHEAD_S = 0.15  # of the orchestration, a stage
_START_S = 8.0  # of a run: its server and imports
_TRAINING_SHARE = 0.5  # of the matrix products' rate that trainings reach


@dataclass(frozen=True)
class Estimate:
    """What a stage is expected to take.

    seconds, n_bytes: None where nothing tells. basis: what they rest on, in words.
    """

    seconds: float | None
    n_bytes: float | None
    basis: str


def estimate(
    stage: Stage,
    precedent: Manifest | None,
    inputs: Mapping[str, float | None],
    precedents: Precedents,
) -> Estimate:
    """Estimate of a stage that would be built.

    precedent: the artifact most like its own; None where there is none of its stage. inputs: the
    bytes of each of its inputs, as stored or estimated.
    """
    config = json.loads(stage.config)
    if precedent is None:
        return _from_operations(stage, config, inputs)
    before = precedent["material"]["config"]
    ratio = _read_ratio(inputs, precedent, precedents)
    size = n_bytes(precedent) * ratio * _ratio(before, config, ("size", *_DRAWN))
    seconds = precedent["duration_s"] * ratio * _ratio(before, config, _POWERS)
    seconds *= _operations(config) / _operations(before)
    basis = "measured" if precedent["label"] == stage.label else f"like {precedent['label']}"
    if not math.isclose(seconds, precedent["duration_s"]):
        basis += f", {precedent['duration_s']:.3g} s scaled"
    if precedent["machine"] != machine():
        basis += ", on another machine"
    return Estimate(seconds, size, basis)


_DRAWN = ("images_per_class", "n_classes")


def n_bytes(manifest: Manifest) -> int:
    """Bytes of an artifact's files."""
    return sum(int(file["size"]) for file in manifest["files"].values())


def _read_ratio(
    inputs: Mapping[str, float | None], precedent: Manifest, precedents: Precedents
) -> float:
    """Bytes read now over those read then: of the images where a stage reads them, else of all."""
    names = [name for name in inputs if name == "images"] or list(inputs)
    now, then = 0.0, 0.0
    for name in names:
        reference = precedent["inputs"].get(name)
        source = precedents.by_id.get((reference["stage"], reference["key"])) if reference else None
        size = inputs[name]
        if source and size:
            now, then = now + size, then + n_bytes(source)
    return now / then if then else 1.0


def _ratio(before: Any, now: Any, names: Sequence[str] | Mapping[str, int]) -> float:
    """Product of the settings' ratios, each to its power."""
    old, new = _costs(before), _costs(now)
    shared = [name for name in names if name in old and name in new]
    return math.prod((new[name] / old[name]) ** _POWERS[name] for name in shared)


def _costs(config: Any) -> dict[str, float]:
    """The settings that cost time, by name, wherever they stand in a configuration."""
    costs: dict[str, float] = {}
    if isinstance(config, Mapping):
        for name, value in config.items():
            number = len(value) if isinstance(value, list) else value
            is_cost = name in _POWERS and isinstance(number, int | float) and number > 0
            below = {name: float(number)} if is_cost else _costs(value)
            costs |= {key: min(cost, costs.get(key, cost)) for key, cost in below.items()}
    elif isinstance(config, list):
        for part in config:
            costs |= _costs(part)
    return costs


def _operations(config: Mapping[str, Any]) -> float:
    """Multiplications of a network's convolutions, a pixel of its input; 1 for other stages."""
    try:  # what a manifest of another make holds may be anything
        definition = LearnerDefinition.model_validate(config.get("definition"))
    except ValidationError:
        return 1.0
    total, channels, area = 0.0, 3, 1.0
    for block in definition.blocks:
        for filters in block:
            total += 9 * channels * filters * area
            channels = filters
        area /= 4
    return total


def _from_operations(
    stage: Stage, config: Mapping[str, Any], inputs: Mapping[str, float | None]
) -> Estimate:
    pixels = (inputs.get("images") or 0) / 3
    if not (config.get("definition") and config.get("recipe") and pixels):
        return Estimate(None, None, "nothing like it was measured here")
    operations = 6 * _operations(config) * pixels * config["recipe"]["epochs"]
    rate = matrix_rate()
    basis = f"{operations:.2g} operations, at {_TRAINING_SHARE:.0%} of {rate / 1e9:.0f} G a second"
    return Estimate(operations / (rate * _TRAINING_SHARE), None, basis)


@cache
def matrix_rate() -> float:
    """This machine's floating-point operations a second in a product of float32 matrices."""
    side = 1024
    matrix = np.ones((side, side), np.float32)
    seconds = []
    for _ in range(4):  # the first starts the threads
        started = time.perf_counter()
        np.matmul(matrix, matrix)
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)


def run_seconds(estimates: Sequence[Estimate], n_workers: int = 1) -> float:
    """Seconds of a run that builds what the estimates are of, so many stages at a time."""
    durations = [known.seconds for known in estimates if known.seconds is not None]
    if not durations:
        return 0.0
    busy = sum(duration + _OVERHEAD_S for duration in durations)
    return _START_S + max(busy / n_workers, *durations)


def cost_sentence(estimates: Sequence[Estimate], n_workers: int = 1) -> str:
    """Time and disk of a run, and what its stages' estimates rest on, in words."""
    if not estimates:
        return "nothing to build"
    unknown = [cost for cost in estimates if cost.seconds is None]
    if len(unknown) == len(estimates):
        return "no time is known: nothing like it was measured on this store"
    size = sum(cost.n_bytes or 0 for cost in estimates)
    words = (
        f"about {rough_duration(run_seconds(estimates, n_workers))} and {size_text(size)} of disk"
    )
    n_measured = sum(cost.basis == "measured" for cost in estimates)
    rest = len(estimates) - n_measured - len(unknown)
    parts = [f"{n_measured} measured here"] * bool(n_measured)
    parts += [f"{rest} scaled from what is like them"] * bool(rest)
    parts += [f"{len(unknown)} unknown and not counted"] * bool(unknown)
    return f"{words} (stages: {', '.join(parts)})"


def rough_duration(seconds: float) -> str:
    """A duration in words, of about two digits.

    >>> [rough_duration(value) for value in (8.4, 190, 7000)]
    ['8 s', '3 min', '1.9 h']
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 5970:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def size_text(n_bytes: float) -> str:
    """A size in words.

    >>> size_text(1234), size_text(5.6e9)
    ('1.23 kB', '5.6 GB')
    """
    units = ["bytes", "kB", "MB", "GB", "TB"]
    power = min(int(math.log10(max(n_bytes, 1)) // 3), len(units) - 1)
    return f"{n_bytes / 1000**power:.3g} {units[power]}"
