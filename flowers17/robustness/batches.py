"""Long computations batch by batch: each result is stored, and a killed run repeats at most one."""

import hashlib
import io
import logging
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from flowers17.files import read_regular, replacing

Arrays = Mapping[str, np.ndarray]
DIGEST_BYTES = 32
logger = logging.getLogger(__name__)


def resumed_arrays(
    folder: Path,
    n_items: int,
    batch_size: int,
    compute: Callable[[slice], Arrays],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Arrays of n items, the first axis, computed batch by batch and resumed from stored batches.

    folder: of the stored batches of this computation alone; it remains. compute: returns the arrays
    of a slice of the items. progress: called with (items done, items in all) after each batch.
    A batch that is not as it was written is computed again, with a warning.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[Arrays] = []
    for start in range(0, n_items, batch_size):
        stop = min(start + batch_size, n_items)
        path = folder / f"{start:06d}-{stop:06d}.batch"
        part = _read(path)
        if part is None:
            part = compute(slice(start, stop))
            _write(path, part)
        parts.append(part)
        if progress:
            progress(stop, n_items)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _read(path: Path) -> Arrays | None:
    try:
        data = read_regular(path)
        digest, content = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("its bytes are not those written")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return dict(stored)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, zipfile.BadZipFile) as problem:
        logger.warning("%s: not as it was written (%s); its batch is computed again", path, problem)
        return None


def _write(path: Path, arrays: Arrays) -> None:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    content = stream.getvalue()
    with replacing(path) as file:
        file.write(hashlib.sha256(content).digest() + content)
