"""Folders of class folders: images of your own, classes named for their folders.

Hidden files are ignored. Anything else that is not an image in a class folder is refused by name,
because a file passed over in silence would be an image missing in silence.
"""

import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flowers17.data.encoded import MAX_IMAGE_BYTES, EncodedImage, EncodedSet
from flowers17.errors import ChecksumMismatch, InvalidInput

MIN_PER_CLASS = 2

_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
)


@dataclass(frozen=True)
class _File:
    name: str
    label: int
    path: Path


def folder_digest(root: Path) -> str:
    """Return the SHA-256 over the names and contents of a folder's images, wherever it lies.

    Raises InvalidInput if the folder is not one of class folders with images.
    """
    _, files = _class_folders(root)
    digest = hashlib.sha256()
    for file in files:
        _update(digest, file.name, _content(file))
    return digest.hexdigest()


def encoded_folder(root: Path, *, digest: str | None = None) -> EncodedSet:
    """Return the images of a folder of class folders, by class and name, both sorted.

    digest: of the folder, as `folder_digest` gives it; checked while the images are read.
    Raises InvalidInput if the folder is not one of class folders with images; iterating raises
    ChecksumMismatch if the images have another digest.
    """
    class_names, files = _class_folders(root)
    return EncodedSet(class_names, len(files), _images(root, files, digest))


def _images(root: Path, files: list[_File], expected: str | None) -> Iterator[EncodedImage]:
    digest = hashlib.sha256()
    for file in files:
        data = _content(file)
        _update(digest, file.name, data)
        yield EncodedImage(file.name, file.label, data)
    if expected and digest.hexdigest() != expected:
        raise ChecksumMismatch(
            f"folder {root}: its images changed while the study ran; run the same command again"
        )


def _update(digest: "hashlib._Hash", name: str, data: bytes) -> None:
    digest.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())


def _class_folders(root: Path) -> tuple[tuple[str, ...], list[_File]]:
    """Return the class names and the image files, sorted, after checking all but contents."""
    entries = _visible_entries(root, root)
    loose = [path for path in entries if not path.is_dir()]
    if loose:
        raise InvalidInput(
            f"folder {root}: expected only class folders, got the file {loose[0].name!r} among "
            "them; put images into a folder per class and move other files away"
        )
    if len(entries) < 2:
        actual = f"one, {entries[0].name!r}" if entries else "none"
        raise InvalidInput(
            f"folder {root}: expected at least 2 class folders, got {actual}; put the images of "
            "each class into a folder of its own, named for the class"
        )
    files = []
    for label, folder in enumerate(entries):
        paths = _visible_entries(folder, root)
        for path in paths:
            if path.is_dir():
                raise InvalidInput(
                    f"{path}: expected an image, got a folder inside the class folder "
                    f"{folder.name!r}; keep all images of a class directly in its folder"
                )
            files.append(_File(f"{folder.name}/{path.name}", label, path))
        if len(paths) < MIN_PER_CLASS:
            n_images = "one image" if paths else "no image"
            raise InvalidInput(
                f"class folder {folder}: expected at least {MIN_PER_CLASS} images (one to train "
                f"on, one to validate), got {n_images}; add images or remove the folder"
            )
    return tuple(folder.name for folder in entries), files


def _visible_entries(folder: Path, root: Path) -> list[Path]:
    """Paths of a folder's entries without hidden ones, sorted; none leads out of the root."""
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as problem:
        raise InvalidInput(f"folder {folder}: cannot be read ({problem.strerror})") from problem
    inside = root.resolve()
    for name in names:
        path = folder / name
        if not name.isprintable():
            raise InvalidInput(f"{folder}: expected printable UTF-8 names, got {name!r}; rename it")
        if path.is_symlink() and not _is_inside(path, inside):
            raise InvalidInput(
                f"{path}: expected a file of this folder, got a symbolic link that leaves "
                f"{root}; copy the file here or remove the link"
            )
    return [folder / name for name in names]


def _is_inside(link: Path, folder: Path) -> bool:
    try:
        return link.resolve().is_relative_to(folder)
    except (OSError, RuntimeError):  # a loop of links raises either
        return False


def _content(file: _File) -> bytes:
    """Return a file's bytes; raises InvalidInput if it is not an image file of bounded size."""
    try:
        if not stat.S_ISREG(file.path.stat().st_mode):
            raise InvalidInput(f"{file.path}: expected an image, got a special file; remove it")
        with file.path.open("rb") as stream:
            data = stream.read(MAX_IMAGE_BYTES + 1)
    except OSError as problem:
        raise InvalidInput(f"{file.path}: cannot be read ({problem.strerror})") from problem
    if len(data) > MAX_IMAGE_BYTES:
        raise InvalidInput(f"{file.path}: expected at most {MAX_IMAGE_BYTES:,} bytes, got more")
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if not (data.startswith(_SIGNATURES) or is_webp):
        actual = "an empty file" if not data else "a file of another kind"
        raise InvalidInput(
            f"{file.path}: expected an image (JPEG, PNG, WebP, BMP, TIFF or GIF), got {actual}; "
            "move it out of the class folder"
        )
    return data
