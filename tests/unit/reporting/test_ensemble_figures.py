"""Figures 5 and 6 and what goes with them: what they show, and that they ask for nothing."""

import base64
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowers17.artifacts import Artifact
from flowers17.digests import canonical_json
from flowers17.reporting.ensembles.figures import ensemble_figures
from flowers17.reporting.figures import Figure
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.report import all_figures, all_tables

from .made_ensembles import combined_study, proba_with_errors


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return combined_study(tmp_path_factory.mktemp("combined"), missing_trainings={})


@pytest.fixture(scope="module")
def figures(study: ReportInputs) -> dict[str, Figure]:
    return {figure.number: figure for figure in all_figures(study)["a2"]}


def _figure(inputs: ReportInputs, number: str) -> Figure:
    return next(figure for figure in ensemble_figures(inputs) if figure.number == number)


def _set_chosen_correct(artifact: Artifact, n_correct: int) -> None:
    """Let the chosen method have that many images right."""
    result = artifact.json("result")
    for method in result["methods"]:
        if (method["method"], method["by"]) == ("random_forest", "average"):
            method["n_correct"] = n_correct
    artifact.file("result.json").write_text(canonical_json(result))


def _words(figure: Figure) -> str:
    return " ".join(ET.fromstring(figure.svg).itertext())


def test_each_ensemble_has_its_figures_and_the_studys_have_its_numbers(
    figures: dict[str, Figure],
) -> None:
    kinds = ("5", "5-confusion", "5-pairs", "5-reliability", "6")
    assert set(figures) == {*kinds, *(kind[0] + "b" + kind[1:] for kind in kinds)}
    assert figures["5b-pairs"].file_name == "figure-05b-pairs.svg"
    assert figures["5"].title == "The ensemble’s forward pass"


def test_every_figure_is_shown_behind_a_table(
    figures: dict[str, Figure], study: ReportInputs
) -> None:
    numbers = {table.number for table in all_tables(study)["a2"]}
    assert {figure.behind for figure in figures.values()} <= numbers


def test_figures_are_well_formed_themed_and_ask_for_nothing(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        for text in (figure.content.decode(), figure.svg):
            root = ET.fromstring(text)
            addresses = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
            assert all(address.startswith(("#", "data:")) for address in addresses)
        assert not re.search(r"(fill|stroke): #", figure.svg), figure.number
    ids = [id for figure in figures.values() for id in re.findall(r'\bid="([^"]+)"', figure.svg)]
    assert len(ids) == len(set(ids))


def test_figures_are_the_same_bytes_each_time(
    figures: dict[str, Figure], study: ReportInputs
) -> None:
    again = {figure.number: figure for figure in all_figures(study)["a2"]}
    assert {n: figure.content for n, figure in figures.items()} == {
        n: figure.content for n, figure in again.items()
    }


def test_figure_5_draws_members_outputs_and_the_chosen_method(figures: dict[str, Figure]) -> None:
    words = _words(figures["5"])
    assert all(name in words for name in ("Mk-2", "Mk-6", "34.0 M", "random forest", "0.917"))
    assert "5 × 3 = 15 outputs" in " ".join(words.split())
    assert "36 rows" in figures["5"].caption
    assert "svm on mobilenet" in _words(figures["5b"])


def _bars(figure: Figure) -> list[float]:
    """The heights of the bars, in the order drawn."""
    return [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', figure.svg)]


def test_figure_6_has_a_bar_for_each_output_as_high_as_its_importance(
    figures: dict[str, Figure],
) -> None:
    heights = _bars(figures["6"])
    assert len(heights) == 5 * 3
    # Each member's importance is spread evenly over its three outputs.
    expected = np.repeat(np.arange(1, 6) / 5, 3)
    assert np.array(heights) / max(heights) == pytest.approx(expected, abs=1e-3)
    assert "each of the 15 outputs" in figures["6"].caption
    assert "together 0.333" in _words(figures["6"])


def test_pairs_show_the_very_images_that_were_taken_for_another_class(
    tmp_path: Path,
) -> None:
    inputs = combined_study(tmp_path)
    result = next(r for r in inputs.ensemble_results if r.name == "study")
    pixels = inputs.artifacts["images@128"].array("images")
    figure = _figure(inputs, "5-pairs")
    pictures = re.findall(r'xlink:href="data:image/jpeg;base64,([^"]+)"', figure.svg)
    # One image of class 0 is taken for class 1; beside it, one of class 1.
    assert len(pictures) == 2
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0]))), dtype=float)
    wrong = pixels[result.rows[0]].astype(float)
    assert abs(shown - wrong).mean() < abs(shown - pixels[result.rows[1]]).mean() / 2
    assert "daffodil taken for <b>lily</b> & co, 1 of 4" in _words(figure)


def test_most_certain_errors_come_first_and_no_more_than_four(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path)
    artifact = inputs.artifacts["stacking of study, clean split"]
    result = next(r for r in inputs.ensemble_results if r.name == "study")
    proba = proba_with_errors(result.truth, 9, 3)
    np.save(artifact.file("random_forest-average-proba.npy"), proba)
    _set_chosen_correct(artifact, 3)
    again = ReportInputs(inputs.artifacts, [], inputs.settings)
    words = _words(_figure(again, "5-pairs"))
    assert "daffodil taken for <b>lily</b> & co, 4 of 4" in words
    assert "=iris taken for daffodil, 1 of 4" in words


def test_ensemble_that_errs_nowhere_has_no_pairs(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path)
    for label in ("stacking of study, clean split", "stacking of own, repeat-01 split"):
        artifact = inputs.artifacts[label]
        result = next(r for r in inputs.ensemble_results if r.stacked == artifact)
        np.save(
            artifact.file("random_forest-average-proba.npy"), proba_with_errors(result.truth, 0, 3)
        )
        _set_chosen_correct(artifact, 12)
    again = ReportInputs(inputs.artifacts, [], inputs.settings)
    assert not any("pairs" in figure.number for figure in ensemble_figures(again))


def test_reliability_tells_the_errors_and_the_temperature(figures: dict[str, Figure]) -> None:
    assert "after, temperature 1.50" in _words(figures["5-reliability"])
    assert "0.250 before, 0.125 after" in figures["5-reliability"].caption


def test_ensemble_without_a_forest_has_no_figure_6(tmp_path: Path) -> None:
    inputs = combined_study(tmp_path)
    artifact = inputs.artifacts["stacking of study, clean split"]
    result = {**artifact.json("result"), "importances": None}
    artifact.file("result.json").write_text(canonical_json(result))
    numbers = {figure.number for figure in ensemble_figures(inputs)}
    assert {"6", "6b"} & numbers == {"6b"}


def test_study_without_ensembles_has_no_figures_of_them(real_study: ReportInputs) -> None:
    assert all_figures(real_study)["a2"] == []
