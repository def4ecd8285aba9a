"""Choice among Keras's networks: a small, a middle and a large one that fit a time.

How long a network takes is told from what `flowers17 backbones --measure` measured on this machine,
else from its operations. Nothing is measured here, so that a plan says the same twice.
"""

import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median

from flowers17.backbones.facts import known_facts
from flowers17.errors import InvalidSettings

N_IMAGES = 1000
# Of the families that Keras took in last, from 2019 to 2022.
CURRENT = (
    *("mobilenetv3small", "mobilenetv3large"),
    *(f"efficientnetv2{size}" for size in ("b0", "b1", "b2", "b3", "s", "m", "l")),
    *(f"convnext{size}" for size in ("tiny", "small", "base", "large", "xlarge")),
)
_SHARES = {"small": 0.08, "middle": 0.24, "large": 0.68}  # of the time
_OPERATIONS_PER_CORE = 10e9  # a second, at which few processors of today are slower


def speeds_file() -> Path:
    """File of the speeds that were measured by this user, on whichever machines."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "flowers17" / "backbones.json"


def measured_speeds() -> dict[str, float]:
    """Images a second at the native size by network, as measured on this machine before."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        speeds = json.loads(speeds_file().read_text())[platform.node()]
        return {name: float(speed) for name, speed in speeds.items() if float(speed) > 0}
    return {}


def keep_speeds(speeds: Mapping[str, float]) -> None:
    """Add measured speeds to the file, in place of older ones."""
    path, machines = speeds_file(), {}
    with suppress(OSError, ValueError):
        machines = json.loads(path.read_text())
    machines[platform.node()] = {**measured_speeds(), **speeds}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(machines, indent=1))


def seconds_of(network: str, speeds: Mapping[str, float]) -> float:
    """Seconds that one of Keras's networks takes for N_IMAGES of its native size."""
    if network in speeds:
        return N_IMAGES / speeds[network]
    facts = known_facts()
    rates = [facts[name].n_operations * speed for name, speed in speeds.items() if name in facts]
    rate = median(rates) if rates else _OPERATIONS_PER_CORE * (os.cpu_count() or 1)
    return N_IMAGES * facts[network].n_operations / rate


def chosen_networks(minutes: float) -> tuple[str, str, str]:
    """Small, middle and large network whose features of N_IMAGES together fit a time.

    Each is the one with most operations that fits its share of the time.
    Raises InvalidSettings if no three fit.
    """
    speeds = measured_speeds()
    free = sorted(CURRENT, key=lambda name: known_facts()[name].n_operations)
    chosen: list[str] = []
    for place, share in _SHARES.items():
        bound, n_left = 60 * minutes * share, len(_SHARES) - len(chosen) - 1
        fitting = [name for name in free if seconds_of(name, speeds) <= bound]
        fitting = fitting[: len(free) - n_left]
        if not fitting:
            least = seconds_of(free[0], speeds) / share / 60
            raise InvalidSettings(
                f"features.minutes: expected at least {least:.2g} for a {place} network on "
                f"{N_IMAGES:,} images with features.table: auto, got {minutes:g}; give more time, "
                "or name the networks"
            )
        chosen.append(fitting[-1])
        free = free[free.index(fitting[-1]) + 1 :]
    return chosen[0], chosen[1], chosen[2]
