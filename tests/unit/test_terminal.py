"""Tables on a terminal and in a pipe: names are whole, words are wrapped, control is escaped."""

import io

import pytest
from rich.progress import Progress
from rich.table import Table

from flowers17.commands.display import Clock
from flowers17.terminal import Terminal

NAME = "logistic_regression on mobilenet@224-average + xception@299-average"
WORDS = "accuracy 0.9167, validation loss 0.2512, and further words that do not fit beside it"


def _printed(table: Table, *, width: int, terminal: bool) -> list[str]:
    stream = io.StringIO()
    Terminal(file=stream, width=width, force_terminal=terminal, color_system=None).listing(table)
    return stream.getvalue().splitlines()


def _table(*rows: tuple[str, ...]) -> Table:
    table = Table("artifact", "label", "metrics")
    for row in rows:
        table.add_row(*row)
    return table


@pytest.mark.parametrize("width", [20, 80, 200])
@pytest.mark.parametrize("terminal", [True, False])
def test_names_are_never_cut_or_broken(width: int, terminal: bool) -> None:
    table = _table(("classifier/0123456789ab", NAME, WORDS))
    lines = _printed(table, width=width, terminal=terminal)
    assert any("classifier/0123456789ab" in line and NAME in line for line in lines)
    assert not any("…" in line for line in lines)


def test_a_last_column_that_may_not_be_wrapped_keeps_its_row() -> None:
    table = _table(("a/1", "splits", WORDS))
    table.columns[-1].no_wrap = True
    lines = _printed(table, width=60, terminal=True)
    assert [line.split("  ")[-1].strip() for line in lines] == ["metrics", WORDS]


def test_a_pipe_gets_each_row_on_one_line() -> None:
    rows = [("a/1", NAME, WORDS), ("b/2", "splits", "n 5")]
    lines = _printed(_table(*rows), width=80, terminal=False)
    assert len(lines) == 3
    assert lines[1].endswith(WORDS)

    assert lines[1].index(WORDS) == lines[2].index("n 5")


def test_words_are_wrapped_between_words_beside_the_names() -> None:
    lines = _printed(_table(("a/1", "splits", WORDS)), width=60, terminal=True)
    assert max(map(len, lines)) <= 60
    beside = lines[1].index("accuracy")
    assert all(line[:beside].strip() == "" for line in lines[2:])
    assert " ".join(line.strip() for line in lines[1:]).split()[2:] == WORDS.split()


def test_words_without_room_beside_the_names_stand_below_them() -> None:
    lines = _printed(_table(("classifier/0123456789ab", NAME, WORDS)), width=80, terminal=True)
    assert lines[1].split() == ["classifier/0123456789ab", *NAME.split()]
    assert all(line.startswith("    ") and len(line) <= 80 for line in lines[2:])


def test_control_characters_in_names_are_escaped() -> None:
    (line,) = _printed(_table(("a/1", "x\x1b[31m\u202e", "")), width=80, terminal=False)[1:]
    assert "\x1b" not in line
    assert r"x\x1b" in line


def test_clocks_of_a_stage_say_what_they_count() -> None:
    now = [100.0]
    progress = Progress(Clock(), console=Terminal(file=io.StringIO()), get_time=lambda: now[0])
    number = progress.add_task("mk-2", total=None)
    now[0] = 175.0
    assert str(Clock().render(progress.tasks[0])) == "1 min 15 s so far"
    progress.update(number, total=4)
    for now[0] in (185.0, 195.0):
        progress.advance(number)
    assert str(Clock().render(progress.tasks[0])) == "1 min 35 s so far, about 20 s left"
