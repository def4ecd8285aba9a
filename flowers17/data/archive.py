"""Archives in the official layout of Flowers-17, streamed and never extracted.

Only regular members `jpg/image_0001.jpg` … `jpg/image_1360.jpg` are read, each once; the folder
entry, `jpg/files.txt` and pax headers are passed over; anything else is refused. Headers are read
block by block, so that nothing in an archive is held but the image at hand: long names, sparse
maps and values of pax headers, which `tarfile` would take into memory whole, are not needed here.
"""

import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from flowers17.data import oxford17
from flowers17.data.decoding import n_pixels
from flowers17.data.encoded import EncodedImage, EncodedSet
from flowers17.digests import file_sha256
from flowers17.errors import ChecksumMismatch, InvalidInput

MAX_FILE_BYTES = 512 * 2**20
MAX_TOTAL_BYTES = 512 * 2**20  # once decompressed
MAX_MEMBER_BYTES = 4 * 2**20
MAX_MEMBER_PIXELS = 5_000_000  # official images have half a million
MAX_TOTAL_PIXELS = 10**9  # official images have 434 million together
MAX_PAX_BYTES = 64 * 2**10
MAX_HEADERS = 10_000
MAX_PADDING_BYTES = 2**20  # after the archive's end, and after that of its compression

_CHUNK = 2**16
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_IMAGE = re.compile(r"(?:\./)?(jpg/image_([0-9]{4})\.jpg)")
_IGNORED_FOLDERS = frozenset({".", "jpg", "./jpg"})
_IGNORED_FILES = frozenset({"jpg/files.txt", "./jpg/files.txt"})
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE)
_MEMBER_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.DIRTYPE: "a folder",
    tarfile.GNUTYPE_LONGNAME: "a name of more than 100 bytes",
    tarfile.GNUTYPE_LONGLINK: "a link of more than 100 bytes",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
# Errors of the standard library on damaged or hostile headers and compressed data.
_UNREADABLE = (tarfile.TarError, EOFError, zlib.error, ValueError)


def datasplits_file(archive: Path) -> Path | None:
    """Return the path of `datasplits.mat` beside an archive, or None if there is none."""
    path = archive.parent / oxford17.SPLITS_NAME
    return path if path.is_file() else None


def archive_digest(path: Path) -> str:
    """Return the SHA-256 of an archive's file; raises InvalidInput if it is too large."""
    try:
        _refuse_large(path)
        return file_sha256(path)
    except OSError as problem:
        raise InvalidInput(f"archive {path}: cannot be read ({problem.strerror})") from problem


def encoded_archive(path: Path, *, sha256: str | None = None) -> EncodedSet:
    """Return the images of an archive in the official layout, in the order of its members.

    sha256: expected digest of the file, checked while it is read.
    Iterating raises InvalidInput if a member is not as expected or an image is missing, and
    ChecksumMismatch if the file has another digest.
    """
    return EncodedSet(
        oxford17.CLASS_NAMES, oxford17.N_IMAGES, _images(path, sha256), MAX_MEMBER_PIXELS
    )


def _images(path: Path, sha256: str | None) -> Iterator[EncodedImage]:
    missing, n_pixels_left = set(range(1, oxford17.N_IMAGES + 1)), MAX_TOTAL_PIXELS
    try:
        _refuse_large(path)
        with path.open("rb") as file:
            hashed = _HashingReader(file)
            stream = _decompressed(io.BufferedReader(hashed, _CHUNK))
            for member in _headers(stream, path):
                number = _image_number(member, path)
                content = _content(stream, member)
                if number is None:
                    continue
                if number not in missing:
                    raise _member_error(path, member.name, "each image once", "a second one")
                missing.remove(number)
                n_pixels_left -= n_pixels(content)
                if n_pixels_left < 0:
                    raise _size_error(path, f"{MAX_TOTAL_PIXELS:,} pixels in all images")
                label = (number - 1) // oxford17.IMAGES_PER_CLASS
                yield EncodedImage(oxford17.image_name(number), label, content)
            _skip_padding(stream, "after its last member")
            digest = hashed.hexdigest()
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
    if sha256 and digest != sha256:
        raise ChecksumMismatch(
            f"archive {path}: expected sha256 {sha256[:12]}…, got {digest[:12]}…: the file changed "
            "while the study ran; run the same command again"
        )


