"""Figures of Part A.1: what they show, for a study of any extent."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from flowers17.reporting.figures import Figure
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.learners.figures import learner_figures
from flowers17.reporting.report import all_figures


@pytest.fixture(scope="module")
def figures(trained_study: ReportInputs) -> dict[str, Figure]:
    return {figure.number: figure for figure in all_figures(trained_study)["a1"]}


def _words(figure: Figure) -> str:
    return " ".join(ET.fromstring(figure.svg).itertext())


def test_figures_2_to_4b_are_drawn(figures: dict[str, Figure]) -> None:
    assert [figure.file_name for figure in figures.values()] == [
        "figure-02.svg",
        "figure-03.svg",
        "figure-03b.svg",
        "figure-04.svg",
        "figure-04b.svg",
        "figure-03-pairs.svg",
    ]


def test_figures_are_well_formed_themed_and_ask_for_nothing(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        for text in (figure.content.decode(), figure.svg):
            root = ET.fromstring(text)
            addresses = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
            assert all(address.startswith(("#", "data:")) for address in addresses)
        assert not re.search(r"(fill|stroke): #", figure.svg), figure.number
    ids = [
        name for figure in figures.values() for name in re.findall(r'\bid="([^"]+)"', figure.svg)
    ]
    assert len(ids) == len(set(ids))


def test_figure_2_has_a_row_for_each_learner_that_was_trained(figures: dict[str, Figure]) -> None:
    words = _words(figures["2"])
    assert all(name in words for name in ("Baseline", "Mk-2", "Mk-3", "kept: epoch 17 of 50"))
    assert "Mk-1" not in words
    assert figures["2"].svg.count("<polyline") == 3 * 4
    assert len(figures["2"].artifacts) == 3


def test_figures_3_and_4_have_a_row_for_each_augmentation(figures: dict[str, Figure]) -> None:
    for number in ("3", "4"):
        words = _words(figures[number])
        assert all(name in words for name in ("#1 zoom", "#2 flips", "#3 wide mix"))
        assert "kept: epoch 50 of 150" in words
    assert "Mk-3" in figures["4"].title


def test_figure_4b_explains_the_losses_of_our_own_recipe(figures: dict[str, Figure]) -> None:
    assert "residual, split report" in _words(figures["4b"])
    assert "kept: epoch 40 of 40" in _words(figures["4b"])
    assert "cannot reach zero" in figures["4b"].caption
    assert "cannot reach zero" not in figures["2"].caption


def test_figure_3b_shows_the_image_and_every_draw(
    figures: dict[str, Figure], trained_study: ReportInputs
) -> None:
    pictures = re.findall(r'xlink:href="data:image/jpeg;base64,([^"]+)"', figures["3b"].svg)
    assert len(pictures) == 1 + 4 * 2
    assert pictures[0] == pictures[1] != pictures[2]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0]))), dtype=float)
    original = trained_study.artifacts["augmentations"].array("original")
    assert shown.shape == original.shape
    assert abs(shown - original).mean() < 10
    assert all(name in _words(figures["3b"]) for name in ("#1 zoom", "strong"))


def test_rendered_flowers_are_labelled(trained_demo: ReportInputs) -> None:
    figures = {figure.number: figure for figure in learner_figures(trained_demo) if figure}
    curves, examples = figures["2"], figures["3b"]
    assert "Not a comparison with the study (rendered flowers)" in curves.caption
    assert examples.caption.startswith("Rendered flowers, drawn from code.")


def test_nothing_trained_gives_no_figure(real_study: ReportInputs) -> None:
    assert learner_figures(real_study) == [None] * 5
