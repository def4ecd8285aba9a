"""Keras's own settings: one backend for key, processes and nodes; and no numbers but its own."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowers17 import fork_server, stages
from flowers17.artifacts import Reference, Store
from flowers17.cluster import Cluster
from flowers17.config import RunOptions
from flowers17.environment import check_keras_settings, keras_backend
from flowers17.errors import InvalidSettings
from flowers17.isolation import Message
from flowers17.learners.devices import prepare
from flowers17.stages import Outcome
from tests.support.processes import output_of
from tests.support.toy import number

KERAS_OWN = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}
# Keras's module of settings by itself, since it cannot be imported without a backend.
OF_KERAS = """
import importlib.util, os, sys, types
from pathlib import Path
from unittest.mock import MagicMock
from flowers17.environment import keras_backend
os.chdir(sys.argv[1])  # where Keras makes a folder `~` for such a KERAS_HOME
[folder] = importlib.util.find_spec("keras").submodule_search_locations
for name in ("keras", "keras.src", "keras.src.api_export", "keras.src.backend.common"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["keras.src.api_export"].keras_export = lambda names: lambda function: function
sys.modules["keras.src.backend.common"].global_state = MagicMock()
spec = importlib.util.spec_from_file_location("settings", Path(folder, "src/backend/config.py"))
settings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(settings)
print(keras_backend(), settings.backend())
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home folder, and no variable that says more."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KERAS_BACKEND", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    stages.library_versions.cache_clear()
    yield tmp_path
    stages.library_versions.cache_clear()


def _written(folder: Path, **changes: Any) -> Path:
    """Return a file as Keras writes it, with changes."""
    folder.mkdir(exist_ok=True)
    path = folder / "keras.json"
    path.write_text(json.dumps(KERAS_OWN | changes))
    return path


class TestBackend:
    def test_is_tensorflow_by_default(self, home: Path) -> None:
        assert keras_backend() == "tensorflow"

    def test_is_the_file_s(self, home: Path) -> None:
        _written(home / ".keras", backend="jax")
        assert keras_backend() == "jax"

    def test_is_the_variable_s_before_the_file_s(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _written(home / ".keras", backend="jax")
        monkeypatch.setenv("KERAS_BACKEND", "torch")
        assert keras_backend() == "torch"
        monkeypatch.setenv("KERAS_BACKEND", "")
        assert keras_backend() == "jax"

    def test_is_that_of_the_folder_that_keras_home_names(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _written(home / ".keras", backend="jax")
        _written(home / "other", backend="torch")
        monkeypatch.setenv("KERAS_HOME", "~/other")
        assert keras_backend() == "torch"

    def test_is_not_looked_for_in_a_home_that_cannot_be_written(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _written(home / ".keras", backend="never")
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        assert keras_backend() != "never"

    @pytest.mark.parametrize("text", ["{", "[1]", '{"floatx": "float32"}', "\udcff"])
    def test_is_tensorflow_if_the_file_does_not_say(self, text: str, home: Path) -> None:
        _written(home / ".keras").write_text(text, errors="surrogateescape")
        assert keras_backend() == "tensorflow"

    @pytest.mark.parametrize("variables", [{}, {"KERAS_HOME": "~/other"}, {"KERAS_BACKEND": "c"}])
    def test_is_the_one_that_keras_finds(self, variables: dict[str, str], home: Path) -> None:
        _written(home / ".keras", backend="a")
        _written(home / "other", backend="b")
        backends = output_of(OF_KERAS, str(home), env=variables).split()
        assert (
            backends == [{"": "a", "KERAS_HOME": "b", "KERAS_BACKEND": "c"}["".join(variables)]] * 2
        )

    def test_of_the_file_is_in_the_key(self, home: Path) -> None:
        _written(home / ".keras", backend="jax")
        versions = stages.library_versions()
        assert versions["keras-backend"] == "jax"
        assert "jax" in versions
        assert "tensorflow" not in versions

    @pytest.mark.parametrize("backend", ["tensorflow", "jax"])
    def test_of_the_file_decides_whether_processes_are_forked(
        self, backend: str, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.platform", "linux")
        _written(home / ".keras", backend=backend)
        assert fork_server.can_fork() == (backend == "tensorflow")

    def test_of_the_file_is_that_of_nodes(self, home: Path, tmp_path: Path) -> None:
        _written(home / ".keras", backend="jax")
        requests: list[Any] = []
        outcome = Outcome(Reference("number", "a" * 64, "1" * 64), reused=False)

        class RecordingCluster(Cluster):
            def _check_room(self, stage: Any) -> None:
                """Find room without Ray."""

            def _messages(self, request: Any) -> Any:
                requests.append(request)
                messages: list[Message] = [("outcome", outcome)]
                yield from messages

        cluster = RecordingCluster(RunOptions(), "lock")
        logger = logging.getLogger("tests")
        store = Store(tmp_path / "store")
        result = cluster.ensure(
            number("a", 1), {}, store, progress=lambda *step: None, logger=logger
        )
        assert result == outcome
        assert requests[0].variables["KERAS_BACKEND"] == "jax"


class TestNumbers:
    def test_of_keras_are_accepted(self, home: Path) -> None:
        check_keras_settings()
        _written(home / ".keras")
        check_keras_settings()
        assert stages.library_versions()["keras-backend"] == "tensorflow"

    @pytest.mark.parametrize(
        ("name", "value"),
        [("floatx", "float64"), ("epsilon", 1e-5), ("image_data_format", "channels_first")],
    )
    def test_that_are_others_are_refused_before_anything_is_computed(
        self, name: str, value: Any, home: Path
    ) -> None:
        path = _written(home / ".keras", **{name: value})
        message = rf"{path}: expected {name} {KERAS_OWN[name]}, .* got {value}; .* set KERAS_HOME"
        with pytest.raises(InvalidSettings, match=message):
            stages.library_versions()
        with pytest.raises(InvalidSettings, match=message):
            prepare("cpu", "float32", 1)
