"""The command line: wrong words are refused before anything is written; JSON is for scripts."""

import ast
import contextlib
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer.main

from flowers17.artifacts import Reference, Store
from flowers17.cli import main
from flowers17.commands import showing
from flowers17.commands.options import app
from flowers17.config import RunOptions
from flowers17.errors import InvalidInput, StoreUnusable, UnusableImage, UnusableImages
from flowers17.profiles import PROFILES
from flowers17.reporting.studies.records import studies_in
from flowers17.request import StudyRequest
from flowers17.stages import Stage, ensure
from flowers17.terminal import Terminal
from tasks.liveness import registered
from tasks.results import Results
from tests.support.image_files import class_folders
from tests.support.made_studies import SETTINGS, made_study, row
from tests.support.processes import output_of
from tests.support.stores import content
from tests.support.toy import number


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
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
    """A store with two artifacts, one made from the other."""
    store = Store(here / "store")
    a = number("a", 4, seed=3)
    references = {"a": ensure(a, {}, store).reference}
    ensure(number("sum", 1, a), references, store)
    return store


def test_plan_names_some_reasons_and_as_json_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    assert _exit_code("plan", "report", "--store", "fresh") == 0
    [shown] = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("run  report  ")
    ]
    assert _exit_code("plan", "report", "--store", "fresh", "--json") == 0
    [report] = [step for step in json.loads(capsys.readouterr().out) if step["label"] == "report"]
    assert all(reason in shown for reason in report["why"][:4])
    assert report["why"][4] not in shown
    assert f"and {len(report['why']) - 4} more (--json)" in shown


