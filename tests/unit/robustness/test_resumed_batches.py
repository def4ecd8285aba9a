"""Resumed batches: no finished batch is computed again, no damaged one is used."""

import logging
from pathlib import Path

import numpy as np
import pytest

from flowers17.robustness.batches import resumed_arrays


class Work:
    """Doubles numbers and records its batches; `stops_at`: the batch that is interrupted."""

    def __init__(self, stops_at: int | None = None) -> None:
        self.batches: list[tuple[int, int]] = []
        self.stops_at = stops_at

    def __call__(self, part: slice) -> dict[str, np.ndarray]:
        self.batches.append((part.start, part.stop))
        if part.start == self.stops_at:
            raise KeyboardInterrupt
        numbers = np.arange(part.start, part.stop)
        return {"twice": 2 * numbers, "pictures": np.full((len(numbers), 2, 2), 7, np.uint8)}


def test_arrays_are_joined_in_order(tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    work = Work()
    arrays = resumed_arrays(tmp_path / "new", 7, 3, work, lambda *counts: progress.append(counts))
    assert arrays["twice"].tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert arrays["pictures"].shape == (7, 2, 2)
    assert work.batches == [(0, 3), (3, 6), (6, 7)]
    assert progress == [(3, 7), (6, 7), (7, 7)]


def test_batches_finished_before_an_interruption_are_not_computed_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        resumed_arrays(tmp_path, 7, 3, Work(stops_at=3))
    second = Work()
    assert resumed_arrays(tmp_path, 7, 3, second)["twice"].tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert second.batches == [(3, 6), (6, 7)]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data + b"x"]
)
def test_a_damaged_batch_is_computed_again_with_a_warning(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    first = resumed_arrays(tmp_path, 4, 2, Work())
    path = sorted(tmp_path.glob("*.batch"))[1]
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    second = Work()
    with caplog.at_level(logging.WARNING):
        arrays = resumed_arrays(tmp_path, 4, 2, second)
    assert second.batches == [(2, 4)]
    assert "not as it was written" in caplog.text
    assert arrays["twice"].tobytes() == first["twice"].tobytes()


def test_half_a_write_is_no_batch(tmp_path: Path) -> None:
    (tmp_path / "000000-000002.partial").write_bytes(b"half")
    work = Work()
    resumed_arrays(tmp_path, 2, 2, work)
    assert work.batches == [(0, 2)]
