"""Figure 8, the forward pass of fine-tuning, and the learning curves of both phases."""

import re
from pathlib import Path

import pytest

from flowers17.config import HeadSettings
from flowers17.reporting.finetuning.figures import tuned_curves, tuned_forward_pass
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.report import write_report

from .made_finetunings import BOUNDARY, MOBILENET, with_fine_tunings
from .made_study import tiny_study

HEADS = (HeadSettings(dropout=0.5), HeadSettings(optimizer="sgd"))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """A study with MobileNet's networks of Table 9, and another's on clean splits."""
    study = tiny_study(tmp_path_factory.mktemp("tuned"))
    return with_fine_tunings(study, table=(MOBILENET,), heads=HEADS, repeated=())


def _texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_figure_8_shows_this_runs_shapes_from_the_image_to_the_probabilities(
    tuned: ReportInputs,
) -> None:
    figure = tuned_forward_pass(tuned)
    assert figure is not None
    texts = _texts(figure.svg)
    for text in (
        "128 × 128 × 3",
        "MobileNet",
        "2.0 M weights",
        " × ".join(map(str, BOUNDARY)),
        "block12 and all behind it",
        "1.5 M weights",
        "4 × 4 × 1024",
        "flattened, 512 units",
        "dropout 0.5",
        "0.6 M weights",
        "3 probabilities",
    ):
        assert text in texts, text
    assert "MobileNet, Adam + dropout, phase B: correct" in texts
    assert len(figure.artifacts) == 2


def test_figure_8_leaves_out_a_shape_that_was_not_stored(tuned: ReportInputs) -> None:
    artifacts = {
        label: artifact
        for label, artifact in tuned.artifacts.items()
        if not label.startswith(("activations ", "features mobilenet"))
    }
    figure = tuned_forward_pass(ReportInputs(artifacts, [], tuned.settings))
    assert figure is not None
    assert " × ".join(map(str, BOUNDARY)) not in _texts(figure.svg)


def test_there_is_no_figure_8_without_phase_b(real_study: ReportInputs) -> None:
    assert tuned_forward_pass(real_study) is None
    assert tuned_curves(real_study) == []


def test_curves_join_the_phases_and_mark_the_epoch_kept_at_the_end(tuned: ReportInputs) -> None:
    first, last = tuned_curves(tuned)
    assert (first.number, last.number) == ("8b", "8c")
    texts = _texts(first.svg)
    assert texts.count("A") == texts.count("B") == 2 * 2
    assert texts.count("kept: A 9 of 25, B 17 of 50") == 2
    assert "Xception (299 px, originals, averaged)" in _texts(last.svg)
    # Two phases, two panels, two curves each: no line runs from one phase to the next.
    assert first.svg.count("<polyline") == 2 * 2 * 2 * 2


def test_the_page_shows_the_figures_where_they_belong(tuned: ReportInputs, tmp_path: Path) -> None:
    write_report(tuned, tmp_path)
    page = (tmp_path / "index.html").read_text()
    places = [page.index(f'id="{name}"') for name in ("figure-8", "table-9", "figure-8b")]
    assert places == sorted(places)
    assert page.index('id="figure-8c"') < page.index('id="table-10"')
    assert (tmp_path / "figures/figure-08c.svg").is_file()
    assert (tmp_path / "tables/table-09-paired.csv").is_file()
