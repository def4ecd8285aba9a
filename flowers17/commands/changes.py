"""What differs between two studies, in the words of `flowers17 plan`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowers17.plan import differences
from flowers17.reporting.studies.records import Manifest, Study

Grouped = dict[str, list[str]]
Pairs = Mapping[str, tuple[Manifest, Manifest]]
_LARGE = 10  # settings; a larger group that only one study has is one line
_NOTHING: Manifest = {"config": {}, "seed": None, "inputs": {}, "code": {}, "libraries": {}}


@dataclass(frozen=True)
class Changes:
    """What differs: lines, or lines with the labels of the stages in which they were found.

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
    """Return what differs between two studies; raises what `Study.results` raises."""
    first, second = before.results, after.results
    shown = [{**one["data"], "digest": str(one["data"]["digest"])[:12]} for one in (first, second)]
    data = _settings(*shown)
    return _changes(before, after, (first["settings"], second["settings"]), data)


def changes_by_manifests(before: Study, after: Study) -> Changes:
    """Return what differs as far as the manifests tell, without reading any other file."""
    settings = [one.manifest["material"]["config"].get("settings", {}) for one in (before, after)]
    data = [
        f"{label} changed"
        for label, (one, other) in _shared(before, after).items()
        if one["stage"] == "images" and one["digest"] != other["digest"]
    ]
    return _changes(before, after, (settings[0], settings[1]), data)


def in_short(found: Changes) -> str:
    """Return what differs on one line."""
    parts = ["data"] if found.data else []
    parts += [*found.seeds, *found.libraries]
    for lines in (found.settings, list(found.stages)):
        parts += [*lines[:2], *([f"{len(lines) - 2} more settings"] if len(lines) > 2 else [])]
    counts = (
        (len(found.code), "module", "changed"),
        (len(found.only_before), "stage", "dropped"),
        (len(found.only_after), "stage", "added"),
    )
    parts += [f"{n} {what}{'s' * (n > 1)} {how}" for n, what, how in counts if n]
    return "; ".join(parts) or "only what its stages hold"


def _changes(
    before: Study, after: Study, settings: tuple[Manifest, Manifest], data: list[str]
) -> Changes:
    shared = _shared(before, after)
    old, new = (_named({**one, "seed": None}) for one in settings)
    ours = _settings(_folded(old, new), _folded(new, old))
    stages = _grouped(shared, "config", "version")
    seeds = _grouped(shared, "seed")
    for line in _differences({"seed": settings[0].get("seed")}, {"seed": settings[1].get("seed")}):
        seeds.setdefault(line, [])
    return Changes(
        settings=ours,
        data=data,
        code=_grouped(shared, "code"),
        libraries=_grouped(shared, "libraries"),
        seeds=seeds,
        stages={line: labels for line, labels in stages.items() if not _told(line, ours)},
        only_before=sorted(set(before.parts) - set(after.parts)),
        only_after=sorted(set(after.parts) - set(before.parts)),
        notes=[note for one in (before, after) for note in _notes(one)],
    )


def _notes(study: Study) -> list[str]:
    if not study.manifest:
        return [
            f"{study.title} lies outside its store: code, libraries and the settings of stages "
            "are not compared"
        ]
    n_gone = len(study.missing_parts)
    gone = f"{study.title}: {n_gone} of its stages are no longer in the store and not compared"
    return [gone] if n_gone else []


def _shared(before: Study, after: Study) -> Pairs:
    """Return, by label, the manifests of the stages of both, the studies' own among them."""
    own = before.manifest and after.manifest
    pairs = {"report": (before.manifest, after.manifest)} if own else {}
    for label, part in before.parts.items():
        other = after.parts.get(label)
        if other and other["stage"] == part["stage"]:
            pairs[label] = (part, other)
    return pairs


def _grouped(pairs: Pairs, *names: str) -> Grouped:
    """Return in which stages each difference of some fields of their material is found."""
    found: Grouped = {}
    for label, pair in pairs.items():
        old, new = (
            {name: one["material"][name] for name in names if name in one["material"]}
            for one in pair
        )
        if pair[0]["stage"] == "study":  # its configuration is the study's settings
            old, new = ({**one, "config": {}} for one in (old, new))
        for line in _differences(old, new):
            found.setdefault(line, []).append(label)
    return found


def _settings(old: Manifest, new: Manifest) -> list[str]:
    return _differences({"config": old}, {"config": new})


def _differences(old: Manifest, new: Manifest) -> list[str]:
    lines = differences({**_NOTHING, **old}, {**_NOTHING, **new})
    lines = [line.removeprefix("setting ") for line in lines]
    return [line.removeprefix("code ").removesuffix(" changed") for line in lines]


def _named(value: Any) -> Any:
    """Return settings whose lists of models are mappings, by name where they have one."""
    if isinstance(value, Mapping):
        return {name: _named(one) for name, one in value.items()}
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        names = [str(one.get("name", place + 1)) for place, one in enumerate(value)]
        if len(set(names)) == len(names):
            return {name: _named(one) for name, one in zip(names, value, strict=True)}
    return value


def _folded(value: Manifest, other: Manifest) -> dict[str, Any]:
    """Return settings in which a large group that the other lacks is but a count."""
    found = {}
    for name, one in value.items():
        if isinstance(one, Mapping) and name not in other:
            n = _n_leaves(one)
            found[name] = f"{n} settings" if n > _LARGE else one
        elif isinstance(one, Mapping) and isinstance(other[name], Mapping):
            found[name] = _folded(one, other[name])
        else:
            found[name] = one
    return found


def _n_leaves(value: Any) -> int:
    return sum(map(_n_leaves, value.values())) if isinstance(value, Mapping) else 1


def _told(line: str, settings: list[str]) -> bool:
    """Return whether a stage's setting is one of the study's: its last name and values agree."""
    return any(_leaf(line) == _leaf(one) for one in settings)


def _leaf(line: str) -> str:
    name, _, values = line.partition(": ")
    return f"{name.rpartition('.')[2]}: {values}"
