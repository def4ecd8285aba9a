"""Materials of keys, all that decides an artifact: how two differ, and precedents.

Precedents are the artifacts of a store that are most like what a stage would build.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowers17.manifests import Manifest, by_id

Material = Mapping[str, Any]
_LONG = 200  # characters of two values, beyond which nobody reads them in a line


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], *, ignore: Sequence[str] = ()
) -> list[str]:
    """Differences between two materials of keys, in words; what both lack is no difference.

    >>> differences({"config": {"C": 1.0}}, {"config": {"C": 2.0}})
    ['setting C: 1.0 → 2.0']
    """
    code, libraries, inputs = (
        changes(before.get(part, {}), now.get(part, {})) for part in ("code", "libraries", "inputs")
    )
    lines = [
        f"setting {name}: {old} → {new}"
        if len(f"{old}{new}") < _LONG
        else f"setting {name} changed"
        for name, old, new in changes(flat(before.get("config", {})), flat(now.get("config", {})))
    ]
    for name, title in (("seed", "seed"), ("version", "stage version")):
        if before.get(name) != now.get(name):
            lines.append(f"{title}: {before.get(name)} → {now.get(name)}")
    lines += [f"code {name} changed" for name, _, _ in code]
    lines += [f"{name}: {old} → {new}" for name, old, new in libraries]
    lines += [f"input {name} changed" for name, _, _ in inputs if name not in ignore]
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


class Precedents:
    """Manifests of a store, looked up by what they were built from."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        every = list(manifests)
        self.by_id = by_id(every)
        self._of_stage: dict[str, list[Manifest]] = defaultdict(list)
        for manifest in every:
            self._of_stage[manifest["stage"]].append(manifest)

    def of_label(
        self,
        label: str,
        material: Material,
        pending: Mapping[str, Manifest | None],
    ) -> Manifest | None:
        """The artifact of a stage and label that differs least; of several the newest.

        pending: inputs that would be built anew, with what is like them: it tells artifacts of
        several data sets apart although the inputs' content is not known yet.
        """
        known = [
            manifest for manifest in self._of_stage[material["stage"]] if manifest["label"] == label
        ]

        def distance(manifest: Manifest) -> int:
            other_inputs = sum(
                precedent is not None
                and (manifest["inputs"].get(name) or {}).get("key") != precedent["key"]
                for name, precedent in pending.items()
            )
            lines = differences(manifest["material"], material, ignore=list(pending))
            return len(lines) + other_inputs

        return _nearest(known, distance)

    def of_stage(self, material: Material) -> Manifest | None:
        """The artifact of a stage whose settings differ least, whatever its label."""
        now = flat(material["config"])
        return _nearest(
            self._of_stage[material["stage"]],
            lambda manifest: len(changes(flat(manifest["material"]["config"]), now)),
        )


def _nearest(manifests: Iterable[Manifest], distance: Any) -> Manifest | None:
    newest_first = sorted(manifests, key=lambda manifest: manifest["created"], reverse=True)
    return min(newest_first, key=distance, default=None)
