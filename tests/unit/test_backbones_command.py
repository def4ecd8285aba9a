"""The command `backbones` lists networks and what they cost, and measures those named."""

import json
import sys
from pathlib import Path

import pytest

from flowers17.backbones.choice import measured_speeds
from flowers17.backbones.facts import known_facts
from flowers17.cli import main


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(["backbones", *arguments])
    output = capsys.readouterr().out
    assert exit_.value.code == 0, output
    return output


def test_lists_every_network_of_keras_the_cheapest_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = json.loads(_run(capsys, "--json"))
    assert {row["name"] for row in rows} == set(known_facts())
    operations = [row["operations"] for row in rows]
    assert operations == sorted(operations)
    vgg16 = next(row for row in rows if row["name"] == "vgg16")
    facts = known_facts()["vgg16"]
    assert vgg16["parameters"] == facts.n_parameters
    assert vgg16["memory"] == 4 * (facts.n_parameters + 32 * facts.n_activations)
    assert vgg16["map_shape"] == [7, 7, 512]
    assert not vgg16["weights"]
    table = _run(capsys, "vgg16", "xception")
    assert [line.split()[0] for line in table.splitlines()] == ["name", "vgg16", "xception"]
    assert "299 px (from 71)" in table


def test_measures_the_named_networks_and_keeps_their_speeds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    [row] = json.loads(_run(capsys, "mobilenetv3small", "--measure", "--json"))
    assert row["images_per_s"] > 0
    assert measured_speeds() == {"mobilenetv3small": row["images_per_s"]}
    assert _run(capsys, "mobilenetv3small").split()[-2] != "–"
    [small] = json.loads(_run(capsys, "mobilenetv3small", "--input-size", "96", "--json"))
    assert (small["input_size"], small["images_per_s"]) == (96, None)
    assert 4 < row["operations"] / small["operations"] < 6


def test_an_own_network_of_any_size_is_counted_at_the_size_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    layers = [keras.Input((None, None, 3)), keras.layers.Conv2D(5, 3, padding="same")]
    keras.Sequential(layers).save(tmp_path / "any.keras")
    options = (f"file:{tmp_path / 'any.keras'}", "--input-size", "64")
    [row] = json.loads(_run(capsys, *options, "--json"))
    assert row["operations"] == 2 * 64 * 64 * 5 * 27
    assert row["memory"] == 4 * (140 + 32 * 64 * 64 * (3 + 5))
    words = _run(capsys, *options).splitlines()[1].split()
    assert words[1:5] == ["0.00014", "M", "0.00111", "G"]


def test_an_unknown_network_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["backbones", "resnet51"])
    assert exit_.value.code == 2
    assert "got 'resnet51'" in capsys.readouterr().err


def test_a_familys_name_is_answered_by_its_networks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["backbones", "ConvNeXt"])
    problem = " ".join(capsys.readouterr().err.split())
    assert "one of convnextbase, convnextlarge, convnextsmall, convnexttiny" in problem


def test_a_preset_without_the_package_of_presets_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(SystemExit) as exit_:
        main(["backbones", "hub:dinov2_base"])
    assert exit_.value.code == 2
    problem = " ".join(capsys.readouterr().err.split())
    assert "expected the package keras-hub" in problem
    assert "make setup EXTRAS=hub" in problem
