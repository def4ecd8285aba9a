"""Precedents: the artifacts of a store that are most like what a stage would build."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from flowers17.ancestry import Manifest, by_id
from flowers17.materials import changes, differences, flat

Material = Mapping[str, Any]


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
