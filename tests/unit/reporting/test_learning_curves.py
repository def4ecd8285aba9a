"""Learning curves as SVG: what is drawn, from the first epoch on, and at what cost."""

import math
import re
import sys
import xml.etree.ElementTree as ET
from collections import Counter

import pytest

from flowers17.errors import InvalidInput
from flowers17.reporting.learners.curves import Curves, curves_svg, grid_svg, is_cut, loss_limit

from .made_trainings import history

SVG = "{http://www.w3.org/2000/svg}"


def _lines(text: str) -> list[list[tuple[float, float]]]:
    return [
        [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]  # type: ignore[misc]
        for line in ET.fromstring(text).iter(f"{SVG}polyline")
    ]


def test_first_epoch_is_drawn_as_dots() -> None:
    root = ET.fromstring(curves_svg(history(1), "mk-2"))
    assert len(list(root.iter(f"{SVG}circle"))) == 4
    assert list(root.iter(f"{SVG}polyline")) == []


@pytest.mark.parametrize("epochs", [2, 5, 50, 150])
def test_four_curves_have_a_point_an_epoch(epochs: int) -> None:
    assert [len(line) for line in _lines(curves_svg(history(epochs), "mk-2"))] == [epochs] * 4


def test_file_stands_alone_and_says_what_it_shows() -> None:
    text = curves_svg(history(5), "mk-2 & <wide>")
    root = ET.fromstring(text)
    words = " ".join(root.itertext())
    assert "mk-2 & <wide>" in words
    assert f"epoch 5, validation accuracy {history(5)[-1]['val_accuracy']:.3f}" in words
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert not any(name in text for name in ("currentColor", "var(--"))


def test_height_on_the_axis_is_the_value() -> None:
    flat = [
        {"epoch": e, "loss": 1, "accuracy": 0.5, "val_loss": 2, "val_accuracy": 1} for e in (1, 2)
    ]
    loss, val_loss, accuracy, val_accuracy = _lines(curves_svg(flat, ""))
    bottom = 126.0  # of the first row of panels
    assert {y for _, y in accuracy} == {(bottom + val_accuracy[0][1]) / 2}
    assert bottom - val_loss[0][1] == pytest.approx(2 * (bottom - loss[0][1]), abs=0.2)


def test_what_is_not_finite_leaves_a_gap() -> None:
    broken: list[dict[str, float | None]] = [dict(epoch) for epoch in history(9)]
    broken[3]["val_loss"], broken[4]["val_loss"] = math.inf, None
    loss, *parts = _lines(curves_svg(broken, ""))[:3]
    assert (len(loss), [len(part) for part in parts]) == (9, [3, 4])


def test_validation_loss_that_runs_away_is_cut_at_twice_the_training_loss() -> None:
    wild = [{**epoch, "val_loss": 100.0 * epoch["epoch"]} for epoch in history(5)]
    highest = max(epoch["loss"] for epoch in wild)
    rows = [Curves("mk-2", wild)]
    assert loss_limit(rows) == pytest.approx(2 * highest * 1.04)
    assert is_cut(rows)
    assert not is_cut([Curves("mk-2", history(5))])


def test_rows_share_their_axes() -> None:
    long, short = history(9), history(5)
    lines = _lines(grid_svg([Curves("a", long), Curves("b", short)]))
    start, end = lines[0][0][0], lines[0][-1][0]
    assert lines[4][-1][0] == pytest.approx((start + end) / 2, abs=0.1)


def test_kept_epoch_is_marked_in_both_panels() -> None:
    unmarked = grid_svg([Curves("a", history(9))])
    marked = grid_svg([Curves("a", history(9), kept_epoch=3)])
    assert unmarked.count("stroke-dasharray") == unmarked.count("<circle") == 0
    assert marked.count("stroke-dasharray") == marked.count("<circle") == 2
    marks = {float(x) for x in re.findall(r'circle cx="([\d.]+)"', marked)}
    assert marks == {_lines(marked)[0][2][0], _lines(marked)[2][2][0]}


def test_curves_of_no_epoch_are_refused() -> None:
    with pytest.raises(InvalidInput, match="expected at least one epoch"):
        curves_svg([], "mk-2")


def _n_calls(n_epochs: int) -> int:
    """Number of functions, Python's own too, that are called to draw so many epochs."""
    epochs, calls = history(n_epochs), Counter[str]()
    profiler = sys.getprofile()
    sys.setprofile(lambda _frame, event, _arg: calls.update([event]))
    try:
        curves_svg(epochs, "mk-2")
    finally:
        sys.setprofile(profiler)
    return calls["call"] + calls["c_call"]


def test_drawing_while_training_takes_a_few_calls_for_each_epoch() -> None:
    few, many, most = (_n_calls(n_epochs) for n_epochs in (50, 150, 250))
    for more, fewer in ((many, few), (most, many)):
        assert 0 < (more - fewer) / 100 < 200  # four points each, of some numbers
