"""Time and disk that a stage would take, told from what like stages took.

Durations and sizes stand in manifests. They are scaled by what a stage's cost grows with: the
bytes that it reads, and settings such as epochs. Where a store has no precedent, a training's
operations and the rate of this machine's matrix products serve.
"""

import json
import math
import timeit
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from pydantic import ValidationError

from flowers17.config import LearnerDefinition, RunOptions
from flowers17.environment import machine
from flowers17.files import yaml_beside
from flowers17.manifests import Manifest
from flowers17.materials import Precedents
from flowers17.stages import Stage

_DESCRIBED = yaml_beside(__file__, "estimates.yaml")
_POWERS: Mapping[str, int] = _DESCRIBED["powers"]
_OVERHEAD_S = 0.15  # of the orchestration, a stage that is built
_REUSE_S = 0.07  # of one that is in the store
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
    sources = {
        name: source
        for name, reference in precedent["inputs"].items()
        if reference and (source := precedents.by_id.get((reference["stage"], reference["key"])))
    }
    if stage.name in _DESCRIBED["reports"]:
        before, config, sources = {}, {}, {}
    ratio = _reading_ratio(stage, config, inputs, sources)
    size = (
        n_bytes(precedent)
        * ratio
        * _ratio(before, config, ("size", "images_per_class", "n_classes"))
    )
    seconds = precedent["duration_s"] * ratio * _ratio(before, config, _POWERS)
    seconds *= _operations(config) / _operations(before)
    # Fits on the report's split, a clean one and the repeats; what all share takes as long as four.
    seconds *= _input_ratio(stage, sources, "splits", "n_repeats", 6.0)
    basis = "measured" if precedent["label"] == stage.label else f"like {precedent['label']}"
    if not math.isclose(seconds, precedent["duration_s"]):
        basis += f", {precedent['duration_s']:.3g} s scaled"
    if precedent["machine"] != machine():
        basis += ", on another machine"
    return Estimate(seconds, size, basis)


def n_bytes(manifest: Manifest) -> int:
    """Bytes of an artifact's files."""
    return sum(int(file["size"]) for file in manifest["files"].values())


def _reading_ratio(
    stage: Stage,
    config: Mapping[str, Any],
    inputs: Mapping[str, float | None],
    sources: Mapping[str, Manifest],
) -> float:
    """How much more a stage reads than its precedent did: of its images, else of all its data.

    Of a sample, whose number of images is a setting, the images' area counts. sources: what the
    precedent read.
    """
    area = _input_ratio(stage, sources, "images", "size") ** 2
    if "n_images" in _costs(config):
        return area**2 if config.get("attack") == "jsma" else area  # pixel by pixel
    names = [name for name in inputs if name == "images"] or [
        name
        for name in inputs
        if name in sources and sources[name]["stage"] not in _DESCRIBED["models"]
    ]
    now, then = 0.0, 0.0
    for name in names:
        size = inputs[name]
        if name in sources and size:
            now, then = now + size, then + n_bytes(sources[name])
    return now / then if then else 1.0


def _input_ratio(
    stage: Stage, sources: Mapping[str, Manifest], name: str, setting: str, offset: float = 0.0
) -> float:
    """Ratio of a setting of an input to what it was of the precedent's; 1 if either lacks it."""
    if name not in stage.inputs or name not in sources:
        return 1.0
    now = json.loads(stage.inputs[name].config).get(setting)
    then = sources[name]["material"]["config"].get(setting)
    return float(now + offset) / (then + offset) if now and then else 1.0


def _ratio(before: Any, now: Any, names: Sequence[str] | Mapping[str, int]) -> float:
    """Product of the settings' ratios, each to its power."""
    old, new = _costs(before), _costs(now)
    shared = [name for name in names if name in old and name in new]
    return math.prod((new[name] / old[name]) ** _POWERS[name] for name in shared)


def _costs(config: Any, group: str = "") -> dict[str, float]:
    """The settings that cost time, by name, wherever they stand in a configuration."""
    costs: dict[str, float] = {}
    parts: Iterable[tuple[str, Any]] = config.items() if isinstance(config, Mapping) else ()
    if isinstance(config, list):
        parts = [(group, part) for part in config]
    for name, value in parts:
        number = len(value) if isinstance(value, list) else value
        key = f"{group}.{name}" if f"{group}.{name}" in _POWERS else name
        is_cost = key in _POWERS and isinstance(number, int | float) and number > 0
        below = {key: float(number)} if is_cost else _costs(value, name)
        costs |= {key: min(cost, costs.get(key, cost)) for key, cost in below.items()}
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
    # The first product starts the threads.
    return 2 * side**3 / min(timeit.repeat(lambda: matrix @ matrix, number=1, repeat=4))


def run_seconds(estimates: Sequence[Estimate], options: RunOptions, *, n_reused: int = 0) -> float:
    """Seconds of a run that builds what the estimates are of, and reuses so many other stages."""
    n_workers = options.workers if options.runner == "processes" else 1
    durations = [known.seconds for known in estimates if known.seconds is not None]
    if not durations:
        return 0.0
    busy = sum(duration + _OVERHEAD_S for duration in durations)
    return _START_S + _REUSE_S * n_reused + max(busy / n_workers, *durations)


def cost_sentence(estimates: Sequence[Estimate], options: RunOptions, *, n_reused: int = 0) -> str:
    """Time and disk of a run, and what its stages' estimates rest on, in words."""
    if not estimates:
        return "nothing to build"
    unknown = [cost for cost in estimates if cost.seconds is None]
    if len(unknown) == len(estimates):
        return "no estimate: this store holds nothing like it"
    size = sum(cost.n_bytes or 0 for cost in estimates)
    words = f"about {rough_duration(run_seconds(estimates, options, n_reused=n_reused))}"
    words += f" and {size_text(size)} of disk"
    n_measured = sum(cost.basis == "measured" for cost in estimates)
    rest = len(estimates) - n_measured - len(unknown)
    parts = [f"{n_measured} measured here"] * bool(n_measured)
    parts += [f"{rest} scaled from similar ones"] * bool(rest)
    parts += [f"{len(unknown)} unknown, not counted"] * bool(unknown)
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