class TestWrongWords:
    @pytest.mark.parametrize("command", ["run", "plan"])
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["study", "--profil", "demo"], "No such option: --profil"),
            (
                ["studdy"],
                "'studdy' is not one of 'dataset', 'learners', 'features', 'finetune', "
                "'ensemble', 'attacks', 'next_steps', 'report', 'study'",
            ),
            (
                [],
                "Missing argument 'flow'. Choose from: dataset, learners, features, finetune, "
                "ensemble, attacks, next_steps, report, study",
            ),
            (["study", "--profile", "quik"], "'demo', 'quick', 'report' or 'best', got 'quik'"),
            (["study", "--set", "dataset.n_clases=3"], "did you mean dataset.n_classes?"),
            (["study", "--set", "learners.plain="], "learners.plain: expected a value, got null"),
            (["study", "--set", "dataset.n_classes=99"], "expected at most 17, got 99"),
            (["study", "--set", "seed"], "expected KEY=VALUE, got 'seed'"),
            (["study", "--set", "seed=[1"], "expected a YAML value, got '[1'"),
            (["study", "--dataset", ""], "setting dataset"),
        ],
    )
    def test_end_with_2_and_the_reason_and_write_nothing(
        self,
        command: str,
        arguments: list[str],
        message: str,
        here: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert _exit_code(command, *arguments) == 2
        printed = capsys.readouterr()
        assert message in " ".join(printed.err.replace("│", " ").split())
        assert "Traceback" not in printed.err
        assert printed.out == ""
        assert list(here.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--runner", "cluster"], "'local', 'processes' or 'ray', got 'cluster'"),
            (["--workers", "0"], "expected at least 1, got 0"),
            (["--workers", "two"], "unable to parse string as an integer"),
        ],
    )
    def test_of_run_end_with_2_and_write_nothing(
        self, arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("run", "study", *arguments) == 2
        assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
        assert list(here.iterdir()) == []

    @pytest.mark.parametrize(
        "arguments",
        [
            ["plan", "study", "--dataset", "x" * 5000],
            ["plan", "study", "--dataset", "x" * 300],
            ["plan", "study", "--store", "x" * 5000],
            ["run", "study", "--store", "x" * 5000],
            *([command, "--store", "x" * 5000] for command in ("show", "gc", "compare")),
            ["export", "best", "--to", "x" * 5000 + ".keras"],
        ],
    )
    def test_that_are_too_long_are_told_in_a_sentence(
        self, arguments: list[str], here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code(*arguments) in (1, 2)
        printed = capsys.readouterr().err
        assert "Traceback" not in printed
        assert 0 < len(printed) < 2100
        assert list(here.iterdir()) == []

    def test_a_store_where_no_files_can_be_made_is_refused(self) -> None:
        with pytest.raises(StoreUnusable, match="in which files can be made"):
            Store("/proc/self").check_writable()

    def test_an_address_with_credentials_is_refused_by_recover(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("recover", "--store", "s3://user:secret@host/bucket") == 2
        printed = capsys.readouterr().err
        assert "credentials" in printed
        assert "secret" not in printed

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

    @pytest.mark.parametrize("command", ["show", "gc", "compare"])
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


class TestHomeFolders:
    """A shell leaves the ~ of `--store=~/x` as it is."""

    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        return tmp_path / "home"

    @pytest.fixture
    def requests(self, monkeypatch: pytest.MonkeyPatch) -> list[StudyRequest]:
        """The requests that commands come to, of which nothing is run."""
        requests: list[StudyRequest] = []

        def ask(*values: Any, **_: Any) -> Any:
            requests.extend(value for value in values if isinstance(value, StudyRequest))
            raise InvalidInput("enough")

        for name in ("run_flow", "steps_of", "planned_sweep"):
            monkeypatch.setattr(f"flowers17.commands.running.{name}", ask)
        monkeypatch.setattr("flowers17.commands.serving.serve", ask)
        return requests

    @pytest.mark.parametrize("words", [["run", "study"], ["plan", "study"], ["sweep"], ["serve"]])
    @pytest.mark.parametrize("between", ["=", " "])
    def test_are_replaced_in_what_is_run(
        self, words: list[str], between: str, home: Path, here: Path, requests: list[StudyRequest]
    ) -> None:
        options = ["--store=~/x", "--weights-dir=~/w", "--dataset=~/d.tgz"]
        options += ["--tensorboard=~/t"] if words[0] != "plan" else []
        arguments = [
            part for option in options for part in option.split("=" if between == " " else None)
        ]
        assert _exit_code(*words, *arguments) == 2
        (request,) = requests
        assert request.store == home / "x"
        assert request.weights_dir == home / "w"
        assert request.dataset == str(home / "d.tgz")
        assert request.options.tensorboard == (home / "t" if words[0] != "plan" else None)
        assert list(here.iterdir()) == []

    @pytest.mark.parametrize("words", [["run", "study"], ["plan", "study"], ["sweep"], ["serve"]])
    def test_are_none_of_an_address(self, words: list[str], requests: list[StudyRequest]) -> None:
        assert _exit_code(*words, "--store=s3://bucket/~/x") == 2
        assert requests[0].store == "s3://bucket/~/x"

    def test_are_replaced_in_what_is_read_and_written(
        self,
        studies: Path,
        home: Path,
        here: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        studies.rename(home)
        monkeypatch.setattr("flowers17.commands.exporting.export", lambda _, to, **__: [to])
        assert _exit_code("export", "best", "--store=~", "--to=~/flowers.onnx") == 0
        assert capsys.readouterr().out.strip() == str(home / "flowers.onnx")
        assert _exit_code("show", "--store=~", "--json") == 0
        assert json.loads(capsys.readouterr().out)
        assert _exit_code("compare", "--store=~", "--html=~/changes.html") == 0
        assert (home / "changes.html").is_file()
        assert list(here.iterdir()) == []

    def test_of_users_that_there_are_not_are_refused(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("run", "study", "--store=~nobody-at-all/x") == 2
        message = " ".join(capsys.readouterr().err.replace("│", " ").split())
        assert "expected a path below the home of a user that is known, got '~nobody-at" in message
        assert list(here.iterdir()) == []


def test_a_run_ends_with_its_headline_numbers(
    studies: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = studies_in(studies)[-1]
    results = Results({"report": Reference("study", study.manifest["key"], "d" * 64)}, {"report"})
    lines = [
        {
            "value": "0.944",
            "measure": "accuracy",
            "interval": [0.9, 0.97],
            "label": "best of Table 8",
            "detail": "logistic regression on MobileNet",
            "tag": "",
        },
        {
            "value": "5 of 5",
            "measure": "cells of Table 8 reproduced",
            "interval": None,
            "label": "classifiers on features",
            "detail": "within",
            "tag": "untrained weights",
        },
    ]
    monkeypatch.setattr("flowers17.commands.running.run_flow", lambda *_, **__: (results, {}))
    page = studies / "report" / "index.html"
    step = {"text": "Take more images.", "numbers": "Table N2"}
    numbers = {"highlights": lines, "next_steps": [step]}
    monkeypatch.setattr("flowers17.commands.running.report_of", lambda *_: (page, numbers))
    assert _exit_code("run", "study") == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines()[1:] == [
        "0.944 accuracy, 95 % interval 0.900–0.970: best of Table 8, logistic regression on "
        "MobileNet",
        "5 of 5 cells of Table 8 reproduced: classifiers on features, within (untrained weights)",
        "Take more images. (Table N2)",
    ]
    assert printed.out == f"{page}\n"


def test_prefects_notice_of_telemetry_is_not_shown(tmp_path: Path) -> None:
    """Telemetry is off here; Prefect tells of it in a terminal at its first import."""
    code = "from flowers17.cli import main\ntry: main(['history', '--help'])\n"
    code += "except SystemExit: pass\nimport prefect.main, prefect; prefect.flow; print('end')"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path)}
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
        cwd=Path(__file__).parents[2],
    ) as process:
        os.close(follower)
        printed = b""
        with contextlib.suppress(OSError):  # so ends a terminal whose last program has ended
            while block := os.read(leader, 4096):
                printed += block
    os.close(leader)
    assert process.returncode == 0, printed
    assert b"end" in printed
    assert b"anonymous usage data" not in printed


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
        assert sorted(
            (artifact["label"], artifact["metrics"]["total"]) for artifact in printed
        ) == [
            ("a", 4),
            ("sum", 5),
        ]

    def test_tells_the_lineage_down_to_the_seed(
        self, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        key = next(manifest["key"] for manifest in store.manifests() if manifest["label"] == "sum")
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


BEST = "best accuracy (report)"


@pytest.fixture
def studies(here: Path) -> Path:
    """A store of three studies of two labels; the newest has one setting and model anew."""
    root = here / "store"
    changed = {**SETTINGS, "seed": 18, "features": {"svm": {"C": 1.0}}}
    material = {"seed": 18, "code": {"tasks.classifier": "2"}, "libraries": {"numpy": "2.5.0"}}
    made_study(root, rows=[row("svm", ours=0.75), row("knn", ours=0.875)])
    made_study(root, label="report on features", created="2026-01-02T00:00:00Z", metrics={BEST: 1})
    made_study(
        root,
        rows=[row("svm", ours=0.5), row("knn", ours=0.875), row("new", ours=1)],
        created="2026-01-03T00:00:00Z",
        settings=changed,
        wrong={"knn on mobilenet": (0,), "svm on mobilenet": (0, 1, 2, 3)},
        part=material,
    )
    return root


def _key(store: Path, place: int) -> str:
    return f"study/{studies_in(store)[place].manifest['key'][:12]}"


class TestCompare:
    def _compared(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
        assert _exit_code("compare", *arguments, "--json") == 0
        return dict(json.loads(capsys.readouterr().out))

    def test_takes_the_newest_and_the_one_before_it_of_its_label(
        self, studies: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        comparison = self._compared(capsys)
        assert [comparison[side]["created"][:10] for side in ("before", "after")] == [
            "2026-01-01",
            "2026-01-03",
        ]
        assert self._compared(capsys, _key(studies, 0)) == comparison
        assert self._compared(capsys, _key(studies, 2)) == comparison
        assert self._compared(capsys, _key(studies, 0), str(studies)) == comparison

    def test_names_what_differs(self, studies: Path, capsys: pytest.CaptureFixture[str]) -> None:
        differences = self._compared(capsys)["differences"]
        models = ["knn on mobilenet", "svm on mobilenet"]
        assert differences == {
            "settings": ["features.svm.C: 10.0 → 1.0"],
            "data": [],
            "code": {"tasks.classifier": models},
            "libraries": {"keras: 3.12.0 → absent": models, "numpy: 2.4.0 → 2.5.0": models},
            "seeds": {"seed: 17 → 18": models},
            "stages": {},
            "only_before": [],
            "only_after": [],
            "notes": [],
        }

    def test_shows_metrics_and_tests_side_by_side(
        self, studies: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = content(studies)
        assert _exit_code("compare") == 0
        printed = capsys.readouterr().out
        assert "features.svm.C: 10.0 → 1.0" in printed
        assert "Table 8: Classifiers; 1 of 2 rows equal" in printed
        lines = [line.split() for line in printed.splitlines()]
        assert lines[lines.index(["svm"]) + 1] == ["ours", "0.7500", "0.5000", "−0.2500"]
        assert ["knn"] not in lines
        assert "only after: new" in printed
        # Two images on which only the first is right: 2 / 2² = 0.5.
        tested = ["report", "8", "0.7500", "0.5000", "2", "0", "0.500", "0.500"]
        assert tested == lines[lines.index(["svm", "on", "mobilenet"]) + 1]
        assert "1 with equal content, nothing to test (knn on mobilenet)" in printed
        assert _exit_code("compare", "--all") == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert lines[lines.index(["knn"]) + 1] == ["ours", "0.8750", "0.8750", "0"]
        assert content(studies) == before

    def test_writes_a_page_with_all_of_it(
        self, studies: Path, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("compare", "--html", "changes.html") == 0
        assert "Table 8: Classifiers; 1 of 2 rows equal" in capsys.readouterr().out
        page = (here / "changes.html").read_text()
        message = " ".join(re.sub(r"<[^>]+>", " ", page.partition("</style>")[2]).split())
        assert "Settings features.svm.C: 10.0 → 1.0" in message
        assert "numpy: 2.4.0 → 2.5.0 (knn on mobilenet; svm on mobilenet)" in message
        assert "No difference in data, settings of stages." in message
        assert "svm ours 0.7500 0.5000 −0.2500" in message
        assert (
            "1 equal numbers row metric before after difference knn ours 0.8750 0.8750 0" in message
        )
        assert "only after: new" in message
        assert "svm on mobilenet report 8 0.7500 0.5000 2 0 0.500 0.500" in message
        assert "1 with equal content, nothing to test (knn on mobilenet)" in message
        assert "http" not in page
        assert _exit_code("compare", "--html", "nowhere/changes.html") == 2
        refused = " ".join(capsys.readouterr().err.split())
        assert "--html nowhere/changes.html: expected a file that can be written, got No" in refused

    def test_breaks_lines_of_a_terminal_between_words_only(
        self, studies: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        comparison = self._compared(capsys)
        title = "logistic regression on MobileNet (224 px) + Xception (299 px), averaged, clean"
        comparison["tables"][0]["metrics"][0]["row"] = title
        comparison["paired"]["tests"][0]["label"] = title
        stream = io.StringIO()
        terminal = Terminal(file=stream, width=60, force_terminal=True, color_system=None)
        showing.show_comparison(comparison, terminal)
        lines = stream.getvalue().splitlines()
        # A path is never broken, so that it can be copied.
        assert all(len(line) <= 60 or "/results.json" in line for line in lines)
        words = {word for line in lines for word in line.split()}
        assert set(title.split()) <= words

    def test_of_a_study_with_itself_finds_no_difference(
        self, studies: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("compare", _key(studies, 0), _key(studies, 0)) == 0
        printed = capsys.readouterr().out
        assert "these differ" not in printed
        assert "2 of 2 rows equal" in printed

    def test_of_a_lone_file_says_what_is_not_compared(
        self, studies: Path, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lone = here / "old.json"
        lone.write_bytes(studies_in(studies)[0].path.read_bytes())
        comparison = self._compared(capsys, str(lone), _key(studies, 2))
        assert comparison["differences"]["settings"] == ["features.svm.C: 10.0 → 1.0"]
        assert comparison["differences"]["seeds"] == {"seed: 17 → 18": []}
        assert "code, libraries and the settings of stages are not compared" in str(
            comparison["differences"]["notes"]
        )
        assert comparison["paired"]["tests"] == []

    def test_says_plainly_that_other_images_are_not_tested(
        self, studies: Path, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data = {"source": "archive", "digest": "e" * 64, "is_oxford17": False}
        made_study(here / "other", data=data)
        assert _exit_code("compare", "other", _key(studies, 0)) == 0
        printed = capsys.readouterr().out
        assert "nothing is tested: the two studies have different images" in printed
        assert f"digest: {'e' * 12} → {'d' * 12}" in printed
        assert "source: archive → rendered" in printed

    def test_names_settings_of_stages_and_folds_what_only_one_has(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        many = {f"option_{n}": n for n in range(11)}
        added = {"learners": many, "features": {"maps": [{"size": 1}, {"size": 2}]}}
        for place, (device, settings) in enumerate((("cpu", {}), ("gpu", added))):
            made_study(
                here / "store",
                created=f"2026-01-0{place + 1}T00:00:00Z",
                settings={"seed": 17, "features": {"maps": [{"size": 1}]}, **settings},
                part={"config": {"device": device}},
            )
        differences = self._compared(capsys)["differences"]
        assert differences["settings"] == [
            "features.maps.2.size: absent → 2",
            "learners: absent → 11 settings",
        ]
        assert list(differences["stages"]) == ["device: cpu → gpu"]

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["study/ffffffffffff"], 1, "expected an artifact 'study/ffffffffffff', found none"),
            (["nowhere"], 2, "nowhere: expected study/KEY, the folder of another store"),
            (["splits/0123"], 2, "expected an artifact of stage 'study', got one of 'splits'"),
            (["a", "b", "c"], 2, "unexpected extra argument"),
        ],
    )
    def test_of_what_is_not_there_says_what_was_expected(
        self,
        arguments: list[str],
        code: int,
        message: str,
        studies: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert _exit_code("compare", *arguments) == code
        printed = capsys.readouterr()
        assert message in " ".join(printed.err.replace("│", " ").split())
        assert "Traceback" not in printed.err
        assert printed.out == ""

    def test_of_a_single_study_asks_for_another(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made_study(here / "store")
        assert _exit_code("compare") == 1
        assert "expected another study 'report' to compare" in capsys.readouterr().err

    def test_of_damaged_results_ends_with_1(
        self, studies: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = studies_in(studies)[0].path
        path.write_bytes(path.read_bytes() + b" ")
        assert _exit_code("compare") == 1
        assert "expected the bytes that were published" in capsys.readouterr().err
        assert path.exists()

    def test_loads_no_networks(self, studies: Path) -> None:
        code = (
            "import sys; from flowers17.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "except SystemExit: pass\n"
            "print([name for name in sys.modules if '.' not in name])"
        )
        printed = output_of(code, "compare", "--store", str(studies))
        loaded = set(ast.literal_eval(printed.splitlines()[-1]))
        assert loaded & {"tensorflow", "keras", "prefect", "sklearn", "matplotlib"} == set()


class TestHistory:
    def test_is_newest_last_with_what_changed(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        root = here / "store"
        settings = {**SETTINGS, "splits": {"n_repeats": 5}}
        made_study(root, metrics={BEST: 0.75, "n": 1}, created="2026-01-02T00:00:00Z")
        made_study(
            root,
            metrics={BEST: 0.5},
            created="2026-01-01T00:00:00Z",
            settings=settings,
            part={"code": {"tasks.classifier": "1", "tasks.x": "1"}},
        )
        made_study(root, metrics={BEST: 1.0}, created="2026-01-03T00:00:00Z", label="report on x")
        made_study(root, metrics={"n": 2}, created="2026-01-04T00:00:00Z")
        assert _exit_code("history", BEST, "--json") == 0
        rows = json.loads(capsys.readouterr().out)
        assert [(row["value"], row["difference"], row["changed"]) for row in rows] == [
            (0.5, None, "the first"),
            (0.75, 0.25, "splits.n_repeats: 5 → 3; 2 modules changed"),
            (1.0, None, "the first"),
        ]
        assert _exit_code("history", BEST) == 0
        assert "+0.2500" in capsys.readouterr().out

    def test_without_a_metric_lists_those_there_are(
        self, studies: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("history", "--json") == 0
        (metric,) = json.loads(capsys.readouterr().out)
        assert (metric["metric"], metric["studies"]) == (BEST, 1)
        assert _exit_code("history") == 0
        assert BEST in capsys.readouterr().out

    def test_of_an_unknown_metric_lists_those_there_are(
        self, studies: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("history", "accuracy") == 2
        message = " ".join(capsys.readouterr().err.split())
        assert f"expected a metric of its studies, got 'accuracy'; there are: {BEST}" in message

    def test_of_a_store_without_studies_says_so(
        self, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("history", BEST) == 1
        assert "expected a study, found none" in capsys.readouterr().err


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
        self._age(monkeypatch, 20)
        assert _exit_code("gc", "--dry-run", "--json") == 0
        assert len(json.loads(capsys.readouterr().out)) == 2
        assert content(store.root) == before

    def test_names_the_rules_by_which_artifacts_stay(
        self, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _exit_code("gc", "--dry-run") == 0
        printed = capsys.readouterr().out
        assert "0 folders, 0.0 MB would be deleted" in printed
        assert "Kept: what is younger than 14 days (--older-than)" in printed
        assert _exit_code("gc", "--dry-run", "--older-than", "2.5", "--keep-studies", "1") == 0
        printed = capsys.readouterr().out
        assert "younger than 2.5 days" in printed
        assert "the newest 1 reports of each flow" in printed

    def test_deletes_old_artifacts_and_what_broken_builds_left(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder in (".partial/number-x", ".damaged/number-y"):
            (store.root / folder).mkdir(parents=True)
        self._age(monkeypatch, 20)
        assert _exit_code("gc") == 0
        assert list(store.manifests()) == []
        assert [name for name in content(store.root) if not name.startswith(".locks/")] == []
        assert list((store.root / ".partial").iterdir()) == []
        assert list((store.root / ".damaged").iterdir()) == []

    def test_keeps_the_newest_studies_and_all_that_they_need(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a = number("a", 4, seed=3)
        references = {"a": ensure(a, {}, store).reference}
        study = Stage.of("study", "report", "tests.support.toy:add", {"value": 0}, inputs={"a": a})
        ensure(study, references, store)
        self._age(monkeypatch, 20)
        assert _exit_code("gc", "--keep-studies", "1") == 0
        assert sorted(manifest["label"] for manifest in store.manifests()) == ["a", "report"]
        assert _exit_code("gc", "--keep-studies", "0") == 0
        assert list(store.manifests()) == []

    def test_leaves_what_a_study_that_was_interrupted_goes_on_from(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (store.root / ".unfinished" / "training-x").mkdir(parents=True)
        before = content(store.root)
        self._age(monkeypatch, 10)
        assert _exit_code("gc", "--keep-studies", "0") == 0
        assert content(store.root) == before
        assert (store.root / ".unfinished" / "training-x").exists()

    def test_deletes_nothing_while_a_run_is_at_work(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._age(monkeypatch, 20)
        run = "12345678-1234-1234-1234-123456789abc"
        with registered(store, run, "digest"):
            before = content(store.root)
            assert _exit_code("gc", "--dry-run") == 0
            assert _exit_code("gc") == 1
            assert f"expected no run at work, found {run}" in capsys.readouterr().err
            assert content(store.root) == before
        assert _exit_code("gc") == 0
        assert list(store.manifests()) == []

    def test_keeps_a_whole_study_beside_newer_reports_on_parts(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._studies(store, monkeypatch, "report", "report on features", "report on learners")
        self._age(monkeypatch, 20)
        assert _exit_code("gc", "--keep-studies", "1") == 0
        labels = sorted(manifest["label"] for manifest in store.manifests())
        assert labels == ["report", "report on features", "report on learners"]

    def test_keeps_the_report_whose_page_is_shown(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown = self._studies(store, monkeypatch, "shown", "newer")["shown"]
        shutil.copytree(store.open(shown).path, store.root / "report")  # as the flow does
        self._age(monkeypatch, 20)
        assert _exit_code("gc", "--keep-studies", "0") == 0
        assert [manifest["label"] for manifest in store.manifests()] == ["shown"]

    def _studies(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, *labels: str
    ) -> dict[str, Reference]:
        """Build studies, each a day after the one before."""
        references = {}
        for day, label in enumerate(labels):
            monkeypatch.setattr(
                time, "strftime", lambda *_, day=day: f"2026-01-0{day + 1}T00:00:00Z"
            )
            stage = Stage.of("study", label, "tests.support.toy:add", {"value": day})
            references[label] = ensure(stage, {}, store).reference
        return references

    def test_counts_a_sweep_and_its_studies_as_one(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        references = self._studies(store, monkeypatch, "report", "first", "second")
        inputs = {
            name: Stage.of("study", name, "tests.support.toy:add", {"value": day})
            for day, name in enumerate(references)
            if name != "report"
        }
        sweep = Stage.of("sweep", "sweep", "tests.support.toy:add", {"value": 9}, inputs=inputs)
        ensure(sweep, {name: references[name] for name in inputs}, store)
        self._age(monkeypatch, 20)
        assert _exit_code("gc", "--keep-studies", "2") == 0
        labels = sorted(manifest["label"] for manifest in store.manifests())
        assert labels == ["first", "report", "second", "sweep"]
        assert _exit_code("gc", "--keep-studies", "1") == 0
        assert sorted(manifest["label"] for manifest in store.manifests()) == [
            "first",
            "second",
            "sweep",
        ]


FORM = StudyRequest.model_json_schema()["properties"]
OTHERS = set(RunOptions.model_fields) - set(FORM)  # given in a line of the form
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["run", "plan", "sweep", "serve"])
def test_options_are_the_forms_fields(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = {option.name: option for option in COMMANDS[command].params if option.name in FORM}
    assert command == "plan" or set(options) == set(FORM)
    assert _exit_code(command, "--help") == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name, option in options.items():
        text = FORM[name]["description"]
        if name in ("set", "rules"):
            text = text.rpartition("empty: ")[0] + "may be repeated"
        elif option.default is None:
            text = text.replace("; empty: ", " [default: (") + ")]"
        else:
            assert option.default == FORM[name]["default"]
            text = f"{text} [default: {option.default}]"
        flag = "rule" if name == "rules" else name.replace("_", "-")  # each may be repeated
        assert f"--{flag} " in printed
        assert text in printed
    assert command == "plan" or {option.name for option in COMMANDS[command].params} >= OTHERS


def test_options_that_commands_share_have_one_help() -> None:
    helps: dict[str, set[str]] = {}
    for command in COMMANDS.values():
        for option in command.params:
            if option.name in FORM:
                helps.setdefault(option.name, set()).add(option.help)
    assert set(helps) == set(FORM)
    assert all(len(texts) == 1 for texts in helps.values())


def test_help_of_every_command_names_json(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        if command not in ("serve", "site", "pin"):
            assert _exit_code(command, "--help") == 0
            assert "--json" in capsys.readouterr().out


def test_images_that_cannot_be_used_are_json_for_scripts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"a/{k}.png" for k in range(12)]
    error = UnusableImages.among([(x, UnusableImage(x, "an empty file")) for x in names], 40)

    def run_flow(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("flowers17.commands.running.run_flow", run_flow)
    for options in ([], ["--json"]):
        assert _exit_code("run", "dataset", *options) == 2
        printed = capsys.readouterr()
        assert "12 images: an empty file" in printed.err
        if not options:
            assert printed.out == ""
            continue
        report = json.loads(printed.out)
        assert report["n_images"] == 40
        assert report["unusable"] == [{"kind": "an empty file", "count": 12, "first": names[:10]}]


def test_plan_says_what_is_understood_of_the_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = class_folders(tmp_path / "own", {"a": 2, "b": 3})
    (root / "LICENSE").write_text("x")
    assert _exit_code("plan", "dataset", f"--dataset={root}", "--store=s", "--json") == 0
    printed = capsys.readouterr()
    assert "2 classes, 5 images\nignored, because they are not images: 1 × LICENSE\n" in printed.err
    assert json.loads(printed.out)


class TestShowingAnArtifact:
    """Each value stands on a line of its own, which can be copied as it is."""

    @pytest.fixture
    def shown(self, here: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
        store = Store(here / ("deep" * 20))
        config = {
            "value": 0,
            "settings": {"svm": {"C": 1.0}, "names": ["a", "b"], "members": [{"maps": []}] * 2},
            "methods": [{"name": "mean"}, {"name": "forest"}],
        }
        stage = Stage.of("study", "report", "tests.support.toy:add", config)
        key = ensure(stage, {}, store).reference.key
        assert _exit_code("show", f"study/{key[:8]}", "--store", str(store.root)) == 0
        return capsys.readouterr().out.splitlines()

    def test_names_each_setting_by_its_path(self, shown: list[str]) -> None:
        text = "\n".join(line.strip() for line in shown)
        for line in (
            "settings.svm.C: 1.0",
            "settings.names: a, b",
            "settings.members: 2 entries, which --json shows",
            "methods: mean, forest",
        ):
            assert line in text.splitlines()
        assert "{" not in text

    def test_breaks_no_path(self, shown: list[str], here: Path) -> None:
        [folder] = here.glob("deep*/study/*")
        assert any(line.endswith(f"folder {folder}") for line in shown)


def test_keys_that_are_wrong_are_told_one_by_one(
    studies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _exit_code("show", "study/zz", "--store", str(studies)) == 1
    assert "expected an artifact 'study/zz', found none" in capsys.readouterr().err
    assert _exit_code("show", "stduy/0", "--store", str(studies)) == 1
    assert "did you mean study/0?" in capsys.readouterr().err
    assert _exit_code("compare", "study/ffff00", "study/ffff11", "--store", str(studies)) == 1
    error = capsys.readouterr().err
    assert "study/ffff00" in error
    assert "study/ffff11" in error


def test_a_line_breaks_no_word() -> None:
    stream = io.StringIO()
    console = Terminal(file=stream, width=30, force_terminal=True, color_system=None)
    path = "/a/path/that-is/longer/than-the/terminal/is-wide"
    console.text_line(("error", "red"), f" expected a file at {path}, found none")
    assert path in stream.getvalue()
    assert all(len(line) <= 30 or path in line for line in stream.getvalue().splitlines())


@pytest.mark.parametrize("command", ["plan", "run"])
def test_missing_folder_of_weights_is_an_error_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    options = ["--profile=demo", f"--store={tmp_path}/s", f"--weights-dir={tmp_path}/none"]
    assert _exit_code(command, "dataset", *options) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert "expected a folder with extractor weights, got no such folder" in printed
    assert "correct --weights-dir, or leave it out" in printed
    assert not (tmp_path / "s").exists()
