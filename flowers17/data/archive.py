"""Archives of anybody's files: read one after the other, never extracted, in bounded memory."""

import gzip
import io
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn

from flowers17.data import oxford17
from flowers17.data.encoded import (
    MAX_IMAGE_BYTES,
    Content,
    FileState,
    Listing,
    content_digest,
    too_large,
)
from flowers17.data.names import not_image
from flowers17.data.tables import MAX_TABLE_BYTES, is_table
from flowers17.errors import InvalidInput, UnusableImage, short_repr

MIN_LIMIT_BYTES = 512 * 2**20  # of all files once decompressed; of large archives, MAX_RATIO times
MAX_RATIO = 20
MIN_LIMIT_MEMBERS = 10_000  # of large archives, one for each BYTES_A_MEMBER
BYTES_A_MEMBER = 64
MAX_HEADER_BYTES = 64 * 2**10  # of a long name or of a pax header
MAX_READS_AFTER_END = 10_000  # `gzip` reads some hundred times
MAX_SINGLE_READS = 2**20
MAX_DIRECTORY_BYTES = 16 * 2**20  # of a zip archive, some 150,000 files

_CHUNK = 2**16
_ENCRYPTED, _IS_UTF8 = 0x1, 0x800  # flags of zip members
# Errors of the standard library on damaged or hostile headers and compressed data.
_UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError),
    *(IndexError, NotImplementedError, RuntimeError, gzip.BadGzipFile),
)


def datasplits_file(archive: Path) -> Path | None:
    """Return the path of `datasplits.mat` beside an archive, or None if there is none."""
    path = archive.parent / oxford17.SPLITS_NAME
    return path if path.is_file() else None


