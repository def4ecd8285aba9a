"""Archives made to fill memory, to take for ever, or to fill a log; and what each of them costs.

Run as a program with a folder and names of archives, it writes each and reads it, both in processes
of their own. Prints a JSON object: for each case the error, the seconds, and the peak memory in MB.
"""

import gzip
import json
import os
import struct
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path

from PIL import Image

from flowers17.data.images import image_set
from flowers17.data.source import source_from
from tests.support.image_files import encoded, member, numbered, official_archive, saved

MB = 2**20
ZEROS = bytes(MB)
END = bytes(2 * tarfile.BLOCKSIZE)


def header(name: str, **fields: object) -> bytes:
    """Return a header in the format of GNU, whose sizes may have 88 bits."""
    return member(name, **fields)[0].tobuf(tarfile.GNU_FORMAT)


def resealed(block: bytes, position: int, field: bytes) -> bytes:
    """Return a header with a field written over, and a checksum that fits."""
    block = block[:position] + field + block[position + len(field) :]
    total = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def gzipped(path: Path, parts: Iterable[bytes]) -> Path:
    """Write a gzip file with a member for each part; what comes again is compressed once."""
    compressed = cache(partial(gzip.compress, compresslevel=1, mtime=0))
    with path.open("wb") as stream:
        stream.writelines(map(compressed, parts))
    return path


def archive_of(parts: Callable[[], Iterable[bytes]]) -> Callable[[Path], Path]:
    """A function that writes an archive of blocks."""
    return lambda folder: gzipped(folder / "a.tgz", [*parts(), END])


def _block_of_size(field: bytes) -> Callable[[Path], Path]:
    block = resealed(header("jpg/image_0001.jpg"), 124, field)
    return archive_of(lambda: [block, ZEROS])


def _long(kind: bytes) -> Callable[[Path], Path]:
    long, name = header("././@LongLink", type=kind, size=60 * MB), b"x" * MB
    return archive_of(lambda: [long, *[name] * 60, header("jpg/image_0001.jpg")])


