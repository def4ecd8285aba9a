import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from flowers17.data.matlab import numeric_arrays
from flowers17.data.splits import official_splits
from flowers17.errors import InvalidInput
from tests.support.processes import output_of


def tagged(kind: int, data: bytes) -> bytes:
    """Return an element of a MATLAB file."""
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(class_number: int, name: bytes, *content: bytes) -> bytes:
    """Return a matrix of a MATLAB class with what it holds; 1: cells, 6: doubles."""
    flags, dimensions = struct.pack("<II", class_number, 0), struct.pack("<ii", 1, 1)
    return tagged(
        14, tagged(6, flags) + tagged(5, dimensions) + tagged(1, name) + b"".join(content)
    )


def matlab_file(*elements: bytes) -> bytes:
    return (
        b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x0100, b"IM") + b"".join(elements)
    )


def nested_cells(depth: int) -> bytes:
    cell = matrix(6, b"", tagged(9, bytes(8)))
    for _ in range(depth):
        cell = matrix(1, b"", cell)
    return matrix(1, b"trn1", cell)


def compressed(data: bytes) -> bytes:
    packed = zlib.compress(data)
    return struct.pack("<II", 15, len(packed)) + packed


UNREADABLE = {
    "nested cells": (matlab_file(nested_cells(5000)), "trn1 is no array of real numbers"),
    "nested compressed cells": (matlab_file(compressed(nested_cells(5000))), "trn1 is no array"),
    "text": (matlab_file(matrix(4, b"trn1", tagged(4, b"a\0b\0"))), "trn1 is no array"),
    "element that is cut off": (matlab_file(tagged(14, b"x" * 64)[:-8]), "it is cut off"),
    "bomb": (matlab_file(compressed(bytes(2**26))), "more than 1,048,576 bytes once decompressed"),
    "many bombs": (matlab_file(*[compressed(bytes(2**19))] * 3), "once decompressed"),
    "another variable": (matlab_file(matrix(6, b"a", tagged(9, bytes(8)))), "it has no trn1"),
    "large file": (matlab_file(bytes(2**20)), "it has more than 1,048,576 bytes"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_hostile_file_is_refused(tmp_path: Path, case: str) -> None:
    content, message = UNREADABLE[case]
    path = tmp_path / "datasplits.mat"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=f"cannot be read .*{message}"):
        official_splits(path, ["jpg/image_0001.jpg"])


@pytest.mark.parametrize("case", ["nested cells", "nested compressed cells"])
def test_nested_cells_end_no_process(tmp_path: Path, case: str) -> None:
    path = tmp_path / "datasplits.mat"
    path.write_bytes(UNREADABLE[case][0])
    code = """if True:
        import sys
        from pathlib import Path
        from flowers17.data.splits import official_splits
        from flowers17.errors import InvalidInput
        try:
            official_splits(Path(sys.argv[1]), ["jpg/image_0001.jpg"])
        except InvalidInput:
            print("refused")
    """
    assert output_of(code, str(path)) == "refused\n"


@pytest.mark.parametrize("do_compression", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_numbers_are_those_that_scipy_reads(
    tmp_path: Path, dtype: str, do_compression: bool
) -> None:
    path = tmp_path / "numbers.mat"
    rng = np.random.default_rng(0)
    numbers = {"a": rng.integers(0, 200, 9).astype(dtype), "long_name": np.ones(1, dtype)}
    savemat(path, {"text": "x", **numbers, "cell": [{"b": "c"}]}, do_compression=do_compression)
    arrays = numeric_arrays(path.read_bytes(), ["a", "long_name"], max_bytes=10_000)
    peer = loadmat(path)
    assert set(arrays) == {"a", "long_name"}
    for name, values in arrays.items():
        assert values.tolist() == peer[name].ravel().tolist() == numbers[name].tolist()


def test_file_of_a_machine_with_another_byte_order_is_read() -> None:
    # MATLAB stores doubles in as few bytes as they need; four bytes and less lie in their tag.
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(">H2s", 0x0100, b"MI")
    flags = struct.pack(">IIII", 6, 8, 6, 0)
    dimensions, name = struct.pack(">IIii", 5, 8, 1, 2), struct.pack(">HH4s", 3, 1, b"abc")
    element = flags + dimensions + name + struct.pack(">HHHH", 4, 4, 7, 1360)
    content = header + struct.pack(">II", 14, len(element)) + element
    assert numeric_arrays(content, ["abc"], max_bytes=1000)["abc"].tolist() == [7, 1360]
