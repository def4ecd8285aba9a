"""Commands that run a flow, killed with all that they started, and what a store holds then."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from flowers17.artifacts import MANIFEST, Store
from tests.support.processes import eventually, python, session_members
from tests.support.stores import content

TINY = (
    "dataset.n_classes=3",
    "dataset.images_per_class=8",
    "dataset.image_size=32",
    "splits.n_repeats=1",
    "learners.plain=[]",
    "learners.augmented=[]",
    "learners.best=[]",
    "fine_tuning.table=[]",
    "ensemble.ensembles=[]",
    "defences.networks=[]",
    "poisoning.networks=[]",
    "attacks.models=[]",
    "features.table=[{extractor: mobilenet}]",
    "features.combinations=[]",
    "features.classifiers.names=[knn, naive_bayes]",
)
COMMAND = Path(sys.executable).with_name("flowers17")


def command(flow: str, store: Path, settings: Iterable[str], *options: str) -> list[str]:
    """Return what Python is given to run a flow as a person would."""
    chosen = [word for one in settings for word in ("--set", one)]
    return [str(COMMAND), "run", flow, "--store", str(store), "--json", *options, *chosen]


def run(arguments: list[str], env: dict[str, str]) -> dict[str, int]:
    """Run a command to its end, which names its page; return how many stages were built, reused."""
    with python(*arguments, env=env) as process:
        printed, complaints = process.communicate(timeout=600)
    assert process.returncode == 0, complaints
    told = json.loads(printed)
    assert Path(told["report"]).is_file()
    counts: dict[str, int] = told["counts"]
    return counts


def end(process: subprocess.Popen[str]) -> None:
    """Kill a command, if it has not ended; nothing that it started may outlive it."""
    process.kill()
    process.wait(30)
    assert eventually(lambda: not session_members(process.pid)), "an orphan lives on"


def finished(store: Path) -> dict[str, tuple[int, int]]:
    """Return which artifacts there are, and by inode and time whether they were made anew."""
    found = {path: path.stat() for path in store.glob(f"[!.]*/*/{MANIFEST}")}
    return {str(path): (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


def digests(store: Path) -> dict[str, str]:
    """Return what was made, by label and key; the report's page tells times and is left out."""
    return {
        f"{one['label']} {one['key']}": one["digest"] if one["stage"] != "study" else ""
        for one in Store(store).manifests()
    }


def every_byte(store: Path) -> dict[str, bytes]:
    """Return all that a store shows, of manifests what no clock tells, and without pages."""
    visible = {name: data for name, data in content(store).items() if not name.startswith(".")}
    for name, data in visible.items():
        if Path(name).name == MANIFEST:
            manifest = json.loads(data)
            timed = {"created", "duration_s", "seal"}
            if manifest["stage"] == "study":
                timed |= {"digest", "files"}  # of the page as well
            told = {field: value for field, value in manifest.items() if field not in timed}
            visible[name] = json.dumps(told, sort_keys=True).encode()
    return {name: data for name, data in visible.items() if Path(name).name != "index.html"}


def results(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all that is stored below a folder, without what tells times.

    Of a report these are results, tables and figures: all that it has beside the page.
    """
    told = ("index.html", MANIFEST)
    return {name: data for name, data in content(folder).items() if Path(name).name not in told}
