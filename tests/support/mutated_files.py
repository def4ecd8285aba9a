"""Archives, images and MATLAB files, changed at random and read as a study reads them.

Run as a program with a folder, a seed and how many files of each kind to try: a crash ends it.
Prints a JSON object: for each kind how many files were read and refused, the errors that are not
ours, how long the longest message is, and the peak memory in MB.
"""

import gzip
import io
import json
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from flowers17.data import oxford17
from flowers17.data.decoding import FORMATS, square
from flowers17.data.source import encoded_images, source_from
from flowers17.data.splits import official_splits
from flowers17.errors import InvalidInput
from tests.support.hostile_archives import resealed
from tests.support.image_files import decode, encoded, member, numbered, official_archive, saved

EXTREMES = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\0\0\0",
)
BLOCK = 512
NAMES = [oxford17.image_name(number) for number in range(1, 1361)]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with up to three changes, most of them near its beginning."""
    for _ in range(rng.integers(1, 4)):
        reach = len(data) if rng.random() < 0.3 else min(len(data), 600)
        position, n_bytes = int(rng.integers(reach)), int(rng.integers(1, 65))
        before, after = data[:position], data[position:]
        match rng.integers(6):
            case 0:  # one bit
                data = before + bytes([after[0] ^ 1 << rng.integers(8)]) + after[1:]
            case 1:  # cut off
                data = before + after[: int(rng.integers(len(after)))]
            case 2:  # a piece again
                data = before + after[:n_bytes] + after
            case 3:  # a piece less
                data = before + after[n_bytes:]
            case 4:  # a number at its limit
                data = before + EXTREMES[rng.integers(len(EXTREMES))] + after[4:]
            case _:  # noise
                data = before + rng.bytes(n_bytes) + after[n_bytes:]
        if not data:
            return b"\0"
    return data


def images(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    """Reader of a mutated image of any format and kind of pixels."""
    kind = FORMATS[rng.integers(len(FORMATS))]
    mode = ("RGB", "L", "P", "1", "RGBA", "CMYK")[rng.integers(6)]
    suits = {"JPEG": "RGB L CMYK", "BMP": "RGB L P 1", "WEBP": "RGB RGBA", "PNG": "RGB L P 1 RGBA"}
    if mode not in suits.get(kind, "RGB L P 1 RGBA").split():
        mode = "RGB"
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(1, 9))
    options: dict[str, Any] = {} if kind in ("BMP", "GIF") else {"exif": exif}
    if kind == "GIF" and rng.random() < 0.5:
        options = {"save_all": True, "append_images": [Image.new("RGB", (9, 40))]}
    if kind == "TIFF":
        options["compression"] = (None, "tiff_lzw", "tiff_adobe_deflate")[rng.integers(3)]
    picture = Image.open(io.BytesIO(encoded((40, 30), kind="PNG"))).convert(mode)
    data = mutated(saved(picture, kind, **options), rng)
    return lambda: square(decode(data, "rose/1.jpg"), 32)


def archives(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    """Reader of a mutated archive: its headers with right checksums, or its compression."""
    path, data = folder / "a.tgz", _archive(folder)
    match rng.integers(3):
        case 0:  # the compressed bytes
            path.write_bytes(mutated(gzip.compress(data, 1), rng))
        case 1:  # one member's header, sealed again
            start = int(rng.integers(4)) * BLOCK
            field = (0, 100, 124, 136, 156, 157, 257, 345, 482)[rng.integers(9)]
            value = (b"S", b"L", b"K", b"x", b"g", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"9" * 12)
            block = resealed(data[start : start + BLOCK], field, value[rng.integers(len(value))])
            path.write_bytes(data[:start] + block + data[start + BLOCK :])
        case _:
            path.write_bytes(mutated(data, rng))
    return lambda: list(encoded_images(source_from(str(path))))


def own_archives(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    """Reader of a mutated archive of class folders: tar with long names, gzip, or zip."""
    suffix = (".zip", ".tar", ".tgz")[rng.integers(3)]
    path, base = folder / f"own{suffix}", folder / f"whole{suffix}"
    if not base.exists():
        names = [f"{label * 70}/{index}.png" for label in ("a", "bé") for index in range(2)]
        picture = encoded((6, 6), kind="PNG")
        if suffix == ".zip":
            with zipfile.ZipFile(base, "w", zipfile.ZIP_DEFLATED) as archive:
                for name in names:
                    archive.writestr(name, picture)
        else:
            form = tarfile.PAX_FORMAT if suffix == ".tgz" else tarfile.GNU_FORMAT
            with tarfile.open(base, "w:gz" if suffix == ".tgz" else "w", format=form) as tar:
                for name in names:
                    tar.addfile(member(name, picture)[0], io.BytesIO(picture))
    path.write_bytes(mutated(base.read_bytes(), rng))
    return lambda: list(encoded_images(source_from(str(path))))


def matlab_files(rng: np.random.Generator, folder: Path) -> Callable[[], object]:
    """Reader of a mutated file of splits, compressed or not, beside other variables."""
    path = folder / "datasplits.mat"
    order = rng.permutation(np.arange(1.0, 1361.0))
    parts = np.split(order, [680, 1020])
    variables: dict[str, Any] = {
        f"{part}{k}": parts[n] for k in (1, 2, 3) for n, part in enumerate(("trn", "val", "tst"))
    }
    if rng.random() < 0.5:
        variables = {"a": {"b": [1, "c"]}, "d": "text", **variables}
    stream = io.BytesIO()
    savemat(stream, variables, do_compression=rng.random() < 0.5)
    path.write_bytes(mutated(stream.getvalue(), rng))
    return lambda: official_splits(path, NAMES)


def _archive(folder: Path) -> bytes:
    path = folder / "base.tar"
    return (path if path.exists() else official_archive(path, numbered())).read_bytes()


def outcomes(
    reader_of: Callable[[np.random.Generator, Path], Callable[[], object]],
    rng: np.random.Generator,
    n_files: int,
    folder: Path,
) -> dict[str, Any]:
    """Numbers of mutated files that were read and refused, and the errors that are not ours."""
    n_read, n_refused, longest, foreign_errors = 0, 0, 0, []
    for index in range(n_files):
        read_file = reader_of(rng, folder)
        try:
            read_file()
            n_read += 1
        except InvalidInput as problem:
            n_refused += 1
            longest = max(longest, len(str(problem)))
            if not str(problem).isprintable():
                foreign_errors.append(
                    f"{reader_of.__name__} {index}: unprintable {problem!r}"[:300]
                )
        except Exception as problem:
            foreign_errors.append(f"{reader_of.__name__} {index}: {problem!r}"[:300])
    peak_mb = peak_memory_mb()
    return {
        "read": n_read,
        "refused": n_refused,
        "others": foreign_errors,
        "longest": longest,
        "mb": round(peak_mb),
    }


def peak_memory_mb() -> float:
    """Peak memory of this process in MB: of it alone, while `ru_maxrss` survives `exec`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main(folder: Path, seed: int, n_files: int) -> None:
    """Try files of each kind."""
    warnings.simplefilter("ignore")  # Pillow warns of what it then reads
    rng = np.random.default_rng(seed)
    kinds = (matlab_files, archives, own_archives, images)
    print(
        json.dumps(
            {reader_of.__name__: outcomes(reader_of, rng, n_files, folder) for reader_of in kinds}
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
