"""Profiles: named presets over the settings, each a file of what differs from their defaults.

The first lines of `config/profiles/<name>.yaml` say what the profile runs, its command, how long
that takes and which accuracy to expect, as far as it was measured, and on which machine. Commands
and intervals of these figures are in `docs/results.md` and `benchmarks/README.md`.
"""

from pathlib import Path
from typing import Any, get_args

import yaml

from flowers17.config import ProfileName, StudySettings

FOLDER = Path(__file__).parent / "config" / "profiles"


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Values of `base` with those of `over` in their places, group by group; lists are replaced."""
    for name, value in over.items():
        nested = isinstance(value, dict) and isinstance(base.get(name), dict)
        base[name] = merged(base[name], value) if nested else value
    return base


def _profile(name: str) -> StudySettings:
    values = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return StudySettings.model_validate(merged(StudySettings().model_dump(), values))


PROFILES: dict[ProfileName, StudySettings] = {
    name: _profile(name) for name in get_args(ProfileName)
}
