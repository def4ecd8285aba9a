"""Image files of random pixels, archives in the official layout, folders of class folders."""

import io
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from flowers17.data import decoding

ROOT = Path(__file__).parents[2]
REAL_ARCHIVE = ROOT.parent / "shared" / "data" / "17flowers.tgz"
REAL_REASON = "needs the real archive at ../shared/data/17flowers.tgz"


def encoded(
    size: tuple[int, int] = (12, 10), *, seed: int = 0, kind: str = "JPEG", mode: str = "RGB"
) -> bytes:
    """Return an image file of random pixels."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels).convert(mode), kind)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decode(data: bytes, name: str, *, max_pixels: int = decoding.MAX_PIXELS) -> Image.Image:
    """Return an image file's picture, upright 8-bit RGB, before `squares` makes it square."""
    return decoding._upright(decoding._opened(data, name, max_pixels), name, 16)[0]


def numbered(numbers: Iterable[int] = range(1, 1361)) -> dict[int, bytes]:
    """Return a tiny valid JPEG a number, each with bytes of its own."""
    tiny = encoded((8, 8))
    return {number: tiny + f"{number:04d}".encode() for number in numbers}


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """Return a tar member and its content; `fields` are set on it (type, linkname, …)."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def official_archive(
    path: Path,
    images: Mapping[int, bytes] | None = None,
    *,
    extra: Iterable[tuple[tarfile.TarInfo, bytes]] = (),
    prefix: str = "",
    name: Callable[[int], str] = "jpg/image_{:04d}.jpg".format,
) -> Path:
    """Write an archive in the official layout, `extra` members last; return its path."""
    plain = path.suffix == ".tar"
    with tarfile.open(path, "w") if plain else tarfile.open(path, "w:gz", compresslevel=1) as tar:
        tar.addfile(member(f"{prefix}jpg", type=tarfile.DIRTYPE)[0])
        content = numbered() if images is None else images
        members = [member(f"{prefix}jpg/files.txt", b"a list\n")]
        members += [member(prefix + name(number), data) for number, data in content.items()]
        for info, data in [*members, *extra]:
            tar.addfile(info, io.BytesIO(data) if data else None)
    return path


def class_folders(root: Path, counts: Mapping[str, int]) -> Path:
    """Write a folder of class folders with random PNG images; return it."""
    for label, (name, n_images) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for k in range(n_images):
            data = encoded((20 + label, 16), seed=100 * label + k, kind="PNG")
            (root / name / f"{k:02d}.png").write_bytes(data)
    return root


def listing(root: Path) -> list[tuple[str, int]]:
    """Return every path below a folder and when it was written, to show that none was."""
    return sorted((str(path), path.lstat().st_mtime_ns) for path in root.rglob("*"))
