"""Files in Prefect's home that somebody else may have laid out: a link, a pipe, another's file."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowers17.commands.children import LOG_LIMIT, LOG_REST, Children
from flowers17.errors import Flowers17Error
from flows.prefect_api import announced, configured_api, served_api
from tasks.liveness import forget_record, is_recorded, recorded, run_digest
from tasks.own_files import own_prefect_home
from tests.support.other_users import as_stranger
from tests.support.processes import NOBODY, eventually, needs_root

PROFILES = 'active = "team"\n[profiles.team]\nPREFECT_API_URL = "https://flowers.example/api"'
DIGEST = run_digest("features", {"request": {"store": "/data/store"}})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return Prefect's home, which is not there yet."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestHome:
    def test_and_what_is_in_it_can_be_read_by_the_user_alone(self, home: Path) -> None:
        own_prefect_home()
        with announced("http://127.0.0.1:4200/api"), recorded(DIGEST):
            modes = {path.name: _mode(path) for path in (home, *home.rglob("*"))}
        assert modes == {
            "home": 0o700,
            "prefect.db": 0o600,
            "flowers17-serve.json": 0o600,
            "flowers17-runs": 0o700,
            DIGEST: 0o600,
        }

    def test_of_an_older_release_is_closed_to_others(self, home: Path) -> None:
        home.mkdir()
        (home / "prefect.db").touch(0o644)
        own_prefect_home()
        assert _mode(home / "prefect.db") == 0o600

    @pytest.mark.parametrize("mode", [0o775, 0o777, 0o1777])
    def test_that_others_can_write_to_is_refused_with_what_to_do(
        self, home: Path, mode: int
    ) -> None:
        home.mkdir()
        home.chmod(mode)
        told = rf"home: expected .* others can write to \(mode {mode:o}\).*`chmod go-w {home}`"
        for use in (own_prefect_home, configured_api):
            with pytest.raises(Flowers17Error, match=told):
                use()
        home.chmod(0o755)
        own_prefect_home()

    @needs_root
    @pytest.mark.parametrize("linked", [False, True])
    def test_of_another_user_is_refused_with_what_to_do(
        self, home: Path, tmp_path: Path, linked: bool
    ) -> None:
        if linked:
            (tmp_path / "mine").mkdir()
            home.symlink_to(tmp_path / "mine")
        else:
            home.mkdir()
        os.chown(home, NOBODY, NOBODY, follow_symlinks=False)
        told = f"got one of the user with the number {NOBODY}; .*set PREFECT_HOME"
        for use in (own_prefect_home, configured_api):
            with pytest.raises(Flowers17Error, match=told):
                use()
        assert list(home.iterdir()) == []

    def test_that_the_user_has_linked_is_used(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        home.symlink_to(tmp_path / "mine")
        own_prefect_home()
        assert _mode(tmp_path / "mine" / "prefect.db") == 0o600

    @needs_root
    def test_of_root_is_trusted(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            Path(folder).chmod(0o755)
            (Path(folder) / "profiles.toml").write_text(PROFILES)
            monkeypatch.setenv("PREFECT_HOME", folder)
            assert as_stranger(configured_api) == "https://flowers.example/api"


def _trap(path: Path, kind: str, precious: Path) -> None:
    """Lay a trap, and a precious file that it may lead to."""
    precious.write_text("precious")
    precious.chmod(0o644)
    if kind == "link":
        path.symlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text("")
        path.chmod(0o666)
        os.chown(path, NOBODY, NOBODY)


@pytest.fixture(params=["link", "pipe", "folder", pytest.param("another's", marks=needs_root)])
def kind(request: pytest.FixtureRequest) -> str:
    """Return a kind of trap."""
    return str(request.param)


class TestTrap:
    @pytest.mark.parametrize("name", ["prefect.db", "prefect.db-wal", "prefect.db-journal"])
    def test_in_place_of_the_database_is_refused(
        self, home: Path, tmp_path: Path, kind: str, name: str
    ) -> None:
        home.mkdir()
        _trap(home / name, kind, tmp_path / "precious")
        with pytest.raises(Flowers17Error, match=f"{name}: expected a file of your own"):
            own_prefect_home()
        assert _mode(tmp_path / "precious") == 0o644
        assert (tmp_path / "precious").read_text() == "precious"

    def test_in_place_of_profiles_is_refused(self, home: Path, tmp_path: Path, kind: str) -> None:
        home.mkdir()
        _trap(home / "profiles.toml", kind, tmp_path / "precious")
        with pytest.raises(Flowers17Error, match=r"profiles.toml: expected a file of your own"):
            configured_api()

    def test_in_place_of_a_log_is_refused(self, home: Path, tmp_path: Path, kind: str) -> None:
        (home / "flowers17-logs").mkdir(parents=True)
        _trap(home / "flowers17-logs" / "worker.log", kind, tmp_path / "precious")
        with pytest.raises(Flowers17Error, match=r"worker.log: expected a file of your own"):
            Children().start("worker", ["this"], {})
        assert (tmp_path / "precious").read_text() == "precious"

    def test_in_place_of_the_folder_of_logs_is_refused(self, home: Path, tmp_path: Path) -> None:
        home.mkdir()
        (tmp_path / "elsewhere").mkdir()
        (home / "flowers17-logs").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(Flowers17Error, match=r"logs: expected a folder of your own"):
            Children().start("worker", ["this"], {})
        assert list((tmp_path / "elsewhere").iterdir()) == []


class TestLog:
    @pytest.fixture
    def logs(self, home: Path) -> Iterator[Path]:
        """Return the folder of logs of an older release, which everybody can read."""
        (home / "flowers17-logs").mkdir(parents=True)
        (home / "flowers17-logs" / "worker.log").write_text("older\n")
        children = Children()
        children.start("worker", ["this"], {})  # prints the Zen of Python
        eventually(lambda: children.ended("worker"))
        self.children = children
        yield home / "flowers17-logs"
        children.stop("worker", 60)

    def test_can_be_read_by_the_user_alone(self, logs: Path) -> None:
        assert _mode(logs) == 0o700
        assert _mode(logs / "worker.log") == 0o600
        assert (logs / "worker.log").read_text().startswith("older\nThe Zen")
        assert "Namespaces are one honking" in str(self.children.failure("worker"))

    def test_keeps_its_end_alone_once_it_is_too_long(self, logs: Path) -> None:
        log = logs / "worker.log"
        self.children.shorten_logs()
        assert log.read_text().startswith("older")
        with log.open("a") as stream:
            stream.write("x" * LOG_LIMIT + "end")
            stream.flush()
            self.children.shorten_logs()
            assert log.stat().st_size == LOG_REST
            stream.write(" and on")
        assert log.read_text().endswith("xxend and on")
        log.unlink()
        self.children.shorten_logs()


class TestAnnouncement:
    def test_is_found_while_it_holds(self, home: Path) -> None:
        with announced("http://127.0.0.1:4200/api"):
            assert served_api() == "http://127.0.0.1:4200/api"
        assert served_api() is None

    def test_that_is_a_trap_is_refused(self, home: Path, tmp_path: Path, kind: str) -> None:
        home.mkdir()
        precious = tmp_path / "precious"
        _trap(home / "flowers17-serve.json", kind, precious)
        with pytest.raises(Flowers17Error, match=r"serve.json: expected a file of your own"):
            served_api()
        with pytest.raises(Flowers17Error, match="remove it"), announced("http://127.0.0.1/api"):
            pass
        assert precious.read_text() == "precious"

    @needs_root
    def test_of_another_user_is_refused(self, home: Path) -> None:
        home.mkdir()
        (home / "flowers17-serve.json").write_text('{"api": "http://127.0.0.1:6666/api"}')
        os.chown(home / "flowers17-serve.json", NOBODY, NOBODY)
        with pytest.raises(Flowers17Error, match=f"one of the user with the number {NOBODY}"):
            served_api()


class TestRecord:
    def test_is_kept_while_a_run_is_at_work(self, home: Path) -> None:
        with recorded(DIGEST):
            assert is_recorded(DIGEST)
        assert not is_recorded(DIGEST)

    def test_is_of_the_flow_and_all_its_parameters(self, home: Path) -> None:
        with recorded(DIGEST):
            assert not is_recorded(run_digest("study", {"request": {"store": "/data/store"}}))
            assert not is_recorded(run_digest("features", {"request": {"store": "/data/other"}}))

    @needs_root
    def test_of_another_user_counts_for_nothing(self, home: Path) -> None:
        with recorded(DIGEST):
            os.chown(home / "flowers17-runs" / DIGEST, NOBODY, NOBODY)
            assert not is_recorded(DIGEST)

    def test_that_is_another_file_of_the_user_counts_for_nothing(
        self, home: Path, tmp_path: Path
    ) -> None:
        (home / "flowers17-runs").mkdir(parents=True)
        (tmp_path / "mine").write_text("something else")
        record = home / "flowers17-runs" / DIGEST
        os.link(tmp_path / "mine", record)
        assert not is_recorded(DIGEST)
        forget_record(DIGEST)
        record.symlink_to(tmp_path / "mine")
        assert not is_recorded(DIGEST)

    def test_of_a_run_killed_long_ago_is_removed_by_the_next(self, home: Path) -> None:
        folder = home / "flowers17-runs"
        folder.mkdir(parents=True)
        for name, days in (("a" * 64, 15), ("b" * 64, 1), ("letter", 15)):
            (folder / name).touch()
            when = (folder / name).stat().st_mtime - days * 24 * 3600
            os.utime(folder / name, (when, when))
        with recorded(DIGEST):
            assert {path.name for path in folder.iterdir()} == {"b" * 64, "letter", DIGEST}

    def test_in_place_of_which_a_link_lies_is_not_written(self, home: Path, tmp_path: Path) -> None:
        (home / "flowers17-runs").mkdir(parents=True)
        (home / "flowers17-runs" / DIGEST).symlink_to(tmp_path / "elsewhere")
        with recorded(DIGEST):
            assert not is_recorded(DIGEST)
        assert not (tmp_path / "elsewhere").exists()

    def test_that_cannot_be_written_does_not_hold_up_the_run(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PREFECT_HOME", "/proc/nobody/makes/this")
        with recorded(DIGEST):
            assert not is_recorded(DIGEST)


class TestProfiles:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (b'active = "x\n[profiles]', r"got .*at line 1, column 12"),
            (b"\xff\xfe", "got .*codec can't decode"),
            (b"profiles = 3", "got no tables of settings"),
            (b'active = ["x"]', "got no tables of settings"),
            (b'active = "x"\n[profiles]\nx = "y"', "got no tables of settings"),
        ],
    )
    def test_that_are_damaged_are_told_with_their_place(
        self, home: Path, text: bytes, told: str
    ) -> None:
        home.mkdir()
        (home / "profiles.toml").write_bytes(text)
        with pytest.raises(Flowers17Error, match=rf"{home}/profiles.toml: .*{told}.*mend the file"):
            configured_api()

    def test_name_the_server_unless_the_environment_does(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home.mkdir()
        (home / "profiles.toml").write_text(PROFILES)
        assert configured_api() == "https://flowers.example/api"
        monkeypatch.setenv("PREFECT_API_URL", "")
        assert configured_api() is None

    def test_that_others_can_write_are_not_obeyed(self, home: Path) -> None:
        home.mkdir()
        (home / "profiles.toml").write_text(PROFILES)
        (home / "profiles.toml").chmod(0o664)
        with pytest.raises(Flowers17Error, match=r"others can write to \(`chmod go-w`"):
            configured_api()
