"""Arrays of numbers in a MATLAB 5 file, and nothing else that such a file can hold.

Cells and structures nest without end in such a file, and compression has no limit. SciPy follows
both in compiled code, until the stack or the memory is full. Here only arrays at the file's top
are read, of compressed ones as much as is allowed.
Source: MAT-File Format, The MathWorks, version 5.
"""

import zlib
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Literal

import numpy as np

_HEADER_BYTES = 128
_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"IM": "little", b"MI": "big"}
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_NUMBERS |= {12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX = 0x0800

Element = tuple[int, bytes]  # its type and what it holds


def numeric_arrays(
    content: bytes, names: Collection[str], *, max_bytes: int
) -> dict[str, np.ndarray]:
    """Return those of the named arrays that a file holds, flat.

    max_bytes: of all that the file holds, once decompressed.
    Raises ValueError if the content is no MATLAB 5 file, is cut off, holds more, or something else
    than real numbers under one of the names.
    """
    byte_order = _BYTE_ORDERS.get(content[_HEADER_BYTES - 2 : _HEADER_BYTES])
    if byte_order is None:
        raise ValueError("its header is not that of a MATLAB 5 file")
    arrays = {}
    n_bytes_left = max_bytes
    for kind, data in _elements(content[_HEADER_BYTES:], byte_order):
        if kind == _COMPRESSED:
            data = zlib.decompressobj().decompress(data, n_bytes_left + 1)
            n_bytes_left -= len(data)
            if n_bytes_left < 0:
                raise ValueError(f"it holds more than {max_bytes:,} bytes once decompressed")
            kind, data = next(_elements(data, byte_order), (0, b""))
        if kind == _MATRIX:
            # flags, dimensions, name, real part
            elements = list(islice(_elements(data, byte_order), 4))
            name = elements[2][1].decode("latin-1") if len(elements) > 2 else ""
            if name not in names:
                continue
            flags = int.from_bytes(elements[0][1][:4], byte_order)
            type_number, numbers = elements[3] if len(elements) > 3 else (0, b"")
            is_real = flags & 0xFF in _NUMERIC_CLASSES and not flags & _COMPLEX
            if not is_real or type_number not in _NUMBERS:
                raise ValueError(f"{name} is no array of real numbers")
            dtype = np.dtype(_NUMBERS[type_number]).newbyteorder(byte_order)
            arrays[name] = np.frombuffer(numbers, dtype)
    return arrays


def _elements(content: bytes, byte_order: Literal["little", "big"]) -> Iterator[Element]:
    position = 0
    while position < len(content):
        kind = int.from_bytes(content[position : position + 4], byte_order)
        n_bytes = kind >> 16  # a small element tells its size here, and is 8 bytes with its tag
        if n_bytes:
            kind, start, end = kind & 0xFFFF, position + 4, position + 8
        else:
            n_bytes = int.from_bytes(content[position + 4 : position + 8], byte_order)
            start = position + 8
            end = start + n_bytes + (0 if kind == _COMPRESSED else -n_bytes % 8)
        if start + n_bytes > min(end, len(content)):
            raise ValueError("it is cut off")
        yield kind, content[start : start + n_bytes]
        position = end
