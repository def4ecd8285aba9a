"""Profiles: named presets over the settings, each a file of what differs from their defaults.

The first lines of `config/profiles/<name>.yaml` say what the profile runs, its command, how long
that takes and which accuracy to expect, as far as it was measured, and on which machine. Commands
and intervals of these figures are in `docs/results.md` and `benchmarks/README.md`.
"""

from pathlib import Path
from typing import Any, get_args

from flowers17.backbones.facts import known_facts
from flowers17.config import ProfileName, StudySettings
from flowers17.files import yaml_beside

_ARCHIVE = "17flowers.tgz"  # of Oxford Flowers-17, under the name that it is published by


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Values of `base` with those of `over` in their places, group by group; lists are replaced."""
    for name, value in over.items():
        nested = isinstance(value, dict) and isinstance(base.get(name), dict)
        base[name] = merged(base[name], value) if nested else value
    return base


def _values(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml_beside(__file__, f"config/profiles/{name}.yaml")
    return values


PROFILES: dict[ProfileName, StudySettings] = {
    name: StudySettings.model_validate(merged(StudySettings().model_dump(), _values(name)))
    for name in get_args(ProfileName)
}


def own_data_changes(source: str | None, weights_dir: Path | None) -> dict[str, Any]:
    """Changes of the profile `best` for images that are not the study's: networks of today.

    source: of the images. weights_dir: none, so that weights are downloaded, or a folder with a
    file of such a network; in another folder the study's weights are at hand, and nothing changes.
    """
    if source is None or source in ("rendered", "oxford17") or Path(source).name == _ARCHIVE:
        return {}
    changes = _values("best-own-data")
    maps = [*changes["features"]["table"], *changes["fine_tuning"]["table"]]
    names = {name for each in maps for name in known_facts()[each["extractor"]].file_names}
    is_ready = weights_dir is None or any((weights_dir / name).exists() for name in names)
    return changes if is_ready else {}
