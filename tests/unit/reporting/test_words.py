"""The words of tables and figures: rendered, one note a sentence or two, none of them empty."""

import pytest
from jinja2 import UndefinedError

from flowers17.reporting.columns import Column, Record
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.report import all_figures, all_tables
from flowers17.reporting.tables import StudyNote
from flowers17.reporting.wording import capital
from flowers17.reporting.words import _entries, columns_of, text, worded_table


def test_a_note_is_left_out_if_it_is_empty_and_a_blank_line_parts_two() -> None:
    reasons = {"one fold": ["Ensemble a, clean"], "no class": ["Ensemble b, clean", "c"]}
    with_both = worded_table("5-leak-splits", [], no_hold_out=reasons).notes
    with_none = worded_table("5-leak-splits", [], no_hold_out={}).notes
    assert with_both[: len(with_none)] == with_none
    assert with_both[len(with_none) :] == (
        "Ensemble a, clean: no row for one held-out fold, nor a mean of it: one fold.",
        "Ensemble b, clean; c: no row for one held-out fold, nor a mean of it: no class.",
    )
    assert all(with_none)


@pytest.mark.parametrize(
    ("title", "heading"),
    [
        ("network a, clean", "Network a, clean"),
        ("file:map.keras@64 adam", "file:map.keras@64 adam"),
        ("mynet:tiny@64 adam", "mynet:tiny@64 adam"),
        ("sources: two", "Sources: two"),
    ],
)
def test_a_heading_begins_with_a_capital_unless_with_a_network_s_name(
    title: str, heading: str
) -> None:
    assert capital(title) == heading


def test_only_notes_on_the_study_are_marked_as_such() -> None:
    notes = worded_table("5-leak-splits", [], no_hold_out={}).notes
    assert [isinstance(note, StudyNote) for note in notes] == [False, True, False]


def test_what_a_text_needs_and_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'model' is undefined"):
        text("table measures", "lead", n=3)


def test_nothing_of_a_template_is_left_in_the_words(
    trained_study: ReportInputs, demo_study: ReportInputs
) -> None:
    for inputs in (trained_study, demo_study):
        tables = [table for part in all_tables(inputs).values() for table in part]
        figures = [figure for part in all_figures(inputs).values() for figure in part]
        assert len(tables) > 8
        words = [part for table in tables for part in (table.title, table.lead, *table.notes)]
        words += [part for figure in figures for part in (figure.title, figure.caption)]
        for part in words:
            assert not {"{", "}", "\n"} & set(part)
            assert "  " not in part
        assert all(content.title for content in (*tables, *figures))


def test_a_column_that_no_record_has_is_left_out_if_it_is_optional() -> None:
    def keys(record: Record) -> list[str]:
        return [column.key for column in worded_table("T1", [record], n_twins=0).columns]

    assert keys(Record({"model": "svm"})) == ["model", "fitted_on", "validation", "test"]
    assert keys(Record({"balanced": 0.5}))[-2:] == ["test", "balanced"]


def test_every_table_has_columns_whose_keys_differ_and_further_ones_stand_behind() -> None:
    names = {name for name in _entries() if name.startswith("table ")}
    assert len(names) > 30
    for name in names:
        columns = columns_of(name)
        assert columns, name
        keys = [column.key for column in columns]
        assert len(set(keys)) == len(keys), name
        assert {column.reference for column in columns} <= {"", "study", *keys}, name
    further = Column("worst_8", "Defence known")
    assert worded_table("C7", [], columns=[further]).columns[-1] == further