@dataclass(frozen=True)
class Archive:
    """A zip archive, or a tar archive, compressed by gzip or not."""

    path: Path

    def states(self) -> tuple[tuple[FileState, ...], tuple[str, ...]]:
        """State of its file, by which a change is noticed; it has no empty folders."""
        status = self.path.stat()
        return (("", status.st_size, status.st_mtime_ns, status.st_ino),), ()

    def listing(self, _: Sequence[FileState]) -> Listing:
        """Names of all files; of a tar archive, which is read on the way, all of `Listing`.

        Raises InvalidInput if the archive is damaged, too large once decompressed, or holds a name
        twice or one that leads out.
        """
        digests: dict[str, str] = {}
        tables: dict[str, bytes] = {}
        n_bytes_left = MAX_TABLE_BYTES
        with _readable(self.path):
            if self._is_zip:
                return Listing(tuple(path for path, _ in self._files()))
            for path, read in self._files():
                content = read()
                digests[path] = "" if not_image(path) else content_digest(content)
                if is_table(path) and isinstance(content, bytes):
                    n_bytes_left -= len(content)
                    tables |= {path: content} if n_bytes_left >= 0 else {}
        return Listing(tuple(digests), digests, tables)

    def contents(self, paths: Collection[str]) -> Iterator[tuple[str, Content]]:
        """Yield the named files and what they hold, in the order of the archive."""
        with _readable(self.path):
            yield from ((path, read()) for path, read in self._files() if path in paths)

    @property
    def _is_zip(self) -> bool:
        return self.path.suffix.lower() == ".zip"

    def _files(self) -> Iterator[tuple[str, Callable[[], Content]]]:
        """Yield the path of each file, and a function that reads it before the next is yielded."""
        n_bytes = self.path.stat().st_size
        max_bytes = max(MIN_LIMIT_BYTES, MAX_RATIO * n_bytes)
        max_members = max(MIN_LIMIT_MEMBERS, n_bytes // BYTES_A_MEMBER)
        paths: set[str] = set()
        members = (_zip_members if self._is_zip else _tar_members)(self.path, max_bytes)
        for number, (name, is_folder, read) in enumerate(members, 1):
            if number > max_members:
                raise ValueError(f"more than {max_members:,} members")
            path = posixpath.normpath(name)
            leads_out = path.startswith(("/", "../")) or path == ".."
            if leads_out or path in paths:
                inside = "a path inside of it, got one that leads out of it"
                raise InvalidInput(
                    f"archive {self.path}, member {short_repr(name)}: expected "
                    f"{inside if leads_out else 'each name once, got it twice'}; pack the archive "
                    "again"
                )
            if not is_folder:
                paths.add(path)
                yield path, read


_Members = Iterator[tuple[str, bool, Callable[[], Content]]]  # name, whether a folder, reader


def _tar_members(path: Path, max_bytes: int) -> _Members:
    with path.open("rb") as file:
        is_packed = file.peek(2).startswith(b"\x1f\x8b")
        packed: Any = _Bounded(file, max_bytes)
        unpacked: Any = gzip.GzipFile(fileobj=packed) if is_packed else file
        stream: Any = _Bounded(unpacked, max_bytes)
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as opened:
            archive: Any = opened
            while member := archive.next():
                archive.members.clear()  # it would keep them all
                archive.pax_headers.clear()
                yield member.name, member.isdir(), partial(_tar_content, archive, member)
        while is_packed and stream.read(_CHUNK):  # so that its checksum is checked
            pass


def _tar_content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Content:
    if member.size > MAX_IMAGE_BYTES:
        return too_large(member.name)
    stream = archive.extractfile(member) if member.isreg() else None
    if not stream:
        kind = "a link" if member.issym() or member.islnk() else "a special file"
        return UnusableImage(member.name, f"expected a file, got {kind}; pack the file itself")
    content = stream.read()
    if len(content) < member.size:
        raise EOFError("it ends within a member")
    return content


def _zip_members(path: Path, max_bytes: int) -> _Members:
    with _BoundedFile(path) as file, zipfile.ZipFile(file) as archive:
        members = sorted(archive.infolist(), key=lambda member: member.header_offset)
        if sum(member.file_size for member in members) > max_bytes:
            raise ValueError(f"more than {max_bytes:,} bytes once decompressed")
        for member in members:
            yield _zip_name(member), member.is_dir(), partial(_zip_content, archive, member)


def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Content:
    problem = ""
    if stat.S_ISLNK(member.external_attr >> 16):
        problem = "expected a file, got a link; pack the file itself"
    elif member.flag_bits & _ENCRYPTED:
        problem = "expected an image, got an encrypted file; decrypt it"
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problem = "expected compression by deflate; pack the archive again"
    if problem:
        return UnusableImage(member.filename, problem)
    if member.file_size > MAX_IMAGE_BYTES:
        return too_large(member.filename)
    try:
        with archive.open(member) as stream:
            return stream.read(member.file_size)
    except _UNREADABLE as error:
        kind = "damaged in the archive; fetch the archive again"
        return UnusableImage(member.filename, kind, str(error))


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Name of a member: UTF-8 also where macOS does not say so, with slashes also from Windows."""
    name = member.filename
    if not member.flag_bits & _IS_UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return name.replace("\\", "/")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise InvalidInput in place of the errors of damaged, hostile or unreadable archives."""
    try:
        yield
    except InvalidInput:
        raise
    except _UNREADABLE as problem:
        raise InvalidInput(
            f"archive {path}: expected a whole .zip, .tar or .tar.gz file within its limits, got "
            f"one that cannot be read ({problem}); fetch it again, or unpack it if you trust it"
        ) from problem
    except OSError as problem:
        reason = problem.strerror or problem
        raise InvalidInput(f"archive {path}: cannot be read ({reason})") from problem


class _Header(tarfile.TarInfo):
    """Header of a tar archive that takes no more than a name into memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        is_file = self.type in tarfile.REGULAR_TYPES
        if self.size < 0 or (self.size > MAX_HEADER_BYTES and not is_file):
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]

    def _proc_sparse(self, *_: object) -> NoReturn:
        raise tarfile.ReadError("a sparse file")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _proc_sparse


class _Bounded:
    """Stream that ends with an error after so many bytes, or if it is read on after its end.

    Also after many reads of single bytes: `gzip` reads names and padding so, without an end.
    """

    def __init__(self, stream: IO[bytes], n_bytes: int) -> None:
        self._stream, self._n_left, self._n_all = stream, n_bytes, n_bytes
        self._n_empty = self._n_single = 0

    def read(self, size: int = -1) -> bytes:
        """Read at most so many bytes."""
        data = self._stream.read(size)
        self._n_left -= len(data)
        self._n_empty += not data
        self._n_single += size == 1
        if self._n_single > MAX_SINGLE_READS:
            raise ValueError("a long name or long padding of its compression")
        if self._n_empty > MAX_READS_AFTER_END:  # `tarfile` would read on for ever
            raise EOFError("it ends within a member")
        if self._n_left < 0:
            raise ValueError(f"more than {self._n_all:,} bytes once decompressed")
        return data


class _BoundedFile(io.FileIO):
    """File that is never read into memory whole: `zipfile` reads the directory at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        n_bytes = Path(self.name).stat().st_size - self.tell() if size in (None, -1) else size
        if n_bytes is None or n_bytes > MAX_DIRECTORY_BYTES:
            raise ValueError(f"a directory of more than {MAX_DIRECTORY_BYTES:,} bytes")
        return super().read(n_bytes) or b""
