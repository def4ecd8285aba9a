"""Messages of errors: legible wherever they are shown, and never long."""

import pickle

import pytest

from flowers17.errors import (
    MAX_CHARACTERS,
    DownloadFailed,
    Flowers17Error,
    InvalidInput,
    InvalidSettings,
    legible,
    short_repr,
)


@pytest.mark.parametrize("kind", [Flowers17Error, InvalidInput, InvalidSettings, DownloadFailed])
@pytest.mark.parametrize("character", ["x", "\n", "\x1b", "\ud800", "🌻", "\\"])
@pytest.mark.parametrize("n", [1, MAX_CHARACTERS, MAX_CHARACTERS + 1, 1_000_000])
def test_keep_beginning_and_end_and_have_at_most_so_many_characters(
    kind: type[Flowers17Error], character: str, n: int
) -> None:
    text = f"flowers.tgz: expected names, got {character * n}; pack it anew"
    problem = kind(text)
    message = str(problem)
    assert len(message) <= MAX_CHARACTERS
    assert message.startswith("flowers.tgz: expected names, got ")
    assert message.endswith("; pack it anew")
    assert all(symbol.isprintable() or symbol in "\n\t" for symbol in message)
    assert str(pickle.loads(pickle.dumps(problem))) == message
    if n == 1 and character.isprintable():
        assert message == text


def test_count_what_is_left_out_in_characters_that_came() -> None:
    for text in ("x" * 5_000, "\x1b" * 5_000, "x\x1b" * 2_500):
        head, _, rest = legible(text).partition(" … (")
        n_left_out, _, tail = rest.partition(" characters left out) … ")
        n_kept = len((head + tail).replace("\\x1b", "\x1b"))
        assert n_kept + int(n_left_out) == len(text)


def test_show_any_value_in_few_words() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert short_repr("a") == "'a'"
    assert len(short_repr("x" * 100_000)) <= 200
    for value in (10**5_000, deep):
        assert "too large to be shown" in short_repr(value)
    while deep:  # Python would end taking it apart at once
        deep = deep.pop()  # type: ignore[assignment]
