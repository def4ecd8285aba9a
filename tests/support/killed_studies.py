"""Commands that run a flow, killed with all that they started, and what a store holds then."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from flowers17.artifacts import MANIFEST, Store
from tests.support.processes import HANG_S, eventually, python, session_members
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
    "next_steps.questions=[]",
    "attacks.models=[]",
    "features.table=[{extractor: mobilenet}]",
    "features.combinations=[]",
    "features.classifiers.names=[knn, naive_bayes]",
)
COMMAND = Path(sys.executable).with_name("flowers17")


def overridden(settings: Iterable[str], *later: str) -> tuple[str, ...]:
    """Settings, later ones in place of those of their names."""
    names = {setting.partition("=")[0] for setting in later}
    return (*(each for each in settings if each.partition("=")[0] not in names), *later)


def command(flow: str, store: Path, settings: Iterable[str], *options: str) -> list[str]:
    """Arguments of Python that run a flow by the command line."""
    chosen = [word for setting in settings for word in ("--set", setting)]
    return [str(COMMAND), "run", flow, "--store", str(store), "--json", *options, *chosen]


def run(arguments: list[str], env: dict[str, str]) -> dict[str, int]:
    """Run a command to its end, which names its page; return how many stages were built, reused."""
    with python(*arguments, env=env) as process:
        printed, complaints = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, complaints
    output = json.loads(printed)
    assert Path(output["report"]).is_file()
    counts: dict[str, int] = output["counts"]
    return counts


def end(process: subprocess.Popen[str]) -> None:
    """Kill a command, if it has not ended; nothing that it started may outlive it."""
    process.kill()
    process.wait(HANG_S)
    assert eventually(lambda: not session_members(process.pid)), "an orphan lives on"


def finished(store: Path) -> dict[str, tuple[int, int]]:
    """Artifacts of a store, each with inode and time of change, which tell a rebuilt one."""
    stats = {path: path.stat() for path in store.glob(f"[!.]*/*/{MANIFEST}")}
    return {str(path): (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}


def digests(store: Path) -> dict[str, str]:
    """Digests of all artifacts by label and key; empty for reports, whose page has times."""
    return {
        f"{manifest['label']} {manifest['key']}": manifest["digest"]
        if manifest["stage"] != "study"
        else ""
        for manifest in Store(store).manifests()
    }


def every_byte(store: Path) -> dict[str, bytes]:
    """Visible files of a store, manifests without times, and no pages."""
    visible = {name: data for name, data in content(store).items() if not name.startswith(".")}
    for name, data in visible.items():
        if Path(name).name == MANIFEST:
            manifest = json.loads(data)
            timed = {"created", "duration_s", "run", "seal"}
            if manifest["stage"] == "study":
                timed |= {"digest", "files"}  # of the page as well
            timeless = {field: value for field, value in manifest.items() if field not in timed}
            visible[name] = json.dumps(timeless, sort_keys=True).encode()
    return {name: data for name, data in visible.items() if Path(name).name != "index.html"}


def results(folder: Path) -> dict[str, bytes]:
    """Bytes of all files below a folder, except those with times.

    Of a report these are results, tables and figures: all that it has beside the page.
    """
    timed = ("index.html", MANIFEST)
    return {name: data for name, data in content(folder).items() if Path(name).name not in timed}
