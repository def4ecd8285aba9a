"""Differences between two studies, in the words of `flowers17 plan`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowers17.materials import differences
from flowers17.reporting.studies.records import Manifest, Study

Grouped = dict[str, list[str]]
Pairs = Mapping[str, tuple[Manifest, Manifest]]
_LARGE = 10  # settings; a larger group that only one study has is one line


@dataclass(frozen=True)
class Changes:
    """Differences of two studies: lines, or lines with the labels of their stages.

    code: modules, and files of data beside them. stages: settings of stages beyond the study’s own,
    e.g. weights, devices. only_before, only_after: stages that the other study lacks. notes: what
    could not be compared.
    """

    settings: list[str]
    data: list[str]
    code: Grouped
    libraries: Grouped
    seeds: Grouped
    stages: Grouped
    only_before: list[str]
    only_after: list[str]
    notes: list[str]


def changes(before: Study, after: Study) -> Changes:
    """Differences of two studies; raises what `Study.results` raises."""
    first, second = before.results, after.results
    old, new = (
        {**results["data"], "digest": str(results["data"]["digest"])[:12]}
        for results in (first, second)
    )
    data = _settings(old, new)
    return _changes(before, after, (first["settings"], second["settings"]), data)


def changes_by_manifests(before: Study, after: Study) -> Changes:
    """Differences as far as the manifests tell, without reading any other file."""
    configurations = [study.manifest["material"]["config"] for study in (before, after)]
    old, new = (configuration.get("settings", {}) for configuration in configurations)
    data = [
        f"{label} changed"
        for label, (first, second) in _shared(before, after).items()
        if first["stage"] == "images" and first["digest"] != second["digest"]
    ]
    return _changes(before, after, (old, new), data)


def in_short(changes: Changes) -> str:
    """Differences on one line."""
    parts = ["data"] if changes.data else []
    parts += [*changes.seeds, *changes.libraries]
    for lines in (changes.settings, list(changes.stages)):
        parts += [*lines[:2], *([f"{len(lines) - 2} more settings"] if len(lines) > 2 else [])]
    counts = (
        (len(changes.code), "module", "changed"),
        (len(changes.only_before), "stage", "dropped"),
        (len(changes.only_after), "stage", "added"),
    )
    parts += [f"{n} {noun}{'s' * (n > 1)} {effect}" for n, noun, effect in counts if n]
    return "; ".join(parts) or "only what its stages hold"


def _changes(
    before: Study, after: Study, settings: tuple[Manifest, Manifest], data: list[str]
) -> Changes:
    shared = _shared(before, after)
    old, new = (_named({**values, "seed": None}) for values in settings)
    study_settings = _settings(_folded(old, new), _folded(new, old))
    stages, leaves = _grouped(shared, "config", "version"), set(map(_leaf, study_settings))
    seeds = _grouped(shared, "seed")
    for line in _differences({"seed": settings[0].get("seed")}, {"seed": settings[1].get("seed")}):
        seeds.setdefault(line, [])
    return Changes(
        settings=study_settings,
        data=data,
        code=_grouped(shared, "code"),
        libraries=_grouped(shared, "libraries"),
        seeds=seeds,
        stages={line: labels for line, labels in stages.items() if _leaf(line) not in leaves},
        only_before=sorted(set(before.parts) - set(after.parts)),
        only_after=sorted(set(after.parts) - set(before.parts)),
        notes=[note for study in (before, after) for note in _notes(study)],
    )


def _notes(study: Study) -> list[str]:
    if not study.manifest:
        return [
            f"{study.title} lies outside its store: code, libraries and the settings of stages "
            "are not compared"
        ]
    n_absent = len(study.missing_parts)
    note = f"{study.title}: {n_absent} of its stages are no longer in the store and not compared"
    return [note] if n_absent else []


def _shared(before: Study, after: Study) -> Pairs:
    """Manifests of the stages of both by label, the studies' own among them."""
    own = before.manifest and after.manifest
    pairs = {"report": (before.manifest, after.manifest)} if own else {}
    for label, part in before.parts.items():
        counterpart = after.parts.get(label)
        if counterpart and counterpart["stage"] == part["stage"]:
            pairs[label] = (part, counterpart)
    return pairs


def _grouped(pairs: Pairs, *names: str) -> Grouped:
    """Labels of the stages by each difference between some fields of their material."""
    labels_by_line: Grouped = {}
    for label, pair in pairs.items():
        old, new = (
            {name: manifest["material"][name] for name in names if name in manifest["material"]}
            for manifest in pair
        )
        if pair[0]["stage"] == "study":  # its configuration is the study's settings
            old, new = ({**material, "config": {}} for material in (old, new))
        for line in _differences(old, new):
            labels_by_line.setdefault(line, []).append(label)
    return labels_by_line


def _settings(old: Manifest, new: Manifest) -> list[str]:
    return _differences({"config": old}, {"config": new})


def _differences(old: Manifest, new: Manifest) -> list[str]:
    lines = [line.removeprefix("setting ") for line in differences(old, new)]
    return [line.removeprefix("code ").removesuffix(" changed") for line in lines]


def _named(value: Any) -> Any:
    """Settings whose lists of models are mappings, by name where they have one."""
    if isinstance(value, Mapping):
        return {name: _named(item) for name, item in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        names = [str(item.get("name", number)) for number, item in enumerate(value, start=1)]
        if len(set(names)) == len(names):
            return {name: _named(item) for name, item in zip(names, value, strict=True)}
    return value


def _folded(value: Manifest, other: Manifest) -> dict[str, Any]:
    """Settings in which a large group that the other lacks is but a count."""
    folded = {}
    for name, item in value.items():
        if isinstance(item, Mapping) and name not in other:
            n = _n_leaves(item)
            folded[name] = f"{n} settings" if n > _LARGE else item
        elif isinstance(item, Mapping) and isinstance(other[name], Mapping):
            folded[name] = _folded(item, other[name])
        else:
            folded[name] = item
    return folded


def _n_leaves(value: Any) -> int:
    return sum(map(_n_leaves, value.values())) if isinstance(value, Mapping) else 1


def _leaf(line: str) -> str:
    """Last name and values of a setting; where they agree, a stage's is one of the study's."""
    name, _, values = line.partition(": ")
    return f"{name.rpartition('.')[2]}: {values}"
