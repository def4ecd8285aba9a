"""Manifests, results and checkpoints twisted at random, with digests that fit: no traceback.

`pytest tests/hostile/test_fuzzed_store.py --fuzz 50` makes 2,000 rounds of each.
"""

import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import RenderableType

from flowers17.artifacts import MANIFEST, Store
from flowers17.commands import predicting, showing
from flowers17.commands.garbage import garbage
from flowers17.commands.showing import (
    artifacts_table,
    lineage_lines,
    matching,
    metrics_table,
    summary,
)
from flowers17.digests import canonical_json, read_sha256, sha256_of
from flowers17.errors import Flowers17Error, InvalidInput
from flowers17.learners.checkpoints import Checkpoints, Shapes
from flowers17.plan import plan
from flowers17.prediction.catalogue import Catalogue
from flowers17.prediction.models import Loader, open_model
from flowers17.reporting.studies.history import history
from flowers17.reporting.studies.pair import comparison_of, page, study_pair
from flowers17.stages import ensure
from flowers17.terminal import Terminal
from tests.support.made_studies import made_study, row
from tests.support.toy import number
from tests.unit.prediction.made_models import Maker, network, stacking, study

ROUNDS = 40
SEED = 20
EVIL = "\x1b]0;title\x07\x9b31m\u202e[/red][bold]<script>alert(1)</script>"


def _deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = {"a": [value]}
    return value


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 2**63, -(2**70), 10**4000, 0.5, -0.0, 1e308, 5e-324),
    *("", "a", EVIL, "..", "../../..", "/etc/passwd", "\ud800", "\0", "x" * 100_000, "[/]"),
    *([], {}, [[]], [1, "a", None], {"a": 1}, {"": None}, {EVIL: EVIL}, {"../a": {}}),
    *(_deep(5), _deep(20), _deep(200)),
    *("2026-02-30T00:00:00Z", "0001-01-01T00:00:00Z", "9" * 5000, "nan", "os:abort", "f" * 64),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in inner:
        yield (*path, name)
        if isinstance(item, dict | list):
            yield from _places(item, (*path, name))


def _twist(value: Any, siblings: list[Any], draws: random.Random) -> None:
    """Change one to three places of a JSON value."""
    for _ in range(draws.randint(1, 3)):
        places = list(_places(value))
        if not places:
            return
        *above, last = draws.choice(places)
        holder = value
        for name in above:
            holder = holder[name]
        kind = draws.randrange(5)
        if kind == 0:
            del holder[last]
        elif kind == 1 and isinstance(holder, dict):
            holder[draws.choice([EVIL, "..", "a/../b", "x" * 5000, "stage", ""])] = holder.pop(last)
        elif kind == 2:  # what another has in that place, an input perhaps: cycles come of it
            sibling: Any = draws.choice(siblings)
            for name in (*above, last):
                fits = isinstance(sibling, dict) and name in sibling
                sibling = sibling[name] if fits else draws.choice(VALUES)
            holder[last] = json.loads(json.dumps(sibling))
        else:
            holder[last] = draws.choice(VALUES)


def _reseal(folder: Path, manifest: Any, draws: random.Random) -> None:
    """Write a manifest whose digests fit, as far as there are any; at times under its new key."""
    if isinstance(manifest, dict):
        files = manifest.get("files")
        if isinstance(files, dict) and all(isinstance(entry, dict) for entry in files.values()):
            manifest["digest"] = sha256_of(
                {name: entry.get("sha256") for name, entry in files.items()}
            )
        moves = draws.random() < 0.7
        if moves:
            manifest["key"] = sha256_of(manifest.get("material"))
        manifest["seal"] = sha256_of({**manifest, "seal": None})
        (folder / MANIFEST).write_text(json.dumps(manifest))
        if moves and not (folder.parent / manifest["key"]).exists():
            folder.rename(folder.parent / manifest["key"])
    else:
        (folder / MANIFEST).write_text(json.dumps(manifest))


