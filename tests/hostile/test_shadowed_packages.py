"""Files of a person's own that have the names of our packages, or of Python's modules."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import called
from tests.support.homes import migrated_home
from tests.support.processes import HANG_S, ROOT, environment
from tests.support.proxies import no_proxies, refusing_proxy

TINY = ("dataset.n_classes=2", "dataset.images_per_class=4", "dataset.image_size=16")
SET = tuple(f"--set={assignment}" for assignment in TINY)
COMMAND = "from flowers17.cli import main; main()"
BOOM = "raise SystemExit('a person\\'s own file was imported')\n"


def _command(*arguments: str, cwd: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as its script does, with a folder before ours on the path."""
    return _python("-P", "-c", COMMAND, *arguments, cwd=cwd, path=path)


def _python(*arguments: str, cwd: Path, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(PYTHONPATH=os.pathsep.join([str(path), str(ROOT)])),
        timeout=HANG_S,
        check=False,
    )


@pytest.fixture(scope="module")
def shadows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds packages `tasks` and `flows` that end whoever imports them."""
    folder = tmp_path_factory.mktemp("shadows")
    for package in ("tasks", "flows"):
        (folder / package).mkdir()
        for name in ("__init__", "dataset", "images", "report", "engine"):
            (folder / package / f"{name}.py").write_text(BOOM)
    return folder


KINDS = ("none", "packages", "modules", "folders")
FORKS = """
import json, os, sys
from prefect import flow, task  # once for all: it takes seconds
for code, place, folder in zip(*[iter(sys.argv[1:])] * 3):
    if not os.fork():
        try:
            os.chdir(place)
            sys.path.insert(0, folder)  # as PYTHONPATH would
            exec(code)
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.wait()
"""
DIGESTS = """
import flowers17.stages as stages
import flows.report, flowers17.request as request
r = request.request_from()
parts = stages.in_order(flows.report.stages(r.settings, r.options))
print(json.dumps({part.title: part.code() for part in parts}, sort_keys=True))
"""
LOADED = """
import yaml
from prefect.flows import load_flow_from_entrypoint
described = yaml.safe_load(open("deployments/prefect.yaml"))["deployments"]
for deployment in described:
    load_flow_from_entrypoint(deployment["entrypoint"])
import flows, tasks
print(json.dumps([len(described), tasks.__file__, flows.__file__]))
"""


@pytest.fixture(scope="module")
def printed(shadows: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of our code, by the kind of files on the path before it; and what a worker loads."""
    folders = {"none": ROOT, "packages": shadows}
    for kind in ("modules", "folders"):
        folders[kind] = tmp_path_factory.mktemp(kind)
        for name in ("tasks", "flows"):
            if kind == "modules":
                (folders[kind] / f"{name}.py").write_text(BOOM)
            else:  # a namespace, which Python makes of any folder
                (folders[kind] / name).mkdir()
                (folders[kind] / name / "images.py").write_text(BOOM)
    programs = {kind: (DIGESTS, str(folders[kind]), str(folders[kind])) for kind in KINDS}
    programs["loaded"] = (LOADED, str(ROOT), str(shadows))
    words = [word for program in programs.values() for word in program]
    result = _python("-P", "-c", FORKS, *words, cwd=ROOT, path=ROOT)
    assert result.returncode == 0, result.stderr[-2_000:]
    lines = result.stdout.splitlines()
    assert len(lines) == len(programs), result.stderr[-2_000:]
    return dict(zip(programs, lines, strict=True))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_leave_the_digests_of_our_code_as_they_are(kind: str, printed: dict[str, str]) -> None:
    assert printed[kind] == printed["none"]


def test_do_not_reach_the_deployments_of_a_worker(printed: dict[str, str]) -> None:
    n, *files = json.loads(printed["loaded"])
    assert n >= 9
    assert files == [str(ROOT / name / "__init__.py") for name in ("tasks", "flows")]


def test_a_run_beside_them_and_behind_proxies_builds_what_it_builds_elsewhere(
    shadows: Path, tmp_path: Path, prefect_api: str
) -> None:
    """With a private server, which no proxy leads to; every variable of proxies is set."""
    (tmp_path / "home").mkdir()
    for name in ("random", "socket", "struct", "keras"):  # of Python's own, in the current folder
        (tmp_path / f"{name}.py").write_text(BOOM)
    rest = ("dataset", "--store", str(tmp_path / "store"), "--json")
    with refusing_proxy() as proxy, no_proxies() as patch:
        patch.setenv("PREFECT_HOME", str(migrated_home(tmp_path / "home")))
        for name, value in proxy.variables("ALL", "HTTP", "https", scheme="socks5").items():
            patch.setenv(name, value)
        result = _command("run", *rest, *SET, cwd=tmp_path, path=shadows)
    assert result.returncode == 0, result.stderr[-2_000:]
    counts = json.loads(result.stdout)["counts"]
    assert counts["built"] > 0
    assert proxy.requests == []
    _, plan, _ = called("plan", *rest, api=prefect_api, settings=TINY)
    steps = json.loads(plan)
    assert {step["action"] for step in steps} == {"reuse"}, steps


IMPORTED_BEFORE = """
import tasks
from flowers17.errors import PackageShadowed
try:
    import flows.dataset
except PackageShadowed as problem:
    print(problem)
"""


def test_that_were_imported_before_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").touch()
    result = _python("-c", IMPORTED_BEFORE, cwd=tmp_path, path=tmp_path)
    assert str(ROOT / "tasks" / "__init__.py") in result.stdout, result.stderr
    assert str(tmp_path / "tasks") in result.stdout


def test_half_a_checkout_on_the_path_is_named(tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(ROOT / "flowers17", half / "flowers17")
    result = _command("plan", "dataset", *SET, cwd=tmp_path, path=half)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert f"expected the package flows beside {half / 'flowers17'}, found none" in result.stderr
