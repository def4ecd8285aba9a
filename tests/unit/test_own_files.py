"""Files in Prefect's home that somebody else may have laid out: a link, a pipe, another's file."""

import os
import stat
from pathlib import Path

import pytest

from flowers17.errors import Flowers17Error
from flows.configured import configured_api
from flows.served import announced, served_api
from tasks.own_files import own_prefect_home
from tasks.own_runs import forget_record, is_recorded, recorded, run_digest
from tests.support.processes import NOBODY, needs_root

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


class TestAnnouncement:
    def test_is_found_while_it_holds(self, home: Path) -> None:
        with announced("http://127.0.0.1:4200/api"):
            assert served_api() == "http://127.0.0.1:4200/api"
        assert served_api() is None

    @pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
    def test_that_is_no_file_is_refused(self, home: Path, tmp_path: Path, kind: str) -> None:
        home.mkdir()
        path, precious = home / "flowers17-serve.json", tmp_path / "precious"
        precious.write_text("precious")
        if kind == "link":
            path.symlink_to(precious)
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.mkdir()
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
        (home / "profiles.toml").write_text(
            'active = "team"\n[profiles.team]\nPREFECT_API_URL = "https://flowers.example/api"'
        )
        assert configured_api() == "https://flowers.example/api"
        monkeypatch.setenv("PREFECT_API_URL", "")
        assert configured_api() is None
