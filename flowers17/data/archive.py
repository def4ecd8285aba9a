"""Archives in the official layout of Flowers-17, streamed and never extracted.

Only regular members `jpg/image_0001.jpg` … `jpg/image_1360.jpg` are read, each once; the folder
entry and `jpg/files.txt` are passed over; anything else is refused. Sizes are bounded, compressed
or not, so that an archive cannot fill memory.
"""

import gzip
import hashlib
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from flowers17.data import oxford17
from flowers17.data.encoded import EncodedImage, EncodedSet
from flowers17.errors import ChecksumMismatch, InvalidInput

MAX_MEMBER_BYTES = 16 * 2**20
MAX_TOTAL_BYTES = 512 * 2**20

_CHUNK = 2**16
_GZIP_MAGIC = b"\x1f\x8b"
_IMAGE = re.compile(r"(?:\./)?(jpg/image_([0-9]{4})\.jpg)")
_IGNORED_FOLDERS = frozenset({".", "jpg", "./jpg"})
_IGNORED_FILES = frozenset({"jpg/files.txt", "./jpg/files.txt"})
# What the standard library raises on damaged or hostile headers and compressed data.
_UNREADABLE = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    ValueError,
    ArithmeticError,
    LookupError,
)
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.DIRTYPE: "a folder",
}


def datasplits_file(archive: Path) -> Path | None:
    """Return the path of `datasplits.mat` beside an archive, or None if there is none."""
    path = archive.parent / oxford17.SPLITS_NAME
    return path if path.is_file() else None


def encoded_archive(path: Path, *, sha256: str | None = None) -> EncodedSet:
    """Return the images of an archive in the official layout, in the order of its members.

    sha256: what the file must hold; checked while it is read.
    Iterating raises InvalidInput if a member is not as expected or an image is missing, and
    ChecksumMismatch if the file is not the one that `sha256` tells.
    """
    return EncodedSet(oxford17.CLASS_NAMES, oxford17.N_IMAGES, _images(path, sha256))


def _images(path: Path, sha256: str | None) -> Iterator[EncodedImage]:
    missing = set(range(1, oxford17.N_IMAGES + 1))
    try:
        with path.open("rb") as file:
            raw = _HashedStream(file)
            stream = _BoundedStream(_decompressed(raw, path), path)
            with tarfile.open(fileobj=cast(Any, stream), mode="r|", encoding="utf-8") as tar:
                for member in tar:
                    number = _image_number(member, path)
                    if number is None:
                        continue
                    if number not in missing:
                        raise _refused(path, member.name, "each image once", "a second one")
                    missing.remove(number)
                    content = cast(IO[bytes], tar.extractfile(member)).read()
                    label = (number - 1) // oxford17.IMAGES_PER_CLASS
                    yield EncodedImage(oxford17.image_name(number), label, content)
            stream.drain()
            got = raw.hexdigest()
    except InvalidInput:
        raise
    except _UNREADABLE as problem:
        raise InvalidInput(
            f"archive {path}: expected a whole .tar or .tar.gz file, got one that cannot be read "
            f"({problem}); fetch it again"
        ) from problem
    except OSError as problem:
        raise InvalidInput(f"archive {path}: cannot be read ({problem.strerror})") from problem
    if missing:
        named = ", ".join(oxford17.image_name(number) for number in sorted(missing)[:3])
        raise InvalidInput(
            f"archive {path}: expected {oxford17.N_IMAGES} images, {len(missing)} are missing, "
            f"{named} first; fetch the archive again"
        )
    if sha256 and got != sha256:
        raise ChecksumMismatch(
            f"archive {path}: expected sha256 {sha256[:12]}…, got {got[:12]}…: the file changed "
            "while the study ran; run the same command again"
        )


def _image_number(member: tarfile.TarInfo, path: Path) -> int | None:
    """Return the number of an image, or None for a member to pass over."""
    name = member.name
    if member.isdir() and name in _IGNORED_FOLDERS:
        return None
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        kind = _KINDS.get(member.type, "a special member")
        raise _refused(path, name, "only regular files below jpg/", kind)
    if member.size > MAX_MEMBER_BYTES:
        raise _refused(path, name, f"at most {MAX_MEMBER_BYTES:,} bytes", f"{member.size:,} bytes")
    if name in _IGNORED_FILES:
        return None
    match = _IMAGE.fullmatch(name)
    number = int(match[2]) if match else 0
    if not 1 <= number <= oxford17.N_IMAGES:
        raise _refused(path, name, "jpg/image_0001.jpg … jpg/image_1360.jpg", "another name")
    return number


def _refused(path: Path, name: str, expected: str, got: str) -> InvalidInput:
    return InvalidInput(
        f"archive {path}, member {name!r}: expected {expected}, got {got}; "
        "use the official Flowers-17 archive, or a folder of class folders for your own images"
    )


def _decompressed(raw: "_HashedStream", path: Path) -> IO[bytes]:
    magic = raw.peek(len(_GZIP_MAGIC))
    if magic == _GZIP_MAGIC:
        return cast(IO[bytes], gzip.GzipFile(fileobj=cast(Any, raw), mode="rb"))
    return cast(IO[bytes], raw)


class _HashedStream:
    """A file whose SHA-256 is taken as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._ahead = b""

    def peek(self, n_bytes: int) -> bytes:
        self._ahead = self.read(n_bytes)
        return self._ahead

    def read(self, n_bytes: int = -1) -> bytes:
        if self._ahead:
            taken = len(self._ahead) if n_bytes < 0 else n_bytes
            data, self._ahead = self._ahead[:taken], self._ahead[taken:]
            return data
        data = self._file.read(n_bytes)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        """Return the digest of the whole file, reading what is left of it."""
        while self.read(_CHUNK):
            pass
        return self._digest.hexdigest()


class _BoundedStream:
    """A stream that refuses to give more than MAX_TOTAL_BYTES."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream = stream
        self._path = path
        self._left = MAX_TOTAL_BYTES

    def read(self, n_bytes: int) -> bytes:
        data = self._stream.read(n_bytes)
        self._left -= len(data)
        if self._left < 0:
            raise InvalidInput(
                f"archive {self._path}: expected at most {MAX_TOTAL_BYTES:,} bytes once "
                "decompressed, got more; use the official Flowers-17 archive"
            )
        return data

    def drain(self) -> None:
        """Read to the end, so that the checksum of the compression is checked too."""
        while self.read(_CHUNK):
            pass
