"""Materials of keys, all that decides an artifact: how two of them differ, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

_LONG = 200  # characters of two values, beyond which nobody reads them in a line


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
        for name, old, new in changes(flat(before["config"]), flat(now["config"]))
    ]
    if before["seed"] != now["seed"]:
        lines.append(f"seed: {before['seed']} → {now['seed']}")
    if before.get("version") != now.get("version"):
        lines.append(f"stage version: {before.get('version')} → {now.get('version')}")
    lines += [f"code {name} changed" for name, _, _ in changes(before["code"], now["code"])]
    lines += [
        f"{name}: {old} → {new}"
        for name, old, new in changes(before["libraries"], now["libraries"])
    ]
    lines += [
        f"input {name} changed"
        for name, _, _ in changes(before["inputs"], now["inputs"])
        if name not in ignore
    ]
    return lines


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Names whose values differ, with the value before and now."""
    names = sorted({*before, *now})
    return [
        (name, before.get(name, "absent"), now.get(name, "absent"))
        for name in names
        if before.get(name, "absent") != now.get(name, "absent")
    ]


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Values of nested mappings by dotted name."""
    if isinstance(value, Mapping) and value:
        return {
            inner: leaf
            for name, part in value.items()
            for inner, leaf in flat(part, f"{prefix}.{name}" if prefix else name).items()
        }
    return {prefix: value} if prefix else {}
