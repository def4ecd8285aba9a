"""What a flow would run or reuse on a store, and why, without running anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flowers17.artifacts import Reference, Store
from flowers17.stages import Stage, existing, key_material

_LONG = 200  # characters of two values, beyond which nobody reads them in a line


@dataclass(frozen=True)
class Step:
    """Action on a stage, and the reasons for it."""

    label: str
    stage: str
    action: Literal["run", "reuse"]
    why: tuple[str, ...]
    key: str | None = None


def plan(stages: Sequence[Stage], store: Store) -> list[Step]:
    """Steps, one for each stage, in the order given, inputs first.

    A stage whose input would be built anew counts as run, though it is reused after all if that
    input comes out the same. A tolerant one is looked up without inputs that may stay away: an
    optional stage that reads nothing, such as a download, and what needs it. Only the store is
    read; a damaged artifact is set aside.
    """
    earlier = _latest_materials(store)
    known: dict[str, Reference | None] = {}
    may_stay_away: dict[str, bool] = {}
    steps = []
    for stage in stages:
        inputs = {name: known[needed.title] for name, needed in stage.inputs.items()}
        pending = [name for name, reference in inputs.items() if reference is None]
        away = [name for name in pending if may_stay_away[stage.inputs[name].title]]
        known_enough = not pending or (stage.tolerant and away == pending)
        outcome = existing(stage, inputs, store) if known_enough else None
        known[stage.title] = outcome.reference if outcome else None
        may_stay_away[stage.title] = stage.optional and (bool(away) or not stage.inputs)
        if outcome:
            key = outcome.reference.key
            steps.append(Step(stage.title, stage.name, "reuse", ("whole in the store",), key))
            continue
        before = earlier.get((stage.name, stage.label))
        why = differences(before, key_material(stage, inputs), ignore=pending) if before else []
        why += [f"input {name} would be built anew" for name in pending]
        if not why:
            why = ["damaged or deleted" if before else "never built"]
        steps.append(Step(stage.title, stage.name, "run", tuple(why)))
    return steps


def _latest_materials(store: Store) -> dict[tuple[str, str], Mapping[str, Any]]:
    latest: dict[tuple[str, str], tuple[str, Mapping[str, Any]]] = {}
    for manifest in store.manifests():
        name = (manifest["stage"], manifest["label"])
        if name not in latest or manifest["created"] >= latest[name][0]:
            latest[name] = (manifest["created"], manifest["material"])
    return {name: material for name, (_, material) in latest.items()}


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], *, ignore: Sequence[str] = ()
) -> list[str]:
    """Differences between two materials of keys, in words.

    >>> old = {"config": {"C": 1.0}, "seed": 1, "inputs": {}, "code": {}, "libraries": {}}
    >>> differences(old, {**old, "config": {"C": 2.0}})
    ['setting C: 1.0 → 2.0']
    """
    lines = [
        f"setting {name}: {old} → {new}"
        if len(f"{old}{new}") < _LONG
        else f"setting {name} changed"
        for name, old, new in _changes(_flat(before["config"]), _flat(now["config"]))
    ]
    if before["seed"] != now["seed"]:
        lines.append(f"seed: {before['seed']} → {now['seed']}")
    if before.get("version") != now.get("version"):
        lines.append(f"stage version: {before.get('version')} → {now.get('version')}")
    lines += [f"code {name} changed" for name, _, _ in _changes(before["code"], now["code"])]
    lines += [
        f"{name}: {old} → {new}"
        for name, old, new in _changes(before["libraries"], now["libraries"])
    ]
    lines += [
        f"input {name} changed"
        for name, _, _ in _changes(before["inputs"], now["inputs"])
        if name not in ignore
    ]
    return lines


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = sorted({*before, *now})
    return [
        (name, before.get(name, "absent"), now.get(name, "absent"))
        for name in names
        if before.get(name, "absent") != now.get(name, "absent")
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {
            inner: leaf
            for name, part in value.items()
            for inner, leaf in _flat(part, f"{prefix}.{name}" if prefix else name).items()
        }
    return {prefix: value} if prefix else {}
