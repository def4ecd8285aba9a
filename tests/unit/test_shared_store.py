"""A store on object storage (S3's protocol on loopback): whole or absent, verified, built once.

Two machines are two processes with a cache folder each.
"""

import json
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flowers17.artifacts import MANIFEST, Reference, Store
from flowers17.cli import main
from flowers17.commands.garbage import garbage
from flowers17.config import RunOptions
from flowers17.config.run_options import store_address
from flowers17.errors import ArtifactDamaged, ArtifactMissing, InvalidInput, StoreUnusable
from flowers17.shared.claims import RENEWALS, Lease, Mirror
from flowers17.shared.remote import Remote
from flowers17.shared.store import CACHE_VARIABLE, SharedStore, open_store
from flowers17.stages import ensure, existing
from tests.support.object_storage import BUCKET, ObjectStorage, forwarding, object_storage
from tests.support.processes import HANG_S, eventually, kill, python
from tests.support.shared_builds import counted
from tests.support.stores import FILES, KEY, content, described, publish, set_aside

BUILDS = "tests.support.shared_builds"
LEASE_S = "1.2"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    with object_storage(tmp_path_factory.mktemp("storage")) as storage:
        yield storage


@pytest.fixture
def storage(server: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    """A store's place of its own on the server, with leases that expire soon."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # they keep the credentials that they were made with
    server.prefix = f"team/{uuid.uuid4().hex}"
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLOWERS17_LEASE_S", LEASE_S)
    return server


@pytest.fixture
def machines(
    storage: ObjectStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[SharedStore, SharedStore]:
    """The same store as two machines see it."""
    stores = []
    for name in ("one", "two"):
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / name))
        stores.append(SharedStore(storage.address))
    assert stores[0].root != stores[1].root
    return stores[0], stores[1]


@pytest.fixture
def steps_log(tmp_path: Path) -> Path:
    """The file that a counting stage leaves a line in for each step."""
    path = tmp_path / "told"
    path.touch()
    return path


def _published(store: SharedStore, **files: bytes) -> Reference:
    """Publish under a claim, as a build does."""
    with store.claim("numbers", KEY), store.writing("numbers", KEY) as folder:
        for name, data in (files or FILES).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        manifest = described("numbers", KEY, label="n", created="2020-01-01T00:00:00Z")
        return store.publish(folder, manifest).reference


def _object(storage: ObjectStorage, ending: str) -> str:
    [name] = [name for name in storage.names() if name.endswith(ending)]
    return f"{BUCKET}/{storage.prefix}/{name}"


class TestAddress:
    @pytest.mark.parametrize(
        ("value", "parsed"),
        [
            ("store", Path("store")),
            (Path("/a/b"), Path("/a/b")),
            ("file:///a/b/", Path("/a/b")),
            ("s3://bucket/prefix/", "s3://bucket/prefix"),
            ("abfs://container@account/p", "abfs://container@account/p"),
        ],
    )
    def test_is_a_folder_or_a_place_on_object_storage(self, value: Any, parsed: Any) -> None:
        assert store_address(value) == parsed
        assert RunOptions(store=value).store == parsed
        assert json.loads(RunOptions(store=value).model_dump_json())["store"] == str(parsed)

    @pytest.mark.parametrize(
        "address", ["s3://", "s3:///p", "s3:/b/p", "s3://k:s@b/p", "s3://b?sig=x"]
    )
    def test_refuses_what_names_no_bucket_or_holds_a_secret(self, address: str) -> None:
        with pytest.raises(InvalidInput, match="expected s3://bucket/prefix"):
            store_address(address)

    def test_a_folder_is_the_store_that_it_was(self, tmp_path: Path) -> None:
        assert type(open_store(tmp_path)) is Store
        assert open_store(str(tmp_path)).address == str(tmp_path)


class TestArtifacts:
    def test_what_one_machine_publishes_the_other_reads(
        self, machines: tuple[SharedStore, SharedStore]
    ) -> None:
        first, second = machines
        reference = _published(first)
        artifact = second.find("numbers", KEY)
        assert artifact is not None
        assert artifact.reference == reference
        assert content(artifact.path) == content(first.folder("numbers", KEY))
        assert [each["key"] for each in second.manifests()] == [KEY]

    def test_a_reference_is_read_without_asking_once_it_is_here(
        self, machines: tuple[SharedStore, SharedStore], storage: ObjectStorage
    ) -> None:
        first, second = machines
        reference = _published(first)
        second.open(reference)
        before = len(storage.requests())
        second.open(reference)
        assert len(storage.requests()) == before

    def test_what_is_absent_is_absent(self, machines: tuple[SharedStore, SharedStore]) -> None:
        assert machines[0].find("numbers", KEY) is None
        with pytest.raises(ArtifactMissing, match="expected an artifact, found nothing"):
            machines[0].open(Reference("numbers", KEY, "0" * 64))

    def test_a_damaged_copy_in_the_cache_is_fetched_again(
        self, machines: tuple[SharedStore, SharedStore], caplog: pytest.LogCaptureFixture
    ) -> None:
        first, _ = machines
        reference = _published(first)
        path = first.folder("numbers", KEY) / "numbers.json"
        for find in (lambda: first.find("numbers", KEY), lambda: first.open(reference)):
            path.write_bytes(b"[6, 6, 6]\n")
            caplog.clear()
            artifact = find()
            assert artifact is not None
            assert artifact.json("numbers") == [1, 2, 3]
            assert "fetched again" in caplog.text

    @pytest.mark.parametrize("damage", ["another", "gone", "manifest", "hostile"])
    def test_a_damaged_object_is_never_trusted_and_is_withdrawn(
        self,
        machines: tuple[SharedStore, SharedStore],
        storage: ObjectStorage,
        caplog: pytest.LogCaptureFixture,
        damage: str,
    ) -> None:
        first, second = machines
        reference = _published(first)
        bucket = storage.bucket()
        if damage == "another":
            bucket.pipe_file(_object(storage, "numbers.json"), b"[6, 6, 6]\n")
        elif damage == "gone":
            bucket.rm_file(_object(storage, "numbers.json"))
        elif damage == "manifest":
            bucket.pipe_file(_object(storage, MANIFEST), b"{}")
        else:
            text = bucket.cat_file(_object(storage, MANIFEST)).replace(b"tables/one", b"../../../x")
            bucket.pipe_file(_object(storage, MANIFEST), text)
        with pytest.raises(ArtifactDamaged):
            second.open(reference)
        assert second.find("numbers", KEY) is None
        assert "withdrawn" in caplog.text
        assert not second.folder("numbers", KEY).exists()
        if damage == "another":
            assert set_aside(second)
        assert _published(second) == reference
        shutil.rmtree(first.root)
        assert first.open(reference).json("numbers") == [1, 2, 3]

    def test_of_two_publications_the_first_counts(
        self, machines: tuple[SharedStore, SharedStore], caplog: pytest.LogCaptureFixture
    ) -> None:
        first, second = machines
        with second.writing("numbers", KEY) as folder:
            (folder / "numbers.json").write_bytes(b"[4]\n")
            reference = _published(first)
            late = second.publish(folder, described("numbers", KEY))
        assert late.reference == reference
        assert late.json("numbers") == [1, 2, 3]
        assert "another machine was first" in caplog.text
        assert second.open(reference).path == second.folder("numbers", KEY)

    def test_what_only_the_cache_holds_is_uploaded_and_not_built_again(
        self, machines: tuple[SharedStore, SharedStore], storage: ObjectStorage, steps_log: Path
    ) -> None:
        first, second = machines
        stage = counted(2, 0, steps_log)
        reference = ensure(stage, {}, first).reference
        storage.bucket().rm(f"{BUCKET}/{storage.prefix}/counted", recursive=True)
        assert existing(stage, {}, first) is None
        again = ensure(stage, {}, first)
        assert again.reused
        assert second.open(reference).json("total") == 2
        assert len(steps_log.read_text().splitlines()) == 2


class TestKilled:
    def test_between_any_two_writes_an_artifact_is_whole_or_absent(
        self, machines: tuple[SharedStore, SharedStore], storage: ObjectStorage, steps_log: Path
    ) -> None:
        """Claim, two files, manifest, release: each is left out in turn, and all that follows."""
        first, second = machines
        (first.root).mkdir(parents=True, exist_ok=True)
        (first.root / ".checked").touch()
        states: list[bool] = []
        with _machine(storage, "one", 0, 0, steps_log, *map(str, range(1, 6))) as process:
            _go(process)
            assert _result(process, HANG_S) == [-signal.SIGKILL] * 5
        for number in range(1, 6):
            stage = counted(number, 0.0, steps_log)
            artifact = existing(stage, {}, second)
            states.append(artifact is not None)
            again = ensure(stage, {}, second if number % 2 else first)
            # The machine that was killed has the whole artifact, and only uploads it.
            assert again.reused == (states[-1] or number in (2, 4))
            assert second.open(again.reference).json("total") == number
        assert states == [False, False, False, False, True]


class TestBuiltOnce:
    def test_by_two_machines_that_want_it_at_once(
        self, storage: ObjectStorage, steps_log: Path, tmp_path: Path
    ) -> None:
        with ExitStack() as stack:
            processes = [
                stack.enter_context(_machine(storage, name, 6, 0.4, steps_log))
                for name in ("one", "two")
            ]
            results = [_result(process) for process in _started(processes)]
        assert sorted(result["reused"] for result in results) == [False, True]
        assert results[0]["digest"] == results[1]["digest"]
        # The work takes twice the time after which a lease expires.
        assert sorted(_steps(steps_log)) == list(range(6))
        assert len(_builders(steps_log)) == 1

    def test_the_second_goes_on_where_the_first_was_killed(
        self, storage: ObjectStorage, steps_log: Path
    ) -> None:
        with ExitStack() as stack:
            first = stack.enter_context(_machine(storage, "one", 8, 0.4, steps_log))
            _go(first)
            assert eventually(lambda: len(_steps(steps_log)) >= 1)
            second = stack.enter_context(_machine(storage, "two", 8, 0.4, steps_log))
            _go(second)
            assert eventually(lambda: len(_steps(steps_log)) >= 5)
            kill(first.pid)
            result = _result(second)
        assert not result["reused"]
        steps = _steps(steps_log)
        assert set(steps) == set(range(8))
        assert len(steps) - 8 <= 3, "what was copied to the storage is done again"
        assert len(_builders(steps_log)) == 2
        assert not [name for name in storage.names() if name.startswith(".unfinished")]

    def test_the_same_machine_takes_over_at_once(
        self, storage: ObjectStorage, steps_log: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FLOWERS17_LEASE_S", "600")
        with _machine(storage, "one", 4, 0.2, steps_log) as first:
            _go(first)
            assert eventually(lambda: _steps(steps_log))
            kill(first.pid)
        with _machine(storage, "one", 4, 0.2, steps_log) as second:
            _go(second)
            assert _result(second, seconds=30)["content"] == "4\n"


class TestLease:
    def test_is_not_taken_while_it_is_renewed(
        self,
        machines: tuple[SharedStore, SharedStore],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("FLOWERS17_LEASE_S", "4")  # a busy machine renews it in time
        order: list[str] = []
        states: set[bytes | None] = set()

        def is_renewed() -> bool:
            states.add(machines[0].remote.read(".locks/x/000001"))
            return len(states) > RENEWALS + 2  # for longer than it lasts

        def second() -> None:
            with Lease(machines[1].remote, "x", tmp_path / "two-x"):
                order.append("second")

        with Lease(machines[0].remote, "x", tmp_path / "one-x") as lease:
            thread = threading.Thread(target=second)
            thread.start()
            assert eventually(is_renewed)
            assert lease.is_held
            order.append("first")
        thread.join(HANG_S)
        assert order == ["first", "second"]

    def test_one_that_could_not_be_renewed_is_lost_and_known_to_be(
        self,
        machines: tuple[SharedStore, SharedStore],
        tmp_path: Path,
    ) -> None:
        cut_off = Remote(machines[0].address)
        with Lease(cut_off, "x", tmp_path / "one-x") as lost:

            def unreachable(*_: object, **__: object) -> Any:
                raise StoreUnusable("the cable is out")

            cut_off.write = cut_off.read = unreachable  # type: ignore[method-assign]
            with Lease(machines[1].remote, "x", tmp_path / "two-x") as lease:
                assert lease.generation == lost.generation + 1
                assert not lost.is_held
                del cut_off.write, cut_off.read
                assert eventually(lambda: lost._is_lost)
                assert lease.is_held

    def test_what_is_gone_from_the_folder_goes_from_the_storage(
        self, machines: tuple[SharedStore, SharedStore], storage: ObjectStorage, tmp_path: Path
    ) -> None:
        folder = tmp_path / "unfinished"
        folder.mkdir()
        for name in ("old", "kept", "coming.partial", "lock"):
            (folder / name).write_text(name)
        with Mirror(machines[0].remote, ".unfinished/x", folder, lambda: True, 0.1):
            assert eventually(
                lambda: storage.names() == [".unfinished/x/kept", ".unfinished/x/old"]
            )
            (folder / "old").unlink()
        assert storage.names() == [".unfinished/x/kept"]
        with Mirror(machines[0].remote, ".unfinished/x", folder, lambda: False, 0.1):
            (folder / "kept").unlink()
        assert storage.names() == [".unfinished/x/kept"], "a lost lease writes nothing"


class TestCollection:
    def test_keeps_what_is_pinned_and_says_what_would_go(
        self, machines: tuple[SharedStore, SharedStore], storage: ObjectStorage
    ) -> None:
        first, second = machines
        _published(first)
        storage.bucket().pipe_file(f"{BUCKET}/{storage.prefix}/.unfinished/old-1/a", b"abc")
        first.pin(f"numbers/{KEY}")
        assert [each.path for each in _garbage(second)] == [".unfinished/old-1"]
        first.pin(f"numbers/{KEY}", keep=False)
        leftovers = _garbage(second)
        assert {each.path for each in leftovers} == {f"numbers/{KEY}", ".unfinished/old-1"}
        before = storage.names()
        assert sum(each.size for each in leftovers) == sum(map(len, FILES.values())) + 3
        assert storage.names() == before
        second.discard([each.path for each in leftovers])
        assert [name for name in storage.names() if not name.startswith(".locks/")] == []
        assert second.find("numbers", KEY) is None

    def test_the_commands_pin_show_and_collect(
        self,
        machines: tuple[SharedStore, SharedStore],
        storage: ObjectStorage,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        _published(machines[0])
        place = ["--store", storage.address]

        def output_of(*words: str) -> str:
            with pytest.raises(SystemExit) as end:
                main([*words, *place])
            assert end.value.code in (0, None)
            return capsys.readouterr().out

        assert KEY[:12] in output_of("show")
        assert output_of("pin", f"numbers/{KEY[:8]}") == f"numbers/{KEY}\n"
        gc = ("gc", "--json", "--keep-studies", "0", "--older-than", "0")
        assert json.loads(output_of(*gc)) == []
        assert output_of("pin", f"numbers/{KEY[:8]}", "--remove") == ""
        assert [entry["what"] for entry in json.loads(output_of(*gc))] == [f"numbers/{KEY[:12]} n"]
        assert list(machines[1].manifests()) == []

    def test_spares_what_somebody_builds(
        self, machines: tuple[SharedStore, SharedStore], tmp_path: Path
    ) -> None:
        first, second = machines
        with first.claim("numbers", KEY):
            unfinished = first.unfinished("numbers", KEY)
            unfinished.mkdir(parents=True)
            (unfinished / "half").write_text("1")
            assert eventually(lambda: first.remote.listing(".unfinished"))
            assert _garbage(second) == []

    def test_a_pin_in_a_folder_keeps_as_well(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        description = {"label": "n", "inputs": {}, "created": "2020-01-01T00:00:00Z"}
        publish(store, **description)
        assert len(_garbage(store)) == 1
        store.pin(f"numbers/{KEY}")
        assert _garbage(store) == []
        store.pin(f"numbers/{KEY}", keep=False)
        store.discard([each.path for each in _garbage(store)])
        assert list(store.manifests()) == []


class TestErrors:
    def test_no_such_bucket(self, storage: ObjectStorage) -> None:
        store = open_store("s3://no-such-bucket/p")
        for use in (lambda: list(store.manifests()), store.check_writable):
            with pytest.raises(StoreUnusable, match="expected a bucket, found none"):
                use()

    def test_no_credentials(self, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        remote = _fresh(storage.address)
        with pytest.raises(StoreUnusable, match="expected credentials"):
            remote.listing()

    @pytest.mark.parametrize("protocol", ["memory", "sftp", "nonsense"])
    def test_what_creates_no_object_exclusively_is_refused(self, protocol: str) -> None:
        with pytest.raises(StoreUnusable, match="mount the storage"):
            list(open_store(f"{protocol}://host/p").manifests())

    def test_a_storage_that_ignores_the_condition_is_refused(
        self, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remote = Remote(storage.address)
        pipe = remote._system.pipe_file
        monkeypatch.setattr(
            remote._system, "pipe_file", lambda path, data, **_: pipe(path, data), raising=False
        )
        with pytest.raises(StoreUnusable, match="heeds If-None-Match"):
            remote.check("probe")

    def test_an_answer_that_was_lost_does_not_cost_the_creation(
        self, storage: ObjectStorage
    ) -> None:
        remote = Remote(storage.address)
        assert remote.create("a", b"ours")
        assert remote.create("a", b"ours"), "the driver sends it twice; it is ours"
        assert not remote.create("a", b"theirs")

    def test_refused_access_is_told(
        self, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remote = Remote(storage.address)

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError("Access Denied")

        monkeypatch.setattr(remote._system, "pipe_file", refuse, raising=False)
        with pytest.raises(StoreUnusable, match="access is refused"):
            remote.write("a", b"")

    def test_without_the_driver_its_package_is_named(
        self, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "gcsfs", None)
        with pytest.raises(StoreUnusable, match="pip install gcsfs"):
            list(open_store("gs://bucket/p").manifests())

    def test_a_storage_away_and_back(
        self,
        storage: ObjectStorage,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        steps_log: Path,
    ) -> None:
        """While it is away a command fails and says so; the same one afterwards goes on."""
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # s3fs tries five times, too
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
        stage = counted(3, 0, steps_log)
        with forwarding(storage.port) as port:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            store = SharedStore(storage.address)
            store.remote = _fresh(storage.address)
            reference = ensure(stage, {}, store).reference
        with pytest.raises(StoreUnusable, match="does not answer") as refusal:
            ensure(stage, {}, store)
        assert "nothing finished is lost" in str(refusal.value)
        assert store.open(reference).json("total") == 3
        storage.bucket().rm(f"{BUCKET}/{storage.prefix}", recursive=True)
        with forwarding(storage.port, port):  # it comes back empty
            assert ensure(stage, {}, store).reused
        assert len(_steps(steps_log)) == 3


def _fresh(address: str) -> Remote:
    """A connection of its own, made with the present environment."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    return Remote(address)


def _garbage(store: Store) -> list[Any]:
    return garbage(store, keep_studies=0, older_than_days=0)


@contextmanager
def _machine(
    storage: ObjectStorage, name: str, steps: int, seconds: float, steps_log: Path, *rest: str
) -> Iterator[subprocess.Popen[str]]:
    """Start a process that builds the counting stage once it is told to."""
    env = {CACHE_VARIABLE: str(steps_log.parent / name), "MACHINE": name}
    arguments = (storage.address, str(steps), str(seconds), str(steps_log), *rest)
    with python("-m", BUILDS, *arguments, env=env) as process:
        yield process


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()


def _started(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for process in processes:
        _go(process)
    return processes


def _result(process: subprocess.Popen[str], seconds: float = 60) -> dict[str, Any]:
    out, complaints = process.communicate(timeout=seconds)
    assert process.returncode == 0, complaints
    return json.loads(out)


def _steps(steps_log: Path) -> list[int]:
    return [int(line.split()[1]) for line in steps_log.read_text().splitlines()]


def _builders(steps_log: Path) -> set[str]:
    return {line.split()[0] for line in steps_log.read_text().splitlines()}
