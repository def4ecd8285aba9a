"""Figures 5 and 6 and what goes with them: what they show, and that they ask for nothing."""

import base64
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowers17.artifacts import canonical_json
from flowers17.reporting.collect import ReportInputs
from flowers17.reporting.ensembles.confusions import confused_pairs
from flowers17.reporting.ensembles.figures import importance_figures
from flowers17.reporting.figures import Figure
from flowers17.reporting.page import behind
from flowers17.reporting.report import all_figures, all_tables

from .made_ensembles import combined_study, said


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return combined_study(tmp_path_factory.mktemp("combined"), untrained={})


@pytest.fixture(scope="module")
def made(study: ReportInputs) -> dict[str, Figure]:
    return {one.number: one for one in all_figures(study)["a2"]}


def _words(figure: Figure) -> str:
    return " ".join(ET.fromstring(figure.svg).itertext())


def test_each_ensemble_has_its_figures_and_the_studys_have_its_numbers(
    made: dict[str, Figure],
) -> None:
    kinds = ("5", "5-confusion", "5-pairs", "5-reliability", "6")
    assert set(made) == {*kinds, *(kind[0] + "b" + kind[1:] for kind in kinds)}
    assert made["5b-pairs"].file_name == "figure-05b-pairs.svg"
    assert made["5"].title == "The ensemble’s forward pass"


def test_every_figure_is_shown_behind_a_table(made: dict[str, Figure], study: ReportInputs) -> None:
    numbers = {table.number for table in all_tables(study)["a2"]}
    assert {behind(number) for number in made} <= numbers


def test_figures_are_well_formed_themed_and_ask_for_nothing(made: dict[str, Figure]) -> None:
    for figure in made.values():
        for text in (figure.content.decode(), figure.svg):
            root = ET.fromstring(text)
            addresses = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
            assert all(address.startswith(("#", "data:")) for address in addresses)
        assert not re.search(r"(fill|stroke): #", figure.svg), figure.number
    ids = [found for one in made.values() for found in re.findall(r'\bid="([^"]+)"', one.svg)]
    assert len(ids) == len(set(ids))


def test_figures_are_the_same_bytes_each_time(made: dict[str, Figure], study: ReportInputs) -> None:
    again = {one.number: one for one in all_figures(study)["a2"]}
    assert {n: one.content for n, one in made.items()} == {
        n: one.content for n, one in again.items()
    }


def test_figure_5_draws_members_outputs_and_the_chosen_method(made: dict[str, Figure]) -> None:
    words = _words(made["5"])
    assert all(name in words for name in ("Mk-2", "Mk-6", "34.0 M", "random forest", "0.917"))
    assert "5 × 3 = 15 outputs" in " ".join(words.split())
    assert "36 rows" in made["5"].caption
    assert "svm on mobilenet" in _words(made["5b"])


def _bars(figure: Figure) -> list[float]:
    """Return the heights of the filled areas, in the order drawn."""
    heights = []
    for text in re.findall(r'<path id="[^"]*" d="([^"]*)"', figure.svg):
        ys = [float(y) for _, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", text)]
        heights.append(max(ys) - min(ys))
    return heights


def test_figure_6_has_a_bar_for_each_output_as_high_as_its_importance(
    made: dict[str, Figure],
) -> None:
    heights = _bars(made["6"])
    assert len(heights) == 5 * 3
    # Each member's importance is spread evenly over its three outputs.
    expected = np.repeat(np.arange(1, 6) / 5, 3)
    assert np.array(heights) / max(heights) == pytest.approx(expected, abs=1e-3)
    assert "15 outputs" in made["6"].title
    assert "together 0.333" in _words(made["6"])


def test_pairs_show_the_very_images_that_were_taken_for_another_class(
    tmp_path: Path,
) -> None:
    inputs = combined_study(tmp_path)
    one = next(one for one in inputs.ensembles if one.name == "study")
    pixels = inputs.artifacts["images@128"].array("images")
    figure = confused_pairs(inputs)[0]
    found = re.findall(r'xlink:href="data:image/jpeg;base64,([^"]+)"', figure.svg)
    # One image of class 0 is taken for class 1; beside it, one of class 1.
    assert len(found) == 2
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[0]))), dtype=float)
    wrong = pixels[one.rows[0]].astype(float)
    assert abs(shown - wrong).mean() < abs(shown - pixels[one.rows[1]]).mean() / 2
    assert "daffodil taken for <b>lily</b> & co, 1 of 4" in _words(figure)


def test_most_certain_errors_come_first_and_no_more_than_four(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path)
    artifact = inputs.artifacts["stacking of study, clean split"]
    one = next(one for one in inputs.ensembles if one.name == "study")
    proba = said(one.truth, 9, 3)
    np.save(artifact.file("random_forest-average-proba.npy"), proba)
    result = artifact.json("result")
    for method in result["methods"]:
        if (method["method"], method["by"]) == ("random_forest", "average"):
            method["n_correct"] = 3
    artifact.file("result.json").write_text(canonical_json(result))
    again = ReportInputs(inputs.artifacts, [], inputs.settings)
    words = _words(confused_pairs(again)[0])
    assert "daffodil taken for <b>lily</b> & co, 4 of 4" in words
    assert "=iris taken for daffodil, 1 of 4" in words


def test_ensemble_that_errs_nowhere_has_no_pairs(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path)
    for label in ("stacking of study, clean split", "stacking of own, repeat-01 split"):
        artifact = inputs.artifacts[label]
        one = next(e for e in inputs.ensembles if e.stacked == artifact)
        np.save(artifact.file("random_forest-average-proba.npy"), said(one.truth, 0, 3))
        result = artifact.json("result")
        for method in result["methods"]:
            if (method["method"], method["by"]) == ("random_forest", "average"):
                method["n_correct"] = 12
        artifact.file("result.json").write_text(canonical_json(result))
    assert confused_pairs(ReportInputs(inputs.artifacts, [], inputs.settings)) == []


def test_reliability_tells_the_errors_and_the_temperature(made: dict[str, Figure]) -> None:
    assert "after, temperature 1.50" in _words(made["5-reliability"])
    assert "0.250 before, 0.125 after" in made["5-reliability"].caption


def test_ensemble_without_a_forest_has_no_figure_6(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path)
    artifact = inputs.artifacts["stacking of study, clean split"]
    result = {**artifact.json("result"), "importances": None}
    artifact.file("result.json").write_text(canonical_json(result))
    assert [one.number for one in importance_figures(inputs)] == ["6b"]


def test_study_without_ensembles_has_no_figures_of_them(real_study: ReportInputs) -> None:
    assert all_figures(real_study)["a2"] == []