def _forge(root: Path, draws: random.Random) -> None:
    """Twist a manifest of a store, or a file of JSON that one names, or some bytes."""
    folders = sorted(path.parent for path in root.glob(f"[!.]*/*/{MANIFEST}"))
    manifests = [json.loads((folder / MANIFEST).read_text()) for folder in folders]
    for _ in range(draws.randint(1, 2)):
        index = draws.randrange(len(folders))
        folder, manifest = folders[index], manifests[index]
        if not folder.exists():
            continue
        names = sorted(path.name for path in folder.glob("*.json") if path.name != MANIFEST)
        chance = draws.random()
        if chance < 0.1:
            data = bytearray((folder / MANIFEST).read_bytes())
            for _ in range(draws.randint(1, 20)):
                data[draws.randrange(len(data))] = draws.randrange(256)
            (folder / MANIFEST).write_bytes(data)
            continue
        if chance < 0.4 and names:
            path = folder / draws.choice(names)
            value = [json.loads(path.read_text())]
            _twist(value, [value], draws)
            path.write_text(json.dumps(value[0] if value else None))
            with suppress(KeyError, TypeError):  # of one that was twisted before
                manifest["files"][path.name] = {"sha256": read_sha256(path), "size": 1}
        else:
            _twist(manifest, manifests, draws)
        _reseal(folder, manifest, draws)


def _printed(*renderables: RenderableType) -> str:
    console = Terminal(file=io.StringIO(), width=100)
    for renderable in renderables:
        console.print(renderable, highlight=False, markup=False)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def _show(store: Store) -> str:
    manifests = matching(store, None)
    json.dumps([summary(manifest) for manifest in manifests])
    trees = [
        list(lineage_lines(store, manifest))
        for manifest in manifests
        if manifest["stage"] in ("study", "number")
    ]
    return _printed(artifacts_table(manifests), *trees)


def _compare(store: Store) -> str:
    comparison = comparison_of(*study_pair(None, None, store.root))
    json.dumps(comparison)
    assert "<script>alert(1)" not in page(comparison)
    console = Terminal(file=io.StringIO(), width=100)
    showing.show_comparison(comparison, console, everything=True)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def _history(store: Store) -> str:
    return _printed(metrics_table(history("accuracy", store.root)))


def _gc(store: Store) -> str:
    collectable = garbage(store, keep_studies=1, older_than_days=0)
    for item in collectable:
        assert (store.root / item.path).resolve().is_relative_to(store.root.resolve())
    return _printed(*(item.content for item in collectable))


def _plan(store: Store) -> str:
    steps = plan([number("a", 1), number("b", 2, number("a", 1))], store)
    return _printed(*(f"{step.label} {step.why}" for step in steps))


def _models(store: Store) -> str:
    return _printed(predicting.models_table(predicting.models(store)))


def _default(store: Store) -> str:
    return Catalogue(store).default()[1]


def _open_all(store: Store) -> str:
    for entry in Catalogue(store).entries:
        try:
            open_model(entry.manifest, Loader(store, device="cpu"))
        except Flowers17Error as problem:
            str(problem)
    return ""


