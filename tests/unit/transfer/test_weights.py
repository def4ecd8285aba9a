"""Sources of weights are known without loading Keras."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flowers17.backbones.facts import known_facts
from flowers17.errors import ChecksumMismatch, InvalidInput, InvalidSettings
from flowers17.reporting.reference import TABLE_7
from flowers17.transfer.weights import (
    WeightsSource,
    check_input_size,
    keras_cache,
    resolve_weights,
)


@pytest.fixture(autouse=True)
def _empty_keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


def _written(path: Path, content: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_no_module_of_the_study_loads_keras() -> None:
    modules = ", ".join(
        f"flowers17.transfer.{name}"
        for name in ("weights", "extractors", "rowspace", "classifiers", "classifier_evaluation")
    )
    code = f"import sys, {modules}; print({{'keras', 'tensorflow'}} & set(sys.modules))"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "set()"


@pytest.mark.parametrize("extractor", TABLE_7)
def test_accepted_file_is_found_with_its_digest(extractor: str, tmp_path: Path) -> None:
    facts = known_facts()[extractor]
    path = _written(tmp_path / "weights" / facts.file_names[0])
    assert resolve_weights(extractor, path.parent) == WeightsSource(
        "file", path, hashlib.sha256(b"weights").hexdigest()
    )


def test_weights_folder_comes_before_the_cache_and_the_cache_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = replace(known_facts()["vgg16"], digest=hashlib.md5(b"weights").hexdigest())
    monkeypatch.setitem(known_facts(), "vgg16", facts)
    folder = tmp_path / "weights"
    folder.mkdir()
    assert resolve_weights("vgg16", folder) == WeightsSource("download")
    assert resolve_weights("vgg16", None) == WeightsSource("download")
    cached = _written(keras_cache() / facts.file_name)
    assert cached.is_relative_to(tmp_path)
    assert resolve_weights("vgg16", folder).path == cached
    assert resolve_weights("vgg16", None).path == cached
    published = _written(folder / facts.file_name)
    assert resolve_weights("vgg16", folder).path == published
    preferred = _written(folder / facts.file_names[0])
    assert resolve_weights("vgg16", folder).path == preferred


def test_random_weights_look_for_no_file(tmp_path: Path) -> None:
    assert resolve_weights("vgg16", tmp_path / "none", weights="random") == WeightsSource("random")


def test_other_bytes_under_the_published_name_are_refused(tmp_path: Path) -> None:
    path = _written(tmp_path / known_facts()["vgg16"].file_name)
    with pytest.raises(ChecksumMismatch, match=r"expected md5 6d6bbae1.*delete it"):
        resolve_weights("vgg16", path.parent)


def test_weights_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"expected a folder .* got no such folder"):
        resolve_weights("vgg16", tmp_path / "none")
    with pytest.raises(InvalidInput, match="got a file"):
        resolve_weights("vgg16", _written(tmp_path / "file"))


@pytest.mark.parametrize(
    ("extractor", "smallest"),
    [("vgg16", 32), ("inceptionv3", 75), ("mobilenet", 32), ("xception", 71)],
)
def test_input_below_the_smallest_is_refused(extractor: str, smallest: int) -> None:
    check_input_size(extractor, smallest)
    with pytest.raises(InvalidSettings, match=f"at least {smallest} pixels .* got {smallest - 1}"):
        check_input_size(extractor, smallest - 1)


def test_unknown_extractor_is_refused_with_a_similar_one() -> None:
    message = r"expected a network of .*, hub:PRESET, .*got 'resnet51'; did you mean resnet50\?"
    with pytest.raises(InvalidSettings, match=message):
        check_input_size("resnet51", 32)