def _headers(stream: IO[bytes], path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the members' headers; the content of each is to be read before the next."""
    n_bytes_left = MAX_TOTAL_BYTES
    for index in range(MAX_HEADERS):
        block = stream.read(tarfile.BLOCKSIZE)
        if (index and not block) or block == bytes(tarfile.BLOCKSIZE):
            return
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        n_bytes_left -= tarfile.BLOCKSIZE + _padded_size(member)
        if n_bytes_left < 0:
            raise _size_error(path, f"{MAX_TOTAL_BYTES:,} bytes once decompressed")
        yield member
    raise _size_error(path, f"{MAX_HEADERS:,} members")


def _image_number(member: tarfile.TarInfo, path: Path) -> int | None:
    """Number of an image, or None for a member that is passed over."""
    name = member.name
    if member.isdir() and name in _IGNORED_FOLDERS:
        return None
    if member.type not in _REGULAR + _PAX:
        kind = _MEMBER_KINDS.get(member.type, "a special member")
        raise _member_error(path, name, "only regular files below jpg/", kind)
    limit = MAX_PAX_BYTES if member.type in _PAX else MAX_MEMBER_BYTES
    if not 0 <= member.size <= limit:
        raise _member_error(path, name, f"at most {limit:,} bytes", f"{member.size:,} bytes")
    if member.type in _PAX or name in _IGNORED_FILES:
        return None
    match = _IMAGE.fullmatch(name)
    number = int(match[2]) if match else 0
    if not 1 <= number <= oxford17.N_IMAGES:
        raise _member_error(path, name, "jpg/image_0001.jpg … jpg/image_1360.jpg", "another name")
    return number


def _padded_size(member: tarfile.TarInfo) -> int:
    """Size of a member's content in the archive, in bytes: whole blocks, none for a folder."""
    if member.isdir():
        return 0
    return -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _content(stream: IO[bytes], member: tarfile.TarInfo) -> bytes:
    n_bytes = _padded_size(member)
    content = stream.read(n_bytes)
    if len(content) < n_bytes:
        raise EOFError("it ends within a member")
    return content[: member.size]


def _refuse_large(path: Path) -> None:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise _size_error(path, f"{MAX_FILE_BYTES:,} bytes")


def _size_error(path: Path, limit: str) -> InvalidInput:
    return InvalidInput(
        f"archive {path}: expected at most {limit}, got more; use the official Flowers-17 archive"
    )


def _member_error(path: Path, name: str, expected: str, actual: str) -> InvalidInput:
    return InvalidInput(
        f"archive {path}, member {name!r}: expected {expected}, got {actual}; "
        "use the official Flowers-17 archive, or a folder of class folders for your own images"
    )


def _skip_padding(stream: IO[bytes], position: str, ahead: bytes = b"") -> None:
    """Read to the end, so that the checksum of the compression is checked too."""
    n_bytes, chunk = 0, ahead or stream.read(_CHUNK)
    while chunk:
        n_bytes += len(chunk)
        if n_bytes > MAX_PADDING_BYTES or chunk.strip(b"\0"):
            raise ValueError(f"expected at most {MAX_PADDING_BYTES:,} bytes, all zero, {position}")
        chunk = stream.read(_CHUNK)


def _decompressed(file: io.BufferedReader) -> io.BufferedReader:
    is_packed = file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
    return io.BufferedReader(_GzipReader(file), _CHUNK) if is_packed else file


class _GzipReader(io.RawIOBase):
    """Reader of a gzip file, which decompresses no further than it is read.

    `gzip.GzipFile` reads names in the header, and zeros after the end, byte by byte.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._gzip = zlib.decompressobj(_GZIP_WINDOW)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = b""
        while not content and not self._gzip.eof:
            packed = self._gzip.unconsumed_tail or self._file.read(_CHUNK)
            content = self._gzip.decompress(packed, len(buffer))
            if not content and not packed:
                raise EOFError("its compression ends early")
        if not content:
            _skip_padding(self._file, "after its gzip stream", self._gzip.unused_data)
        buffer[: len(content)] = content
        return len(content)


class _HashingReader(io.RawIOBase):
    """Reader of a file that computes its SHA-256 on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n_bytes = cast(io.BufferedReader, self._file).readinto(buffer)
        self._digest.update(memoryview(buffer)[:n_bytes])
        return n_bytes

    def hexdigest(self) -> str:
        """SHA-256 of the bytes read so far; at the end, of the whole file."""
        return self._digest.hexdigest()