COMMANDS: tuple[Callable[[Store], str], ...] = (
    *(_show, _compare, _history, _gc, _models, _default, _open_all, _plan),
)


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with two studies, models, and stages that were built."""
    root = tmp_path_factory.mktemp("whole") / "store"
    wrong = {"knn on mobilenet": (0,), "mk-1, report split": (0, 1)}
    rows = [row("svm", ours=0.75)]
    for day, seed in ((1, 17), (2, 18)):
        made_study(
            root,
            wrong=wrong,
            rows=rows,
            created=f"2026-02-0{day}T00:00:00Z",
            metrics={"accuracy": 0.5 + seed / 100},
            settings={"seed": seed, "features": {"svm": {"C": 1.0}}},
        )
    maker = Maker(Store(root))
    study(maker, tiny=network(maker, "tiny, clean split"), stacked=stacking(maker, "stacked", 9))
    first = ensure(number("a", 1), {}, Store(root)).reference
    ensure(number("b", 2, number("a", 1)), {"a": first}, Store(root))
    return root


def test_a_twisted_store_is_damage_or_an_error_of_ours(
    intact: Path, tmp_path: Path, fuzz: int, caplog: pytest.LogCaptureFixture
) -> None:
    for command in COMMANDS:
        command(Store(intact))
    refused = 0
    for number_ in range(ROUNDS * fuzz):
        draws, root = random.Random(f"{SEED} {number_}"), tmp_path / "store"
        shutil.copytree(intact, root)
        _forge(root, draws)
        for command in COMMANDS:
            try:
                printed = command(Store(root))
            except Flowers17Error:
                refused += 1
                continue
            except Exception as problem:
                problem.add_note(f"round {number_}, {command.__name__}")
                raise
            assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(printed), number_
        shutil.rmtree(root)
        caplog.clear()
    assert refused, "nothing was refused: are stores twisted at all?"


SHAPES: Shapes = {"weights": [(3,), (2, 2)], "state": [()], "best": [(3,), (2, 2)]}


def _checkpoints(folder: Path) -> None:
    arrays = {
        "weights": [np.zeros(3, np.float32), np.ones((2, 2), np.float32)],
        "state": [np.array(1, np.int64)],
    }
    with Checkpoints(folder, "a" * 64) as checkpoints:
        for epoch in (1, 2):
            history = [{"epoch": number_, "loss": 0.5} for number_ in range(1, epoch + 1)]
            values = {"history": history, "best_epoch": 1}
            checkpoints.save(epoch, {**arrays, "best": arrays["weights"]}, values)


def _npz(path: Path, draws: random.Random) -> None:
    """Put other arrays, or something else, in place of a file of arrays."""
    stream = io.BytesIO()
    kind = draws.randrange(7)
    if kind == 0:
        np.savez_compressed(stream, np.zeros(10**6))
    elif kind == 1:
        np.savez(stream, a=np.array([{}], dtype=object))
    elif kind == 2:
        np.save(stream, np.zeros(3))
    elif kind == 3:
        np.savez(stream, a=np.array("text"), b=np.full(3, np.nan))
    elif kind == 4:
        with zipfile.ZipFile(stream, "w") as members:
            members.writestr("00000.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order'")
            members.writestr("../../b", b"")
    elif kind == 5:
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000000000000,), }"
        with zipfile.ZipFile(stream, "w") as members:
            text = header.ljust(117).encode() + b"\n"
            members.writestr("00000.npy", b"\x93NUMPY\x01\x00v\x00" + text)
    else:
        data = bytearray(path.read_bytes())
        for _ in range(draws.randint(1, 20)):
            data[draws.randrange(len(data))] = draws.randrange(256)
        stream.write(data[: draws.randint(0, len(data))])
    path.write_bytes(stream.getvalue())


def test_a_twisted_checkpoint_is_passed_over_or_refused(
    tmp_path: Path, fuzz: int, caplog: pytest.LogCaptureFixture
) -> None:
    intact = tmp_path / "whole"
    _checkpoints(intact)
    outcomes: set[str] = set()
    for number_ in range(ROUNDS * fuzz):
        draws, folder = random.Random(f"{SEED} {number_}"), tmp_path / "folder"
        shutil.copytree(intact, folder)
        for epoch in (1, 2):
            path = folder / f"generation-{epoch:06d}.json"
            manifest = json.loads(path.read_text())
            manifest.pop("seal")
            if draws.random() < 0.5:
                name = draws.choice(list(manifest["files"].values()))["name"]
                _npz(folder / name, draws)
                for entry in manifest["files"].values():
                    entry["sha256"] = read_sha256(folder / entry["name"])
            else:
                _twist(manifest, [manifest], draws)
            try:
                text = canonical_json({**manifest, "seal": sha256_of(manifest)})
            except (ValueError, RecursionError):
                text = json.dumps(manifest)
            path.write_text(text)
        try:
            with Checkpoints(folder, "a" * 64) as checkpoints:
                latest = checkpoints.latest(SHAPES)
            if latest is not None:
                latest.check(SHAPES)
            outcomes.add("fresh" if latest is None else "used")
        except InvalidInput:
            outcomes.add("refused")
        except Exception as problem:
            problem.add_note(f"round {number_}")
            raise
        shutil.rmtree(folder)
        caplog.clear()
    assert {"fresh", "used"} <= outcomes
