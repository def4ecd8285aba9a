"""Long work in batches: nothing finished is done again, nothing damaged is believed."""

import logging
from pathlib import Path

import numpy as np
import pytest

from flowers17.robustness.batches import resumed


class Work:
    """Doubles numbers, and notes which; stops in the middle if told to."""

    def __init__(self, stops_at: int | None = None) -> None:
        self.asked: list[tuple[int, int]] = []
        self.stops_at = stops_at

    def __call__(self, part: slice) -> dict[str, np.ndarray]:
        self.asked.append((part.start, part.stop))
        if part.start == self.stops_at:
            raise KeyboardInterrupt
        numbers = np.arange(part.start, part.stop)
        return {"twice": 2 * numbers, "pictures": np.full((len(numbers), 2, 2), 7, np.uint8)}


def test_arrays_are_joined_in_order(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    work = Work()
    found = resumed(tmp_path / "new", 7, 3, work, lambda done, total: told.append((done, total)))
    assert found["twice"].tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert found["pictures"].shape == (7, 2, 2)
    assert work.asked == [(0, 3), (3, 6), (6, 7)]
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_what_was_done_before_an_interruption_is_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        resumed(tmp_path, 7, 3, Work(stops_at=3))
    again = Work()
    assert resumed(tmp_path, 7, 3, again)["twice"].tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert again.asked == [(3, 6), (6, 7)]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data + b"x"]
)
def test_a_damaged_batch_is_computed_again_with_a_warning(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    whole = resumed(tmp_path, 4, 2, Work())
    path = sorted(tmp_path.glob("*.batch"))[1]
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    again = Work()
    with caplog.at_level(logging.WARNING):
        found = resumed(tmp_path, 4, 2, again)
    assert again.asked == [(2, 4)]
    assert "not as it was written" in caplog.text
    assert found["twice"].tobytes() == whole["twice"].tobytes()


def test_half_a_write_is_no_batch(tmp_path: Path) -> None:
    (tmp_path / "000000-000002.partial").write_bytes(b"half")
    work = Work()
    resumed(tmp_path, 2, 2, work)
    assert work.asked == [(0, 2)]
