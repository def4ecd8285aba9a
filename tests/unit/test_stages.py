"""Keys change with what decides a result and with nothing else; a stage is built once."""

import ast
import hashlib
import importlib
import json
import logging
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import flowers17
from flowers17 import config, environment, stages
from flowers17.artifacts import Reference, Store
from flowers17.digests import sha256_of
from flowers17.errors import ArtifactDamaged, InvalidInput, StageFailed
from flowers17.stages import Job, Stage, ensure, existing, in_order, key_material, stage_key
from tests.support.file_systems import mounted
from tests.support.processes import at_once, output_of, python
from tests.support.stores import content, unfinished
from tests.support.toy import number

ONE = Reference("number", "a" * 64, "1" * 64)
OTHER = Reference("number", "b" * 64, "2" * 64)
BASE = Stage.of("number", "n", "tests.support.toy:add", {"value": 1, "scale": 2.0}, seed=17)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _calls(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


class TestKeyChangesWith:
    @pytest.mark.parametrize(
        "other",
        [
            Stage.of("other", "n", "tests.support.toy:add", {"value": 1, "scale": 2.0}, seed=17),
            Stage.of("number", "n", "tests.support.toy:add", {"value": 2, "scale": 2.0}, seed=17),
            Stage.of("number", "n", "tests.support.toy:add", {"value": 1}, seed=17),
            Stage.of("number", "n", "tests.support.toy:add", {"value": 1, "scale": 2.0}, seed=18),
            Stage.of("number", "n", "tests.support.toy:add", {"value": 1, "scale": 2.0}),
            Stage.of(
                "number",
                "n",
                "tests.support.toy:add",
                {"value": 1, "scale": 2.0},
                seed=17,
                version=2,
            ),
        ],
        ids=["name", "a setting", "a setting less", "seed", "no seed", "version"],
    )
    def test_the_stage(self, other: Stage) -> None:
        assert stage_key(BASE, {}) != stage_key(other, {})

    def test_the_content_of_an_input(self) -> None:
        stage = number("sum", 1, number("a", 1))
        keys = {stage_key(stage, {"a": reference}) for reference in (ONE, OTHER, None)}
        assert len(keys) == 3

    def test_the_version_of_a_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = stage_key(BASE, {})
        newer = {**stages.library_versions(), "numpy": "99.0"}
        monkeypatch.setattr(stages, "library_versions", lambda: newer)
        assert stage_key(BASE, {}) != before

    def test_the_order_of_a_list(self) -> None:
        first = Stage.of("n", "n", "tests.support.toy:add", {"maps": ["vgg16", "mobilenet"]})
        second = Stage.of("n", "n", "tests.support.toy:add", {"maps": ["mobilenet", "vgg16"]})
        assert stage_key(first, {}) != stage_key(second, {})


class TestKeyStaysWith:
    @pytest.mark.parametrize(
        "rest",
        [
            {"resources": {"weights": "/elsewhere/weights.h5"}},
            {"optional": True},
            {"tolerant": True},
            {"isolated": True},
            {"timeout_s": 1.0},
            {"tags": ("gpu",)},
        ],
        ids=lambda rest: next(iter(rest)),
    )
    def test_what_does_not_decide_the_result(self, rest: dict[str, object]) -> None:
        other = Stage(BASE.name, BASE.label, BASE.build, BASE.config, BASE.seed, **rest)  # type: ignore[arg-type]
        assert stage_key(BASE, {}) == stage_key(other, {})

    def test_another_label(self) -> None:
        other = Stage(BASE.name, "another", BASE.build, BASE.config, BASE.seed)
        assert stage_key(BASE, {}) == stage_key(other, {})

    def test_another_place_of_the_same_input(self) -> None:
        stage = number("sum", 1, number("a", 1))
        moved = Reference("number", "c" * 64, ONE.digest)
        assert stage_key(stage, {"a": ONE}) == stage_key(stage, {"a": moved})

    def test_another_order_of_settings(self) -> None:
        other = Stage.of(
            "number", "n", "tests.support.toy:add", {"scale": 2.0, "value": 1}, seed=17
        )
        assert stage_key(BASE, {}) == stage_key(other, {})

    def test_another_order_of_inputs(self) -> None:
        a, b = number("a", 1), number("b", 2)
        references = {"a": ONE, "b": OTHER}
        assert stage_key(number("s", 0, a, b), references) == stage_key(
            number("s", 0, b, a), references
        )

    def test_another_store_or_process_or_hash_seed(self) -> None:
        code = """
from flowers17.artifacts import Reference
from flowers17.stages import Stage, stage_key
from tests.support.toy import number
tags = tuple({"gpu", "slow", "weights", "features"})
stage = number("sum", 1, number("a", 1), number("b", 2), config={"x": {"z": 1, "y": 2}}, tags=tags)
print(stage_key(stage, {"a": None, "b": Reference("number", "b" * 64, "2" * 64)}))
"""
        keys = {output_of(code, env={"PYTHONHASHSEED": seed}) for seed in ("0", "1", "4711")}
        assert len(keys) == 1


class TestKeyMaterial:
    def test_is_what_the_key_is_the_digest_of(self) -> None:
        text = json.dumps(key_material(BASE, {}), sort_keys=True, separators=(",", ":"))
        assert stage_key(BASE, {}) == hashlib.sha256(text.encode()).hexdigest()

    def test_names_every_part_and_no_path(self, tmp_path: Path) -> None:
        stage = number("sum", 1, number("a", 1), resources={"calls": str(tmp_path / "calls")})
        material = key_material(stage, {"a": ONE})
        assert set(material) == {
            "stage", "version", "config", "seed", "inputs", "code", "libraries",
        }  # fmt: skip
        assert material["inputs"] == {"a": ONE.digest}
        assert str(tmp_path) not in json.dumps(material)

    def test_holds_the_installed_versions(self) -> None:
        versions = key_material(BASE, {})["libraries"]
        for name in ("keras", "numpy", "scikit-learn", "tensorflow"):
            assert versions[name] == version(name)

    def test_has_a_key_pinned_once_for_all(self) -> None:
        material = {
            "stage": "classifier",
            "version": 1,
            "config": {"C": 10.0, "maps": ["mobilenet"], "n_components": None, "search": False},
            "seed": 17,
            "inputs": {"rows": "1" * 64, "splits": "2" * 64},
            "code": {"tasks.classifier": "3" * 64},
            "libraries": {"keras": "3.12.0", "keras-backend": "tensorflow", "numpy": "2.3.5"},
        }
        assert sha256_of(material) == (
            "9d67e3856e93362406a669d2ba173c134e8174ed33580856148df6fbe57c5a04"
        )

    def test_notices_another_keras_backend(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KERAS_BACKEND", "jax")
        stages.library_versions.cache_clear()
        try:
            assert stages.library_versions()["keras-backend"] == "jax"
        finally:
            stages.library_versions.cache_clear()


CODE = '''"""A stage."""

from flowers17.zz_helper import double


def build(job):
    """Build it."""
    return {"x": double(1)}
'''
HELPER = '''"""Helps."""

FACTOR = 2


def double(x):
    """Return twice x."""
    # Twice is enough.
    return FACTOR * x
'''


def forget_code() -> None:
    """Let code be read anew."""
    for function in (environment.code_digests, environment._read_code, environment._data_digests):
        function.cache_clear()


class Modules:
    """Modules of ours in a temporary folder, and the digest of `flowers17.zz_stage`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def digests(self) -> dict[str, str]:
        importlib.invalidate_caches()
        forget_code()
        return environment.code_digests("flowers17.zz_stage")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    monkeypatch.setattr(flowers17, "__path__", [*flowers17.__path__, str(tmp_path / "code")])
    modules = Modules(tmp_path / "code")
    modules.write("zz_stage.py", CODE)
    modules.write("zz_helper.py", HELPER)
    yield modules
    forget_code()


def _computing(source: str) -> list[str]:
    """Methods of a module's models that do more than check, name or rearrange what is set."""
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    methods = []
    for model in classes:
        if "yaml.SafeLoader" in map(ast.unparse, model.bases):  # reads settings, is none
            continue
        for node in model.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                marks = {ast.unparse(mark).partition("(")[0] for mark in node.decorator_list}
                returns = ast.unparse(node.returns) if node.returns else ""
                given = returns.strip("'").removeprefix("tuple[").removesuffix(", ...]")
                names = returns == "str" or given.endswith("Settings")
                checks = returns == "None"
                if not names and not checks and not marks & {"field_validator", "model_validator"}:
                    methods.append(f"{model.name}.{node.name}")
    return methods


def test_settings_compute_nothing_since_no_key_holds_their_code() -> None:
    assert "flowers17.config" in environment.INFRASTRUCTURE
    modules = list(Path(config.__file__).parent.glob("*.py"))
    assert len(modules) > 5
    assert [name for path in modules for name in _computing(path.read_text())] == []


@pytest.mark.parametrize(
    "method",
    ["def half(self, n: int) -> float: ...", "@property\n def half(self) -> float: ..."],
)
def test_settings_that_compute_are_noticed(method: str) -> None:
    assert _computing(f"class Settings:\n {method}") == ["Settings.half"]


@pytest.mark.parametrize("settings", ["HeadSettings", "'HeadSettings'", "tuple[HeadSettings, ...]"])
def test_settings_given_by_settings_reach_the_key_by_what_they_set(settings: str) -> None:
    assert _computing(f"class Settings:\n def heads(self) -> {settings}: ...") == []


class TestCodeDigests:
    def test_cover_the_module_and_what_it_imports(self, modules: Modules) -> None:
        assert set(modules.digests()) == {"flowers17.zz_stage", "flowers17.zz_helper"}

    @pytest.mark.parametrize(
        ("name", "old", "new"),
        [
            ("zz_stage.py", "double(1)", "double(2)"),
            ("zz_helper.py", "FACTOR = 2", "FACTOR = 3"),
            ("zz_helper.py", "FACTOR * x", "x * FACTOR"),
        ],
        ids=["the stage itself", "a constant it uses", "a function it calls"],
    )
    def test_change_with_code(self, modules: Modules, name: str, old: str, new: str) -> None:
        before = modules.digests()
        path = modules.folder / name
        path.write_text(path.read_text().replace(old, new))
        assert modules.digests() != before

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('"""Helps."""', '"""Helps a lot."""'),
            ('"""Helps."""\n', ""),
            ('"""Return twice x."""', '"""Return x + x."""'),
            ("    # Twice is enough.\n", ""),
            ("    return FACTOR * x", "\n    return (FACTOR\n            * x)  # layout"),
        ],
        ids=["docstring", "no docstring", "function's docstring", "comment", "layout"],
    )
    def test_stay_with_words_and_layout(self, modules: Modules, old: str, new: str) -> None:
        before = modules.digests()
        assert old in HELPER
        modules.write("zz_helper.py", HELPER.replace(old, new))
        assert modules.digests() == before

    def test_are_found_without_parsing_again(
        self, modules: Modules, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = modules.digests()
        monkeypatch.setattr(ast, "parse", lambda *_: pytest.fail("parsed again"))
        assert modules.digests() == before

    @pytest.mark.parametrize("kept", ["", "{", "[]", '"x"', "{}", '{"state": "0", "digest": "1"}'])
    def test_are_found_anew_where_what_was_kept_is_damaged(
        self, modules: Modules, kept: str
    ) -> None:
        before = modules.digests()
        facts = list(modules.folder.glob("__pycache__/zz_*.json"))
        assert len(facts) == len(before)
        for path in facts:
            path.write_text(kept)
        assert modules.digests() == before
        assert all(path.read_text() != kept for path in facts)

    def test_need_no_place_to_be_kept(self, modules: Modules) -> None:
        modules.write("__pycache__", "a file, no folder")
        assert set(modules.digests()) == {"flowers17.zz_stage", "flowers17.zz_helper"}

    def test_stay_with_unrelated_modules(self, modules: Modules) -> None:
        before = modules.digests()
        modules.write("zz_unrelated.py", "X = 1\n")
        assert modules.digests() == before

    def test_follow_imports_inside_functions_and_of_modules_by_name(self, modules: Modules) -> None:
        modules.write(
            "zz_stage.py",
            "def build(job):\n    from flowers17 import zz_helper\n    import flowers17.zz_other\n",
        )
        modules.write("zz_other.py", "X = 1\n")
        assert {"flowers17.zz_helper", "flowers17.zz_other"} <= set(modules.digests())

    def test_survive_modules_that_import_each_other(self, modules: Modules) -> None:
        modules.write("zz_helper.py", f"{HELPER}\nimport flowers17.zz_stage\n")
        assert set(modules.digests()) == {"flowers17.zz_stage", "flowers17.zz_helper"}

    def test_change_with_data_files_beside_the_module(self, modules: Modules) -> None:
        modules.write("zz_templates/page.html", "<p>")
        before = modules.digests()
        modules.write("zz_templates/page.html", "<b>")
        assert modules.digests() != before

    @pytest.mark.parametrize(
        "line",
        [
            "from flowers17.stages import Job",
            "import flowers17.errors",
            "from tasks.engine import run_stages",
        ],
    )
    def test_leave_out_how_stages_are_run(self, modules: Modules, line: str) -> None:
        modules.write("zz_helper.py", f"{HELPER}\n{line}\n")
        assert set(modules.digests()) == {"flowers17.zz_stage", "flowers17.zz_helper"}

    def test_do_not_run_the_modules(self, modules: Modules) -> None:
        modules.write("zz_helper.py", "raise RuntimeError('imported')\n")
        assert set(modules.digests()) == {"flowers17.zz_stage", "flowers17.zz_helper"}


class TestOrder:
    def test_puts_inputs_first_and_each_stage_once(self) -> None:
        a, b = number("a", 1), number("b", 2)
        c = number("c", 3, b, a)
        assert [stage.label for stage in in_order([number("d", 4, c, a), c])] == [
            "b",
            "a",
            "c",
            "d",
        ]

    def test_takes_equal_stages_for_one(self) -> None:
        stages = [number("c", 3, number("a", 1)), number("d", 4, number("a", 1))]
        assert [stage.label for stage in in_order(stages)] == ["a", "c", "d"]

    def test_refuses_two_stages_of_one_label(self) -> None:
        with pytest.raises(InvalidInput, match="expected one stage 'a', got two that differ"):
            in_order([number("a", 1), number("a", 2)])


class TestEnsure:
    def test_builds_once_and_reuses(self, store: Store, tmp_path: Path) -> None:
        stage = number("a", 4, resources={"calls": str(tmp_path / "calls")})
        first, second = ensure(stage, {}, store), ensure(stage, {}, store)
        assert (first.reused, second.reused) == (False, True)
        assert first.reference == second.reference
        assert _calls(tmp_path / "calls") == ["4"]

    def test_gives_a_build_its_inputs(self, store: Store) -> None:
        a, b = number("a", 4), number("b", 5)
        references = {stage.label: ensure(stage, {}, store).reference for stage in (a, b)}
        total = ensure(number("sum", 1, a, b), references, store).reference
        assert store.open(total).json("total") == 10

    def test_builds_the_same_bytes_in_another_store(self, store: Store, tmp_path: Path) -> None:
        other = Store(tmp_path / "other")
        assert (
            ensure(number("a", 4), {}, store).reference
            == ensure(number("a", 4), {}, other).reference
        )

    def test_records_where_an_artifact_comes_from(self, store: Store) -> None:
        a = number("a", 4)
        references = {"a": ensure(a, {}, store).reference}
        stage = number("sum", 1, a, seed=3)
        manifest = store.open(ensure(stage, references, store).reference).manifest
        assert manifest["material"] == key_material(stage, references)
        assert manifest["inputs"] == {"a": references["a"].to_json()}
        assert manifest["metrics"] == {"total": 5, "missing": 0}
        assert manifest["label"] == "sum"

    @pytest.mark.parametrize(
        "harm", [lambda path: path.unlink(), lambda path: path.write_text("7")]
    )
    def test_builds_again_what_was_harmed(
        self, store: Store, harm: Callable[[Path], object], caplog: pytest.LogCaptureFixture
    ) -> None:
        stage = number("a", 4)
        first = ensure(stage, {}, store)
        before = content(store.folder("number", first.reference.key))
        harm(store.folder("number", first.reference.key) / "total.json")
        with caplog.at_level(logging.WARNING):
            second = ensure(stage, {}, store)
        assert not second.reused
        assert second.reference == first.reference
        after = content(store.folder("number", first.reference.key))
        assert after["total.json"] == before["total.json"]
        assert len(caplog.messages) == 1

    def test_never_computes_from_a_damaged_input(self, store: Store, tmp_path: Path) -> None:
        a = number("a", 4)
        references = {"a": ensure(a, {}, store).reference}
        (store.folder("number", references["a"].key) / "total.json").write_text("400")
        stage = number("sum", 1, a, resources={"calls": str(tmp_path / "calls")})
        with pytest.raises(ArtifactDamaged, match=r"total\.json: its bytes are not those"):
            ensure(stage, references, store)
        assert _calls(tmp_path / "calls") == []
        assert unfinished(store) == []

    def test_leaves_nothing_of_a_build_that_fails(self, store: Store) -> None:
        stage = number("a", 4, config={"problem": "invalid"})
        with pytest.raises(InvalidInput, match="expected a flower"):
            ensure(stage, {}, store)
        assert existing(stage, {}, store) is None
        assert unfinished(store) == []

    def test_keeps_what_a_failed_build_had_done_until_it_succeeds(
        self, store: Store, tmp_path: Path
    ) -> None:
        resources = {"tries": str(tmp_path / "tries")}
        stage = number("a", 4, config={"problem": "halfway"}, resources=resources)
        place = store.unfinished("number", stage_key(stage, {}))
        with pytest.raises(InvalidInput, match="half done"):
            ensure(stage, {}, store)
        assert content(place) == {"half": b"1"}
        manifest = store.open(ensure(stage, {}, store).reference).manifest
        assert manifest["files"].keys() == {"total.json"}
        assert not place.exists()

    def test_removes_checkpoints_of_a_build_that_was_killed_after_it_had_published(
        self, store: Store
    ) -> None:
        stage = number("a", 4)
        ensure(stage, {}, store)
        place = store.unfinished("number", stage_key(stage, {}))
        place.mkdir(parents=True)
        (place / "half").write_text("1")
        assert ensure(stage, {}, store).reused
        assert unfinished(store) == []

    def test_tells_a_tolerant_stage_what_is_missing(self, store: Store) -> None:
        a, b = number("a", 4), number("b", 5)
        references = {"a": None, "b": ensure(b, {}, store).reference}
        stage = number("sum", 1, a, b, tolerant=True)
        manifest = store.open(ensure(stage, references, store).reference).manifest
        assert manifest["metrics"] == {"total": 6, "missing": 1}

    def test_builds_once_what_processes_want_at_once(self, store: Store, tmp_path: Path) -> None:
        code = """
import sys
from flowers17.artifacts import Store
from flowers17.stages import ensure
from tests.support.toy import number
stage = number("a", 4, config={"seconds": 0.5}, resources={"calls": sys.argv[2]})
print("ready", flush=True)
sys.stdin.readline()
outcome = ensure(stage, {}, Store(sys.argv[1]))
print(outcome.reused, outcome.reference.digest)
"""
        arguments = ("-c", code, str(store.root), str(tmp_path / "calls"))
        with python(*arguments) as first, python(*arguments) as second, python(*arguments) as third:
            printed = sorted(out.split() for out in at_once(first, second, third))
        assert [reused for reused, _ in printed] == ["False", "True", "True"]
        assert len({digest for _, digest in printed}) == 1
        assert _calls(tmp_path / "calls") == ["4"]

    def test_tells_progress(self, store: Store) -> None:
        reports: list[tuple[int, int, str]] = []
        ensure(number("a", 4), {}, store, progress=lambda *report: reports.append(report))
        assert reports == [(1, 3, "parts"), (2, 3, "parts"), (3, 3, "parts")]

    def test_says_which_function_is_not_there(self, store: Store) -> None:
        stage = Stage.of("number", "a", "tests.support.toy:subtract")
        with pytest.raises(StageFailed, match=r"'subtract' in tests\.support\.toy, found none"):
            ensure(stage, {}, store)


class TestJob:
    def _job(self, folder: Path) -> Job:
        unfinished = folder / "unfinished"
        store = Store(folder / "store")
        return Job({}, 1, {}, {}, store=store, folder=folder, unfinished=unfinished)

    @pytest.mark.parametrize(
        "array",
        [
            np.arange(6, dtype=np.int64).reshape(2, 3),
            np.asfortranarray(np.random.default_rng(0).random((300, 7))),
            np.zeros((0, 4), np.float32),
            np.arange(20, dtype=np.uint8)[::3],
            np.float64(3.5),
        ],
        ids=["integers", "Fortran order", "no rows", "strided", "a scalar"],
    )
    def test_saves_arrays_byte_for_byte_as_numpy_does(
        self, tmp_path: Path, array: np.ndarray
    ) -> None:
        self._job(tmp_path).save_array("ours", array)
        np.save(tmp_path / "theirs.npy", array, allow_pickle=False)
        assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()

    def test_refuses_arrays_of_objects(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="Object arrays cannot be saved"):
            self._job(tmp_path).save_array("x", np.array([{}]))

    def test_array_filled_on_the_disk_is_the_one_saved_at_once(self, tmp_path: Path) -> None:
        array = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), dtype=np.uint8)
        job = self._job(tmp_path)
        on_disk = job.new_array("filled", array.shape, np.uint8)
        for start in range(0, 50, 7):
            on_disk[start : start + 7] = array[start : start + 7]
        job.save_array("saved", array)
        assert (tmp_path / "filled.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()

    def test_array_larger_than_the_disk_is_refused_before_it_is_filled(
        self, tmp_path: Path
    ) -> None:
        with (
            mounted(tmp_path / "disk", "size=1m") as disk,
            pytest.raises(OSError, match="No space left"),
        ):
            self._job(disk).new_array("x", (2, 2**20), np.uint8)

    def test_saves_json_canonically(self, tmp_path: Path) -> None:
        self._job(tmp_path).save_json("x", {"b": 1, "a": None})
        assert (tmp_path / "x.json").read_bytes() == b'{"a":null,"b":1}\n'


class TestOptional:
    """A stage is optional if it needs one that is, unless it is built from what there is."""

    LACKING = Stage.of("weights", "w", optional=True)

    def test_follows_from_the_inputs(self) -> None:
        maps = Stage.of("features", "f", inputs={"weights": self.LACKING})
        assert maps.optional
        assert Stage.of("rows", "r", inputs={"f": maps}).optional
        assert not Stage.of("rows", "r", inputs={"b": BASE}).optional

    def test_is_never_a_tolerant_one(self) -> None:
        assert not Stage.of("study", "s", inputs={"w": self.LACKING}, tolerant=True).optional


def test_a_stage_is_built_by_the_module_of_its_name() -> None:
    assert Stage.of("rows", "r").build == "tasks.rows:build"
