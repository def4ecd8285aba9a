"""Figures: what they show, and that they are the same each time."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from flowers17.reporting.confusion_figures import opacity
from flowers17.reporting.drawing import is_drawable
from flowers17.reporting.figures import Figure, chosen_rows, class_labels
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.report import all_figures

from .made_study import make_study, tiny_settings, tiny_study

NUMBERS = ["1", "1b", "1c", "7", "7b", "7c", "8-pairs"]


def _figures(inputs: ReportInputs) -> dict[str, Figure]:
    return {figure.number: figure for part in all_figures(inputs).values() for figure in part}


@pytest.fixture(scope="module")
def real(real_study: ReportInputs) -> dict[str, Figure]:
    return _figures(real_study)


@pytest.fixture(scope="module")
def demo(demo_study: ReportInputs) -> dict[str, Figure]:
    return _figures(demo_study)


def test_every_figure_is_made(real: dict[str, Figure]) -> None:
    assert list(real) == NUMBERS
    assert [figure.file_name for figure in real.values()] == [
        "figure-01.svg",
        "figure-01b.svg",
        "figure-01c.png",
        "figure-07.svg",
        "figure-07b.svg",
        "figure-07c.svg",
        "figure-08-pairs.svg",
    ]


def test_figures_are_the_same_bytes_each_time(
    real: dict[str, Figure], real_study: ReportInputs
) -> None:
    again = _figures(real_study)
    for number, figure in real.items():
        assert figure.content == again[number].content, number
        assert figure.svg == again[number].svg, number


def test_figure_1_shows_one_image_of_each_class(
    real: dict[str, Figure], real_study: ReportInputs
) -> None:
    rows = chosen_rows(real_study)
    assert real_study.labels[rows].tolist() == [0, 1, 2]
    assert [label for label, _ in real["1"].tiles] == real_study.class_names
    root = ET.fromstring(real["1"].content)
    assert [text for text in root.itertext() if text in ("daffodil", "=iris")]
    assert real["1"].content.count(b"data:image/jpeg;base64") == 3


def test_figure_1_depends_on_the_seed(real_study: ReportInputs) -> None:
    settings = tiny_settings(random=False)
    row_sets = set()
    for seed in range(6):
        seeded = settings.model_copy(update={"seed": seed}).model_dump(mode="json")
        row_sets.add(tuple(chosen_rows(ReportInputs(real_study.artifacts, [], seeded))))
    assert len(row_sets) > 1


@pytest.mark.parametrize("number", [number for number in NUMBERS if number not in ("1", "1c")])
def test_svg_is_well_formed_and_asks_for_nothing(real: dict[str, Figure], number: str) -> None:
    for text in (real[number].content.decode(), real[number].svg):
        root = ET.fromstring(text)
        assert root.tag.endswith("svg")
        addresses = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
        assert all(address.startswith(("#", "data:")) for address in addresses)
        assert "<metadata" not in text


@pytest.mark.parametrize("number", [number for number in NUMBERS if number not in ("1", "1c")])
def test_page_copy_takes_the_pages_colours(real: dict[str, Figure], number: str) -> None:
    assert not re.search(r"(fill|stroke): #", real[number].svg)
    assert "currentColor" in real[number].svg or "var(--muted)" in real[number].svg


def test_ids_of_figures_never_meet_in_one_page(real: dict[str, Figure]) -> None:
    ids = [
        identifier
        for figure in real.values()
        for identifier in re.findall(r'\bid="([^"]+)"', figure.svg)
    ]
    assert len(ids) == len(set(ids))


def test_forward_pass_shows_the_shapes_of_this_run(real: dict[str, Figure]) -> None:
    text = " ".join(ET.fromstring(real["7"].svg).itertext())
    for words in ("128 × 128 × 3", "MobileNet", "4 × 4 × 1024", "16,384 columns", "3.2 M weights"):
        assert words in text
    assert "InceptionV3" not in text


def test_class_names_are_escaped(real: dict[str, Figure]) -> None:
    assert "<b>lily" not in real["7c"].svg
    assert "&lt;b&gt;lily" in real["7c"].svg


def test_untrained_weights_and_rendered_flowers_are_labelled(demo: dict[str, Figure]) -> None:
    assert demo["1"].caption.startswith("Rendered flowers")
    assert "untrained" in demo["7"].svg
    assert "random, not trained" in demo["7"].caption
    assert "(untrained)" in demo["7b"].svg
    assert "Not a comparison" in demo["7b"].caption
    assert "untrained" in demo["7c"].caption


def test_nothing_to_draw_gives_no_figure() -> None:
    empty = ReportInputs({}, [], tiny_settings(random=True).model_dump(mode="json"))
    assert _figures(empty) == {}
    assert np.size(empty.labels) == 0


def test_any_class_name_can_be_drawn(tmp_path: Path) -> None:
    names = ["$\\frac$ #ffffff", 'quote" & <\x01>', "x" * 200]
    for number, figure in _figures(tiny_study(tmp_path, class_names=names)).items():
        if figure.svg:
            text = " ".join(ET.fromstring(figure.svg).itertext())
            assert number not in ("1b", "7c") or "$\\frac$ #ffffff" in text


def test_many_classes_leave_the_matrix_without_names(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(40), 4)
    inputs = make_study(
        tmp_path,
        tiny_settings(random=False, size=16),
        images=np.zeros((160, 16, 16, 3), dtype=np.uint8),
        labels=labels,
        class_names=[f"class {i}" for i in range(40)],
        verified=False,
        kind="folder",
        n_wrong=lambda combination: 3,
    )
    figures = _figures(inputs)
    assert "class 7" in figures["1b"].svg
    assert "class 7" not in figures["7c"].svg
    assert "The 40 classes are in the order of Table D1" in figures["7c"].caption
    assert figures["7b"].caption == "Validation accuracy on the report’s split."


SCRIPTS = ["向日葵", "собака", "कुत्ता"]


def test_names_in_any_script_are_drawn_without_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    figures = _figures(tiny_study(tmp_path, class_names=SCRIPTS))
    for number in ("1", "1b", "7c"):
        text = " ".join(ET.fromstring(figures[number].content).itertext())
        assert all(name in text for name in SCRIPTS), number
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_a_name_without_a_font_has_its_class_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowers17.reporting.figures.is_drawable", lambda text: text.isascii())
    labels, note = class_labels(["dog", *SCRIPTS])
    assert labels == ["dog", "2: 向日葵", "3: собака", "4: कुत्ता"]
    assert "numbered in the order of Table D1" in note
    assert class_labels(["dog"]) == (["dog"], "")


def test_fonts_of_this_machine_are_asked_for_letters() -> None:
    assert is_drawable("Löwe собака")
    assert not is_drawable("\U0010fffd")


def test_matrices_name_their_axes_and_what_their_colours_mean(real: dict[str, Figure]) -> None:
    words = " ".join(ET.fromstring(real["7c"].svg).itertext())
    for text in ("true class", "taken for", "share of the class, right", "of the class, wrong"):
        assert text in words


def test_colours_of_a_matrix_grow_with_the_share() -> None:
    shares = np.linspace(0, 1, 11)
    opacities = [opacity(share) for share in shares]
    assert opacities == sorted(set(opacities))
    assert 0 < opacities[0] < opacities[-1] <= 0.5


def test_counts_of_thirty_classes_can_be_read(tmp_path: Path) -> None:
    inputs = make_study(
        tmp_path,
        tiny_settings(random=False, size=16),
        images=np.zeros((120, 16, 16, 3), dtype=np.uint8),
        labels=np.repeat(np.arange(30), 4),
        class_names=[f"class {i}" for i in range(30)],
        verified=False,
        kind="folder",
        n_wrong=lambda combination: 3,
    )
    svg = _figures(inputs)["7c"].svg
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    rem = re.search(r"max-width: ([\d.]+)rem; min-width: ([\d.]+)rem", svg)
    box = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    assert rem
    assert box
    pixels = 16 * float(rem[1]) / float(box[1])
    assert min(sizes) * pixels >= 11
