"""The command line: wrong words are refused before anything is written; JSON is for scripts."""

import json
import time
from pathlib import Path

import pytest

from flowers17.artifacts import Store
from flowers17.cli import main
from flowers17.profiles import PROFILES
from flowers17.stages import Stage, ensure
from tests.support.stores import content
from tests.support.toy import number


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder to stand in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "here"


def _exit_code(*arguments: str) -> int | str | None:
    try:
        main(list(arguments))
    except SystemExit as end:
        return end.code or 0
    return 0


@pytest.fixture
def store(here: Path) -> Store:
    """Return a store with two artifacts, one made from the other."""
    store = Store(here / "store")
    a = number("a", 4, seed=3)
    given = {"a": ensure(a, {}, store).reference}
    ensure(number("sum", 1, a), given, store)
    return store


class TestWrongWords:
    @pytest.mark.parametrize("command", ["run", "plan"])
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["study", "--profil", "demo"], "No such option: --profil"),
            (
                ["studdy"],
                "'studdy' is not one of 'dataset', 'learners', 'features', 'ensemble', 'report', "
                "'study'",
            ),
            (
                [],
                "Missing argument 'flow'. Choose from: dataset, learners, features, ensemble, "
                "report, study",
            ),
            (["study", "--profile", "quik"], "'demo', 'quick', 'report' or 'best', got 'quik'"),
            (["study", "--set", "dataset.n_clases=3"], "did you mean set.dataset.n_classes?"),
            (["study", "--set", "dataset.n_classes=99"], "less than or equal to 17, got 99"),
            (["study", "--set", "seed"], "expected KEY=VALUE, got 'seed'"),
            (["study", "--set", "seed=[1"], "expected a YAML value, got '[1'"),
            (["study", "--dataset", ""], "setting dataset"),
        ],
    )
    def test_end_with_2_and_the_reason_and_write_nothing(
        self,
        command: str,
        arguments: list[str],
        said: str,
        here: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert _exit_code(command, *arguments) == 2
        printed = capsys.readouterr()
        assert said in " ".join(printed.err.replace("│", " ").split())
        assert "Traceback" not in printed.err
        assert printed.out == ""
        assert list(here.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--runner", "cluster"], "'local' or 'processes', got 'cluster'"),
            (["--workers", "0"], "greater than or equal to 1, got 0"),
            (["--workers", "two"], "unable to parse string as an integer"),
        ],
    )
    def test_of_run_end_with_2_and_write_nothing(
        self, arguments: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("run", "study", *arguments) == 2
        assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())
        assert list(here.iterdir()) == []

    @pytest.mark.server
    def test_a_dataset_that_is_not_there_ends_with_2_and_writes_nothing(
        self,
        here: Path,
        capsys: pytest.CaptureFixture[str],
        prefect_api: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("PREFECT_API_URL", prefect_api)
        assert _exit_code("run", "study", "--dataset", "no-such-thing") == 2
        assert "no-such-thing" in capsys.readouterr().err
        assert list(here.iterdir()) == []

    def test_an_unknown_command_ends_with_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert _exit_code("runn") == 2
        assert "No such command 'runn'" in capsys.readouterr().err

    @pytest.mark.parametrize("command", ["show", "gc"])
    def test_a_store_that_is_not_there_is_not_made(
        self, command: str, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code(command) == 2
        assert "expected the folder of a store; run `flowers17 run` first" in " ".join(
            capsys.readouterr().err.split()
        )
        assert list(here.iterdir()) == []

    def test_square_brackets_in_them_are_shown_as_they_are(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("plan", "study", "--set", "seed='[/]'") == 2
        assert "[/]" in capsys.readouterr().err


def test_an_interruption_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flowers17.commands.running.run_flow", interrupted)
    assert _exit_code("run", "study") == 130
    assert "run the same command again to go on where it stopped" in capsys.readouterr().err


class TestSettings:
    @pytest.mark.parametrize("profile", PROFILES)
    def test_as_json_are_the_profile(
        self, profile: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("settings", "--profile", profile, "--json") == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed == PROFILES[profile].model_dump(mode="json")  # type: ignore[index]

    def test_lists_every_setting_that_can_be_set(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert _exit_code("settings") == 0
        printed = capsys.readouterr().out
        for name in ("seed", "dataset.n_classes", "features.classifiers.svm.C"):
            assert name in printed.split()


class TestShow:
    def test_lists_artifacts_as_json(
        self, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("show", "--json") == 0
        printed = json.loads(capsys.readouterr().out)
        assert sorted((one["label"], one["metrics"]["total"]) for one in printed) == [
            ("a", 4),
            ("sum", 5),
        ]

    def test_tells_the_lineage_down_to_the_seed(
        self, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        key = next(one["key"] for one in store.manifests() if one["label"] == "sum")
        assert _exit_code("show", f"number/{key[:12]}") == 0
        printed = capsys.readouterr().out
        assert "sum number/" in printed
        assert "a number/" in printed
        assert "value: 1" in printed

    def test_of_nothing_says_what_was_expected(
        self, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("show", "number/zzz") == 1
        assert "expected an artifact 'number/zzz', found none" in " ".join(
            capsys.readouterr().err.split()
        )


class TestCollecting:
    def _age(self, monkeypatch: pytest.MonkeyPatch, days: float) -> None:
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + days * 24 * 3600)

    def test_leaves_what_is_young(self, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
        before = content(store.root)
        assert _exit_code("gc", "--json") == 0
        assert json.loads(capsys.readouterr().out) == []
        assert content(store.root) == before

    def test_only_says_what_would_go(
        self,
        store: Store,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        before = content(store.root)
        self._age(monkeypatch, 2)
        assert _exit_code("gc", "--dry-run", "--json") == 0
        assert len(json.loads(capsys.readouterr().out)) == 2
        assert content(store.root) == before

    def test_deletes_old_artifacts_and_what_broken_builds_left(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder in (".partial/number-x", ".damaged/number-y"):
            (store.root / folder).mkdir(parents=True)
        self._age(monkeypatch, 2)
        assert _exit_code("gc") == 0
        assert list(store.manifests()) == []
        assert [name for name in content(store.root) if not name.startswith(".locks/")] == []
        assert list((store.root / ".partial").iterdir()) == []
        assert list((store.root / ".damaged").iterdir()) == []

    def test_keeps_the_newest_studies_and_all_that_they_need(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a = number("a", 4, seed=3)
        given = {"a": ensure(a, {}, store).reference}
        study = Stage.of("study", "report", "tests.support.toy:add", {"value": 0}, inputs={"a": a})
        ensure(study, given, store)
        self._age(monkeypatch, 2)
        assert _exit_code("gc", "--keep-studies", "1") == 0
        assert sorted(one["label"] for one in store.manifests()) == ["a", "report"]
        assert _exit_code("gc", "--keep-studies", "0") == 0
        assert list(store.manifests()) == []


def test_help_of_every_command_names_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "plan", "show", "settings", "gc", "doctor"):
        assert _exit_code(command, "--help") == 0
        assert "--json" in capsys.readouterr().out
