"""Source of images: the meaning of `--dataset`, and the encoded images behind it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flowers17.data import oxford17
from flowers17.data.archive import archive_digest, encoded_archive
from flowers17.data.encoded import EncodedSet
from flowers17.data.folder import encoded_folder, folder_digest
from flowers17.errors import InvalidInput

SourceKind = Literal["rendered", "oxford17", "archive", "folder"]

_FORMS = (
    "`rendered` (flowers drawn from code), `oxford17` (the official archive, downloaded), the path "
    "of an archive in its layout (.tgz, .tar.gz, .tar), or the path of a folder of class folders"
)
_ARCHIVE_SUFFIXES = (".tgz", ".tar.gz", ".tar")


@dataclass(frozen=True)
class Source:
    """Origin of images.

    digest: SHA-256 of the content, which goes into keys: of an archive's file, of a folder's names
    and images, of the list of known images for `oxford17` (whatever the archive that holds them);
    None for `rendered`, which its settings and seed determine.
    path: where the content lies; None for `rendered`, and for `oxford17` until it is downloaded.
    """

    kind: SourceKind
    digest: str | None = None
    path: Path | None = None


def source_from(spec: str) -> Source:
    """Return the source that `--dataset` names; reads an archive or folder once.

    Raises InvalidInput if it is none of the four forms, or a folder that does not hold class
    folders with images.
    """
    if spec == "rendered":
        return Source("rendered")
    if spec == "oxford17":
        return Source("oxford17", digest=oxford17.IMAGE_LIST_SHA256)
    path = Path(spec).expanduser().absolute()
    if path.is_dir():
        return Source("folder", digest=folder_digest(path), path=path)
    if path.is_file() and path.name.lower().endswith(_ARCHIVE_SUFFIXES):
        return Source("archive", digest=archive_digest(path), path=path)
    actual = "a file of another kind" if path.exists() else "no such file or folder"
    raise InvalidInput(f"dataset {spec!r}: expected {_FORMS}; got {actual}")


def encoded_images(source: Source) -> EncodedSet:
    """Return a source's encoded images; the content's digest is checked while they are read.

    Raises InvalidInput for `rendered`, which has no files, and for `oxford17` without a path.
    """
    if source.kind == "rendered":
        raise InvalidInput("source rendered: expected a source of files; use `rendered.flowers`")
    if source.path is None:
        raise InvalidInput(
            f"source {source.kind}: expected the path of its content, got none; "
            "download the archive first"
        )
    if source.kind == "folder":
        return encoded_folder(source.path, digest=source.digest)
    return encoded_archive(source.path, sha256=source.digest if source.kind == "archive" else None)
