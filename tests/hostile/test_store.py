"""A store that somebody tampered with: nothing outside it is read, and nothing crashes."""

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowers17.artifacts import MANIFEST, Reference, Store
from flowers17.cli import main
from flowers17.digests import file_sha256, sha256_of
from flowers17.errors import ArtifactDamaged, ArtifactMissing, StoreUnusable
from flowers17.manifests import LARGEST
from flowers17.plan import plan
from flowers17.stages import ensure
from tests.support.stores import KEY, OTHER_KEY, content, publish, reseal, set_aside
from tests.support.toy import number

Manifest = dict[str, Any]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return a file outside the store."""
    path = tmp_path / "secret.json"
    path.write_text('"secret"')
    return path


def _forge(folder: Path, change: Callable[[Manifest], object]) -> Reference:
    return Reference("numbers", KEY, str(reseal(folder / MANIFEST, change).get("digest")))


class TestForgedManifests:
    @pytest.mark.parametrize("name", ["../../../secret.json", "tables/../../../../secret.json"])
    def test_that_name_files_outside_are_refused(
        self, store: Store, secret: Path, name: str
    ) -> None:
        folder = publish(store).path
        entry = {"sha256": file_sha256(secret), "size": 8}
        reference = _forge(folder, lambda manifest: manifest["files"].update({name: entry}))
        assert (folder / name).resolve() == secret
        with pytest.raises(ArtifactDamaged, match="expected the name of a file below"):
            store.open(reference)
        assert store.find("numbers", KEY) is None

    def test_that_name_an_absolute_file_are_refused(self, store: Store, secret: Path) -> None:
        folder = publish(store).path
        entry = {"sha256": file_sha256(secret), "size": 8}
        reference = _forge(folder, lambda manifest: manifest["files"].update({str(secret): entry}))
        with pytest.raises(ArtifactDamaged, match="expected the name of a file below"):
            store.open(reference)

    @pytest.mark.parametrize(
        "change",
        [
            lambda manifest: manifest.pop("files"),
            lambda manifest: manifest.pop("stage"),
            lambda manifest: manifest.pop("key"),
            lambda manifest: manifest.update(files=[]),
            lambda manifest: manifest.update(files={"numbers.json": None}),
            lambda manifest: manifest.update(files={"numbers.json": {}}),
            lambda manifest: manifest.update(files={"numbers.json": {"sha256": 10**4000}}),
            lambda manifest: manifest.update(files={"numbers.json\0": {"sha256": "0"}}),
            lambda manifest: manifest.update(files={"\ud800": {"sha256": "0"}}),
            lambda manifest: manifest.update(stage=10**4000),
            lambda manifest: manifest.update(stage="../numbers"),
            lambda manifest: manifest.update(key=None),
        ],
    )
    def test_that_lack_or_twist_something_are_refused(
        self, store: Store, change: Callable[[Manifest], object]
    ) -> None:
        reference = _forge(publish(store).path, change)
        with pytest.raises(ArtifactDamaged):
            store.open(reference)
        assert store.find("numbers", KEY) is None
        assert len(set_aside(store)) == 1

    @pytest.mark.parametrize(
        "text",
        [
            "[" * 100_000,
            '{"a":' * 100_000,
            '{"size": ' + "9" * 1_000_000 + "}",
            '{"size": 1e999999}',
            '{"size": NaN}',
            "\ufeff{}",
            "null",
            "0",
            '"text"',
            '{"files": {}, "files": {}}',
        ],
        ids=lambda text: text[:12],
    )
    def test_that_are_strange_json_are_refused(self, store: Store, text: str) -> None:
        artifact = publish(store)
        (artifact.path / MANIFEST).write_text(text)
        with pytest.raises(ArtifactDamaged, match="unreadable manifest"):
            store.open(artifact.reference)
        assert list(store.manifests()) == []
        assert store.find("numbers", KEY) is None

    @pytest.mark.parametrize("field", ["config", "inputs", "code", "libraries"])
    def test_whose_key_is_not_of_their_material_are_refused(self, store: Store, field: str) -> None:
        reference = _forge(
            publish(store).path,
            lambda manifest: manifest["material"][field].update({"learner": "f" * 64}),
        )
        with pytest.raises(ArtifactDamaged, match="key is not the digest of its material"):
            store.open(reference)
        assert list(store.manifests()) == []
        assert store.find("numbers", KEY) is None

    def test_that_are_too_large_are_not_read(self, store: Store) -> None:
        artifact = publish(store)
        with (artifact.path / MANIFEST).open("r+b") as stream:
            stream.truncate(LARGEST + 1)
        with pytest.raises(ArtifactDamaged, match="expected at most 33,554,432 bytes"):
            store.open(artifact.reference)

    def test_that_are_not_text_are_refused(self, store: Store) -> None:
        artifact = publish(store)
        (artifact.path / MANIFEST).write_bytes(b"\xff\xfe\x00")
        assert store.find("numbers", KEY) is None

    def test_with_other_content_do_not_pass_for_the_one_asked_for(self, store: Store) -> None:
        artifact = publish(store)
        (artifact.path / "numbers.json").write_text("[666]\n")
        digest = file_sha256(artifact.path / "numbers.json")
        _forge(
            artifact.path, lambda manifest: manifest["files"]["numbers.json"].update(sha256=digest)
        )
        with pytest.raises(ArtifactDamaged, match="expected content"):
            store.open(artifact.reference)

    def test_whose_digest_is_not_of_their_files_are_refused(self, store: Store) -> None:
        artifact = publish(store)
        (artifact.path / "numbers.json").write_text("[666]\n")
        manifest = json.loads((artifact.path / MANIFEST).read_text())
        manifest["files"]["numbers.json"]["sha256"] = file_sha256(artifact.path / "numbers.json")
        manifest["seal"] = sha256_of({**manifest, "seal": None})
        (artifact.path / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(ArtifactDamaged, match="describes another artifact"):
            store.open(artifact.reference)


class TestLinks:
    def test_in_place_of_a_file_are_refused_though_the_bytes_agree(
        self, store: Store, tmp_path: Path
    ) -> None:
        artifact = publish(store)
        shutil.copy(artifact.path / "numbers.json", tmp_path / "same.json")
        (artifact.path / "numbers.json").unlink()
        (artifact.path / "numbers.json").symlink_to(tmp_path / "same.json")
        with pytest.raises(ArtifactDamaged):
            store.open(artifact.reference)

    @pytest.mark.parametrize("target", ["..", "loop", "/", "nowhere"])
    def test_inside_an_artifact_are_refused(self, store: Store, target: str) -> None:
        artifact = publish(store)
        (artifact.path / "loop").symlink_to(target)
        with pytest.raises(ArtifactDamaged, match="expected files"):
            store.open(artifact.reference)

    def test_that_lead_to_themselves_as_an_artifact_are_replaced(self, store: Store) -> None:
        artifact = publish(store)
        shutil.rmtree(artifact.path)
        artifact.path.symlink_to(artifact.path)
        assert store.find("numbers", KEY) is None
        assert publish(store).reference == artifact.reference

    def test_that_lead_to_themselves_as_the_store_are_said(self, tmp_path: Path) -> None:
        (tmp_path / "store").symlink_to("store")
        store = Store(tmp_path / "store")
        assert store.find("numbers", KEY) is None
        with pytest.raises(StoreUnusable, match="choose another --store"):
            publish(store)

    def test_that_lead_nowhere_as_the_store_are_said(self, tmp_path: Path) -> None:
        (tmp_path / "store").symlink_to(tmp_path / "nowhere")
        with pytest.raises(StoreUnusable, match="a file is in the way"):
            publish(Store(tmp_path / "store"))

    def test_to_a_folder_as_the_store_are_followed(self, tmp_path: Path) -> None:
        (tmp_path / "large-disk").mkdir()
        (tmp_path / "store").symlink_to(tmp_path / "large-disk")
        reference = publish(Store(tmp_path / "store")).reference
        assert Store(tmp_path / "large-disk").open(reference)


class TestStrangeFiles:
    def test_a_pipe_inside_an_artifact_is_refused_and_not_waited_for(self, store: Store) -> None:
        artifact = publish(store)
        (artifact.path / "numbers.json").unlink()
        os.mkfifo(artifact.path / "numbers.json")
        with pytest.raises(ArtifactDamaged, match="expected a regular file"):
            store.open(artifact.reference)

    def test_an_extra_pipe_is_refused(self, store: Store) -> None:
        artifact = publish(store)
        os.mkfifo(artifact.path / "pipe")
        with pytest.raises(ArtifactDamaged, match="expected files"):
            store.open(artifact.reference)

    def test_a_manifest_that_is_a_pipe_is_refused_and_not_waited_for(self, store: Store) -> None:
        artifact = publish(store)
        (artifact.path / MANIFEST).unlink()
        os.mkfifo(artifact.path / MANIFEST)
        with pytest.raises(ArtifactDamaged, match="unreadable manifest"):
            store.open(artifact.reference)
        assert list(store.manifests()) == []

    def test_strangers_in_the_store_disturb_nobody(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        artifact = publish(store)
        (store.root / "notes.txt").write_text("mine")
        (store.root / "numbers" / "notes.txt").write_text("mine")
        (store.root / "empty").mkdir()
        with caplog.at_level(logging.WARNING):
            assert [manifest["key"] for manifest in store.manifests()] == [KEY]
            assert store.find("numbers", KEY) is not None
        assert caplog.messages == []
        assert store.open(artifact.reference)


class TestReferences:
    @pytest.mark.parametrize("stage", ["../elsewhere", "/", ".damaged", ""])
    def test_out_of_the_store_find_nothing(self, store: Store, tmp_path: Path, stage: str) -> None:
        publish(store)
        elsewhere = publish(Store(tmp_path / "other")).path
        shutil.copytree(elsewhere, tmp_path / "elsewhere" / KEY)
        with pytest.raises((ArtifactMissing, ArtifactDamaged)):
            store.open(Reference(stage, KEY, publish(store).reference.digest))


class TestCommands:
    def test_artifacts_made_from_each_other_are_shown_once(
        self, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, second = publish(store), publish(store, OTHER_KEY)
        for artifact, source_artifact in ((first, second), (second, first)):
            inputs = {"other": source_artifact.reference.to_json()}
            reseal(
                artifact.path / MANIFEST,
                lambda manifest, inputs=inputs: manifest.update(inputs=inputs),
            )
        assert len(list(store.manifests())) == 2
        with pytest.raises(SystemExit, match="0"):
            main(["show", f"numbers/{KEY}", "--store", str(store.root)])
        assert "its inputs: elsewhere here" in capsys.readouterr().out

    def test_labels_are_shown_as_they_are_and_steer_no_terminal(
        self, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        label = "[/red][bold]a\x1b]0;x\x9b\u202e"
        publish(store, label=label, metrics={"[/]\x1b": "\x1b[2J"}, created="2020-01-01T00:00:00Z")
        for command in (["show"], ["show", "numbers"], ["gc", "--dry-run"]):
            with pytest.raises(SystemExit, match="0"):
                main([*command, "--store", str(store.root)])
            printed = capsys.readouterr().out
            assert r"[/red][bold]a\x1b]0;x\x9b\u202e" in printed
            assert not {"\x1b", "\x9b", "\u202e"} & set(printed)

    def test_an_error_steers_no_terminal(
        self, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        publish(store)
        with pytest.raises(SystemExit):
            main(["show", "\x1b[2J/x", "--store", str(store.root)])
        printed = capsys.readouterr().err
        assert "\x1b" not in printed
        assert "expected an artifact" in printed

    @pytest.mark.parametrize("command", ["show", "gc"])
    def test_on_a_store_that_is_a_file_say_so(
        self, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "store"
        path.write_text("a letter")
        with pytest.raises(SystemExit, match="2"):
            main([command, "--store", str(path)])
        assert "expected the folder of a store" in " ".join(capsys.readouterr().err.split())
        assert path.read_text() == "a letter"

    def test_plan_on_a_store_that_is_a_file_leaves_it_alone(self, tmp_path: Path) -> None:
        (tmp_path / "store").write_text("a letter")
        assert [step.action for step in plan([number("a", 1)], Store(tmp_path / "store"))] == [
            "run"
        ]
        assert (tmp_path / "store").read_text() == "a letter"

    def _without_records(self, store: Store) -> dict[str, bytes]:
        """The content of a store without the fingerprints of its files."""
        files = content(store.root)
        return {name: files[name] for name in files if not name.startswith(".verified/")}

    def test_show_and_plan_pass_over_what_was_forged(
        self, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ensure(number("a", 1), {}, store)
        for text in ("[]", "{}", '{"stage": "number", "label": "a"}', "\0"):
            folder = store.root / "number" / sha256_of(text)
            folder.mkdir()
            (folder / MANIFEST).write_text(text)
        before = self._without_records(store)
        with pytest.raises(SystemExit, match="0"):
            main(["show", "--store", str(store.root), "--json"])
        assert [manifest["label"] for manifest in json.loads(capsys.readouterr().out)] == ["a"]
        assert [step.action for step in plan([number("a", 1)], store)] == ["reuse"]
        assert self._without_records(store) == before
