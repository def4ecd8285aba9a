"""What the pages of the site show, read from a store at each request."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from flowers17.artifacts import MANIFEST, Store, short_name
from flowers17.errors import ArtifactDamaged, ArtifactMissing, Flowers17Error, InvalidInput
from flowers17.files import read_regular
from flowers17.manifests import KEY, STAGE, by_id, family, read_manifest
from flowers17.materials import changes, flat
from flowers17.prediction.catalogue import Catalogue
from flowers17.profiles import PROFILES
from flowers17.reporting.html import environment
from flowers17.reporting.studies.comparison import is_number
from flowers17.reporting.studies.history import history
from flowers17.reporting.studies.pair import (
    comparison_of,
    difference_text,
    number_text,
    template_values,
)
from flowers17.reporting.studies.records import Study, named_study, studies_in
from flowers17.shared.store import existing_store

# Whoever can write to a store can name a file; what is none of these is saved, not shown.
MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Pages:
    """Pages of the store at an address.

    ui: address of Prefect's UI, to which runs are linked; "" on the same address, None: unknown.
    """

    def __init__(self, address: str, ui: str | None = None) -> None:
        self.address = address
        self._facts: dict[str, dict[str, Any]] = {}
        self._templates = environment("flowers17.site")
        self._templates.globals.update(
            number=number_text, difference=difference_text, short=short_name, ui=ui, store=address
        )

    @property
    def store(self) -> Store:
        """The store; raises InvalidInput if there is none."""
        return existing_store(self.address)

    def index(self) -> str:
        """Studies, the newest first, and sweeps."""
        studies = studies_in(self.address)
        known = studies[0].manifests.values() if studies else ()
        sweeps = [manifest for manifest in known if manifest["stage"] == "sweep"]
        sweeps.sort(key=lambda manifest: (manifest["created"], manifest["key"]), reverse=True)
        return self._page("index.html", **self._listed(studies), sweeps=sweeps)

    def file(self, stage: str, key: str, name: str) -> tuple[bytes, str]:
        """Content and media type of an artifact's file, as published.

        Raises ArtifactMissing unless the artifact is there and lists the file, ArtifactDamaged if
        its bytes are not those published, or a link is on the way.
        """
        keys = [key] if re.fullmatch(KEY, key) else []
        if re.fullmatch("[0-9a-f]{4,63}", key):
            known = (each["key"] for each in self.store.manifests() if each["stage"] == stage)
            keys = [each for each in known if each.startswith(key)]
        if not keys:
            raise ArtifactMissing(f"{key[:100]!r}: expected the key of an artifact, found none")
        if len(keys) > 1:
            both = ", ".join(each[: len(key) + 8] for each in keys)
            raise InvalidInput(f"{key}: expected one artifact, found {both}; give more of the key")
        title, store = short_name(stage, keys[0]), self.store
        folder = store.local_folder(stage, keys[0])
        if not folder.is_dir():
            raise ArtifactMissing(f"{title}: expected an artifact, found none")
        manifest = read_manifest(folder / MANIFEST, below=store.root)
        entry = manifest["files"].get(name)
        if entry is None or (manifest["stage"], manifest["key"]) != (stage, keys[0]):
            raise ArtifactMissing(f"{title}: expected a file {name!r}, found none")
        try:
            content = read_regular(folder / name, below=store.root, at_most=entry["size"])
        except (OSError, ValueError) as problem:
            raise ArtifactDamaged(f"{folder / name}: unreadable ({problem})") from problem
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ArtifactDamaged(f"{folder / name}: its bytes are not those published")
        return content, MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")

    def compared(self, left: str, right: str) -> str:
        """Comparison of two studies by their keys; without one of them, a choice."""
        if not (left and right):
            listed = self._listed(studies_in(self.address))
            return self._page("choice.html", **listed, left=left, right=right)
        pair: list[Study] = []
        problems: list[Flowers17Error] = []
        for side, key in (("left", left), ("right", right)):
            try:
                if not re.fullmatch("[0-9a-f]{4,64}", key):
                    raise InvalidInput(
                        "expected the key of a study, 4 to 64 of 0 to 9 and a to f, got "
                        f"{key[:70]!r}"
                    )
                pair.append(named_study(f"study/{key}", self.address))
            except Flowers17Error as problem:
                problems.append(type(problem)(f"{side}: {problem}"))
        if problems:
            raise type(problems[0])(". ".join(map(str, problems)))
        values = template_values(comparison_of(*pair))
        return self._page("compared.html", **values, keys=[study.manifest["key"] for study in pair])

    def metrics(self, metric: str) -> str:
        """Metric of all studies over time, as a chart and a table; by default the first metric."""
        studies = studies_in(self.address)
        numbers = {
            name
            for study in studies
            for name, value in study.manifest["metrics"].items()
            if is_number(value)
        }
        names = sorted(numbers, key=lambda name: (name.startswith("n_"), name))
        metric = metric or (names[0] if names else "")
        keys = {study.title: study.manifest["key"] for study in studies}
        rows = [
            {**row, "key": keys[row["study"]]}
            for row in (history(metric, self.address) if metric else ())
            if is_number(row["value"])
        ]
        return self._page("metrics.html", metric=metric, metrics=names, rows=rows[::-1])

    def sweep(self, key: str) -> str:
        """A sweep: its combinations, and each metric over them."""
        content, _ = self.file("sweep", key, "sweep.json")
        return self._page("sweep.html", **json.loads(content))

    def trial(self, model: str) -> str:
        """Form for a photograph, and the models that may predict its class.

        model: the one that is chosen, as `predict` takes it; empty: the best.
        Raises InvalidInput for another one.
        """
        catalogue = Catalogue(self.store)
        entries, chosen = catalogue.entries, None
        if entries or model:
            chosen = catalogue.named(model) if model else catalogue.default()[0]
            entries = entries + [chosen] * (chosen not in entries)
        return self._page("try.html", models=entries, chosen=chosen)

    def model(self, name: str) -> str:
        """STAGE/KEY of a model, with all of the key; raises InvalidInput for an unknown name."""
        if re.fullmatch(f"{STAGE}/{KEY}", name):
            return name  # looked up where it predicts
        return "/".join(Catalogue(self.store).named(name).place)

    def answer(self, model: str, answer: Mapping[str, Any]) -> str:
        """What a model, STAGE/KEY, says of a photograph, as a part of a page."""
        known = by_id(self.store.manifests())
        stage, _, key = model.partition("/")
        reports = [
            manifest
            for manifest in known.values()
            if manifest["stage"] == "study"
            and any(origin and origin["key"] == key for origin in manifest["inputs"].values())
        ]
        origins = list(family(known[stage, key], known))
        return self._page("answer.html", answer=answer, origins=origins, reports=reports)

    def problem(self, message: str) -> str:
        """Page of an error."""
        return self._page("problem.html", message=message)

    def _page(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(**values)

    def _listed(self, studies: Sequence[Study]) -> dict[str, Any]:
        """Studies, the newest first, and facts of each by key, which are read once.

        These are the nearest profile, data, headline and run, each empty where it is not known.
        """
        for study in studies:
            if study.manifest["key"] in self._facts:
                continue
            settings = study.manifest["material"]["config"].get("settings", {})
            run, headline = study.manifest.get("run"), None
            with suppress(Flowers17Error):
                headline = study.results.get("headline")
            self._facts[study.manifest["key"]] = {
                "profile": nearest_profile(settings),
                "data": settings.get("dataset", {}).get("source", ""),
                "headline": headline,
                "run": run if isinstance(run, str) and _RUN.fullmatch(run) else "",
            }
        return {"studies": studies[::-1], "facts": self._facts}


def nearest_profile(settings: Mapping[str, Any]) -> str:
    """Name of the profile that settings differ least from, and in how many settings.

    The seed and the data set don't count.
    """

    def counted(values: Mapping[str, Any]) -> dict[str, Any]:
        return flat({name: values[name] for name in values if name not in ("seed", "dataset")})

    n, name = min(
        (len(changes(counted(settings), counted(profile.model_dump(mode="json")))), name)
        for name, profile in PROFILES.items()
    )
    return f"{name}, {n} setting{'s' * (n > 1)} changed" if n else name
