"""The stage `weights` fetches presets by KerasHub's own download, from a hub on loopback."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowers17.artifacts import Artifact, Store
from flowers17.errors import DownloadFailed, InvalidInput, WeightsMissing
from flowers17.stages import ensure
from tasks import weights
from tests.support.preset_hub import Hub, serving

keras_hub = pytest.importorskip("keras_hub")

PRESET = "hub:vit_base_patch16_224_imagenet"  # one that KerasHub knows, of another size here
FILES = {"config.json", "image_converter.json", "model.weights.h5"}
SIZE = 32


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small vision transformer, its scaling, and their folder."""
    folder = tmp_path_factory.mktemp("preset")
    vit = keras_hub.models.ViTBackbone((SIZE, SIZE, 3), 8, 1, 2, 16, 32)
    vit.save_to_preset(str(folder))
    converter = keras_hub.layers.ViTImageConverter(image_size=(SIZE, SIZE), scale=1 / 255)
    converter.save_to_preset(str(folder))
    return vit, folder


@pytest.fixture
def hub(preset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub whose only preset is that one, and an empty cache."""
    folder = Path(shutil.copytree(preset[1], tmp_path / "served"))
    for name in ("HTTP_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(folder) as served:
        monkeypatch.setenv("http_proxy", served.url)
        monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
        monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
        yield served


def _fetched(store: Path, preset: str = PRESET, **options: Any) -> Artifact:
    return Store(store).open(ensure(weights.stage(preset), {}, Store(store), **options).reference)


def test_preset_comes_with_progress_and_its_content_alone_decides_the_digest(
    hub: Hub, tmp_path: Path
) -> None:
    told: list[tuple[int, int, str]] = []
    artifact = _fetched(tmp_path / "store", progress=lambda *each: told.append(each))
    assert artifact.manifest["files"].keys() == FILES
    for name in FILES:
        content = (hub.folder / name).read_bytes()
        assert artifact.file(name).read_bytes() == content
        assert (len(content), len(content), "bytes") in told
    assert sorted(hub.asked) == sorted(FILES)
    paths = [path for method, path, _ in hub.requests if method == "GET"]
    assert all("/keras/vit_base_patch16_224_imagenet/" in path for path in paths)
    assert _fetched(tmp_path / "again").manifest["digest"] == artifact.manifest["digest"]
    config = json.loads((hub.folder / "image_converter.json").read_text())
    config["config"]["scale"] = 1 / 127
    (hub.folder / "image_converter.json").write_text(json.dumps(config))
    (tmp_path / "cache").rename(tmp_path / "older")
    assert _fetched(tmp_path / "third").manifest["digest"] != artifact.manifest["digest"]


def test_broken_connection_is_tried_again_from_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    weights_file = hub.folder / "model.weights.h5"
    weights_file.write_bytes(bytes(range(256)) * 3 * 2**12)  # kagglehub writes 1 MiB at a time
    hub.breaks.add(weights_file.name)
    with pytest.raises(DownloadFailed, match=r"hub:vit_base_\w+: .*Connection broken") as broken:
        _fetched(tmp_path / "store")
    assert broken.value.transient
    artifact = _fetched(tmp_path / "store")
    assert f"bytes={2**20}-" in [span for *_, span in hub.requests]
    assert artifact.file(weights_file.name).read_bytes() == weights_file.read_bytes()


def test_file_of_another_digest_than_the_hub_names_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.spoilt.add("model.weights.h5")
    with pytest.raises(DownloadFailed, match="checksum"):
        _fetched(tmp_path / "store")
    hub.spoilt.clear()
    _fetched(tmp_path / "store")
    assert hub.asked.count("model.weights.h5") == 2


def test_without_a_connection_the_folder_to_provide_is_named(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # discard: nothing listens
    with pytest.raises(
        WeightsMissing,
        match=r"put the preset's folder vit_base_patch16_224_imagenet into the folder given as",
    ):
        _fetched(tmp_path / "store")
    assert hub.requests == []


def test_downloaded_preset_that_names_other_code_is_refused_before_it_is_read(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "trace"
    (tmp_path / "trap_module.py").write_text(f"open({str(trace)!r}, 'w')\nclass Trap: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = json.loads((hub.folder / "config.json").read_text())
    trap = {"module": "trap_module", "class_name": "Trap", "registered_name": "Trap", "config": {}}
    config["config"]["dtype"] = trap
    (hub.folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match=r"config.json: expected classes of Keras alone"):
        _fetched(tmp_path / "store")
    assert not trace.exists()


def test_preset_in_another_form_is_converted(hub: Hub, preset: Any, tmp_path: Path) -> None:
    (hub.folder / "model.weights.h5").unlink()
    preset[0].save_to_preset(str(hub.folder), max_shard_size=2e-5)  # GB, in several files
    artifact = _fetched(tmp_path / "store")
    assert "model_00000.weights.h5" in hub.asked
    assert artifact.manifest["files"].keys() == FILES


def test_preset_of_the_other_hub_comes_as_well(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy")
    template = "{repo_id}/resolve/{revision}/{filename}"  # as HF_ENDPOINT sets it at import
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", f"{hub.url}/{template}"
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    artifact = _fetched(tmp_path / "store", "hub:hf://somebody/small_vit")
    assert artifact.manifest["files"].keys() == FILES
    assert any(path.startswith("/somebody/small_vit/") for _, path, _ in hub.requests)