def _pax(kind: bytes, keyword: str) -> Callable[[Path], Path]:
    size = 60 * MB
    record = f"{size} {keyword}=".encode()
    parts = [record.ljust(MB, b"1"), *[b"1," * (MB // 2)] * 59]
    parts[-1] = parts[-1][:-1] + b"\n"
    long = header("pax", type=kind, size=size)
    return archive_of(lambda: [long, *parts, header("jpg/image_0001.jpg")])


def _sparse() -> Iterable[bytes]:
    yield resealed(header("jpg/image_0001.jpg", type=tarfile.GNUTYPE_SPARSE), 482, b"\1")
    extension = (b"%011o\0" % 512 + b"%011o\0" % 1) * 21 + b"\1" + bytes(7)
    yield from [extension * 2048] * 100


def _appended(folder: Path, name: str, n_megabytes: int, part: bytes = ZEROS) -> Path:
    path = official_archive(folder / name, numbered())
    with path.open("ab") as stream:
        stream.writelines([part] * n_megabytes)
    return path


def _zeros_inside(folder: Path) -> Path:
    archive = official_archive(folder / "whole.tar", numbered()).read_bytes()
    return gzipped(folder / "a.tgz", [archive, *[ZEROS] * 200])


def _long_gzip_name(folder: Path) -> Path:
    archive = gzip.compress(official_archive(folder / "whole.tar", numbered()).read_bytes(), 1)
    path = folder / "a.tgz"
    path.write_bytes(archive[:3] + b"\x08" + archive[4:10])
    with path.open("ab") as stream:
        stream.writelines([b"x" * MB] * 60)
        stream.write(b"\0" + archive[10:])
    return path


def _streams(folder: Path) -> Path:
    path = folder / "a.tgz"
    path.write_bytes(gzip.compress(b"") * 500_000)
    return path


def _large_images() -> Iterable[bytes]:
    for number in range(1, 151):
        yield header(f"jpg/image_{number:04d}.jpg", size=4 * MB)
        yield from [encoded().ljust(MB, b"\0"), ZEROS, ZEROS, ZEROS]


def _large_file(folder: Path) -> Path:
    path = folder / "a.tar"
    with path.open("wb") as stream:
        stream.truncate(2**33)
    return path


def _cut_images(side: int) -> Callable[[Path], Path]:
    """A function that writes an archive of transparent images whose last bytes are missing."""

    def write(folder: Path) -> Path:
        image = saved(Image.new("RGBA", (side, side)), "PNG", compress_level=9)[:-1000]
        return official_archive(folder / "a.tgz", dict.fromkeys(range(1, 1361), image))

    return write


def _whole_images(side: int) -> Callable[[Path], Path]:
    """Return what writes an archive of images of one colour."""

    def write(folder: Path) -> Path:
        image = saved(Image.new("1", (side, side)), "PNG", compress_level=9)
        return official_archive(folder / "a.tgz", dict.fromkeys(range(1, 1361), image))

    return write


def _many_zip_entries(folder: Path) -> Path:
    """Write a zip archive whose directory would be half a million objects; return it."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, *[0] * 14)[:46].ljust(46, b"\0")
    path, n_entries = folder / "a.zip", 700_000
    with path.open("wb") as stream:
        stream.writelines([entry * 7000] * (n_entries // 7000))
        size = stream.tell()
        stream.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, size, 0, 0))
    return path


def _zip_of(content: Callable[[int], bytes], n_files: int) -> Callable[[Path], Path]:
    """A function that writes a zip archive of class folders."""

    def write(folder: Path) -> Path:
        form = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1}
        with zipfile.ZipFile(folder / "a.zip", "w", **form) as archive:
            for index in range(n_files):
                archive.writestr(f"{'ab'[index % 2]}/{index}.png", content(index))
        return folder / "a.zip"

    return write


def _own_images(side: int) -> Callable[[Path], Path]:
    """A function that writes an archive of class folders with images of one colour."""
    image = saved(Image.new("1", (side, side)), "PNG", compress_level=9)
    parts = [
        part
        for index in range(1500)
        for part in (
            header(f"{'ab'[index % 2]}/{index}.png", size=len(image)),
            image.ljust(-(-len(image) // 512) * 512, b"\0"),
        )
    ]
    return archive_of(lambda: parts)


@cache
def _black_square() -> bytes:
    return saved(Image.new("1", (2800, 2800)), "PNG", compress_level=9)


# Passed over, whatever the length.
HARMLESS = ("zeros after the end", "zeros after an uncompressed archive")
# They reach the limit of pixels as another one does: cut or whole, in a tar or a zip archive, of
# Oxford or of class folders.
LONG = (
    "7 gigapixels in all images",
    "images of 5 million pixels",
    "zip of 12 gigapixels",
    "own images of 12 gigapixels",
)
CASES: dict[str, Callable[[Path], Path]] = {
    "GNU long name": _long(tarfile.GNUTYPE_LONGNAME),
    "GNU long link": _long(tarfile.GNUTYPE_LONGLINK),
    "pax name": _pax(tarfile.XHDTYPE, "path"),
    "global pax header": _pax(tarfile.XGLTYPE, "comment"),
    "pax sparse map": _pax(tarfile.XHDTYPE, "GNU.sparse.map"),
    "many pax headers": archive_of(lambda: [header("pax", type=tarfile.XHDTYPE) * 2048] * 200),
    "many folders": archive_of(lambda: [header("jpg", type=tarfile.DIRTYPE) * 2048] * 200),
    "endless sparse map": archive_of(_sparse),
    "negative size": _block_of_size(b"\xff" * 12),
    "size of 88 bits": _block_of_size(b"\x80" + b"\xff" * 11),
    "size that is no number": _block_of_size(b"\xc3\xa9 12345678 "),
    "large member": archive_of(
        lambda: [header("jpg/image_0001.jpg", size=600 * MB), *[ZEROS] * 600]
    ),
    "large images": archive_of(_large_images),
    "zeros after the end": _zeros_inside,
    "zeros after the compression": lambda folder: _appended(folder, "a.tgz", 200),
    "zeros after an uncompressed archive": lambda folder: _appended(folder, "a.tar", 200),
    "text after the compression": lambda folder: _appended(folder, "a.tgz", 60, b"x" * MB),
    "long name of the compressed file": _long_gzip_name,
    "many gzip streams": _streams,
    "large file": _large_file,
    "images of 49 million pixels": _cut_images(7000),
    "7 gigapixels in all images": _whole_images(2236),
    "images of 5 million pixels": _cut_images(2236),
    "zip directory of 700,000 files": _many_zip_entries,
    "zip of zeros": _zip_of(lambda index: ZEROS * 60, 10),
    "zip of 12 gigapixels": _zip_of(lambda index: _black_square(), 1500),
    "own images of 12 gigapixels": _own_images(2800),
}


def measured(action: Callable[[], object]) -> dict[str, object]:
    """The error of an action in a forked process, its seconds, and its peak memory in MB."""
    reader, writer = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        kind, message = "", ""
        try:
            action()
        except Exception as problem:
            kind, message = type(problem).__name__, str(problem)
        with os.fdopen(writer, "w") as stream:
            json.dump([kind, message[:1_000_000]], stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        kind, message = json.loads(stream.read() or '["killed", ""]')
    usage = os.wait4(child, 0)[2]
    seconds = time.monotonic() - began
    cpu_s, mb = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    return {"error": kind, "message": message, "s": seconds, "cpu_s": cpu_s, "mb": mb}


def main(folder: Path, names: Iterable[str]) -> None:
    """Write and read archives."""
    costs = {}
    for name in names:
        write = CASES[name]
        place = folder / name.replace(" ", "-")
        place.mkdir()
        assert measured(lambda write=write, place=place: write(place))["error"] == "", name  # type: ignore[misc]
        [path] = [path for path in place.iterdir() if path.name.startswith("a.")]
        costs[name] = measured(lambda path=path: image_set(source_from(str(path)), size=16))  # type: ignore[misc]
        path.unlink()
    print(json.dumps(costs))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
