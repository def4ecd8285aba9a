"""Source of images: the meaning of `--dataset`, and the encoded images behind it."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from flowers17.config.data import ColumnSettings, DatasetSettings
from flowers17.data import oxford17
from flowers17.data.archive import Archive
from flowers17.data.encoded import FileState, Folder, ImageFile, content_digest
from flowers17.data.layout import Layout, layout_of
from flowers17.data.names import TABLE_SUFFIXES
from flowers17.data.tables import is_table
from flowers17.errors import ChecksumMismatch, InvalidInput

SourceKind = Literal["rendered", "oxford17", "archive", "own"]

_FORMS = (
    "`rendered` (flowers drawn from code), `oxford17` (the official archive, downloaded), the path "
    "of a folder of class folders, of a table of paths and labels (.csv, .tsv, .parquet), or of an "
    "archive of either (.zip, .tgz, .tar.gz, .tar)"
)
_FILE_SUFFIXES = (".zip", ".tgz", ".tar.gz", ".tar", *TABLE_SUFFIXES)
_SETTLED_NS = 2 * 10**9  # two changes within one tick of a file system's clock look like one
_PIXELS_A_BYTE = 200  # of an archive: one of single-coloured images would take for ever
_MIN_TOTAL_PIXELS = 10**9


@dataclass(frozen=True)
class Source:
    """Origin of images.

    kind: `archive` is one in the official layout; `own`: images of one's own, in whatever form.
    digest: SHA-256 of the content, which goes into keys: of names, classes, parts, groups and bytes
    of images, of the list of known images for `oxford17` (whatever the archive that holds them);
    None for `rendered`, which its settings and seed determine.
    path: where the content lies; None for `rendered`, and for `oxford17` until it is downloaded.
    columns, follows_links: how it is read. summary, notes: what is understood of it, for people.
    """

    kind: SourceKind
    digest: str | None = None
    path: Path | None = None
    columns: ColumnSettings = field(default_factory=ColumnSettings)
    follows_links: bool = False
    summary: str = field(default="", compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def place(self) -> Path:
        """Path of its content; raises InvalidInput if there is none yet."""
        if self.path is None:
            raise InvalidInput(
                f"source {self.kind}: expected the path of its content, got none; "
                "download the archive first"
            )
        return self.path


def source_from(
    spec: str, columns: ColumnSettings = ColumnSettings(), *, follows_links: bool = False
) -> Source:
    """Return the source that `--dataset` names; reads its content once, until it changes.

    columns: of a table. follows_links: whether links may lead out of a folder.
    Raises InvalidInput if it is none of the forms, or does not hold classes of images.
    """
    if spec == "rendered":
        return Source("rendered")
    if spec == "oxford17":
        return Source("oxford17", digest=oxford17.IMAGE_LIST_SHA256)
    path = Path(spec).expanduser().absolute()
    if not (path.is_dir() or (path.is_file() and path.name.lower().endswith(_FILE_SUFFIXES))):
        actual = "a file of another kind" if path.exists() else "no such file or folder"
        raise InvalidInput(f"dataset {spec!r}: expected {_FORMS}; got {actual}")
    source = Source("own", None, path, columns, follows_links)
    layout, digest = _inspection(source)
    if layout.is_official:
        source = Source("archive", path=path)
    return replace(source, digest=digest(), summary=layout.summary, notes=layout.notes)


def dataset_source(settings: DatasetSettings) -> Source:
    """Source of the images that the settings name; raises InvalidInput if it is not as expected."""
    return source_from(settings.source, settings.columns, follows_links=settings.links == "follow")


def encoded_images(source: Source) -> "EncodedSet":
    """Return a source's encoded images; the content's digest is checked while they are read.

    Raises InvalidInput for `rendered`, which has no files, and for `oxford17` without a path.
    """
    if source.kind == "rendered":
        raise InvalidInput("source rendered: expected a source of files; use `rendered.flowers`")
    layout, _ = _inspection(source)
    if source.kind == "oxford17" and not layout.is_official:
        raise InvalidInput(f"archive {source.path}: expected the official layout, got another")
    return EncodedSet(source, layout, _container(source))


@dataclass(frozen=True)
class EncodedSet:
    """A source's images with their layout, read one after the other as they are iterated.

    They come in the order in which they lie in the source, each with its `row`.
    """

    source: Source
    layout: Layout
    container: Folder | Archive

    @property
    def max_total_pixels(self) -> int | None:
        """Pixels that all images may have at most."""
        if isinstance(self.container, Folder):
            return None
        return max(_MIN_TOTAL_PIXELS, _PIXELS_A_BYTE * self.source.place.stat().st_size)

    def __iter__(self) -> Iterator[ImageFile]:
        """Yield the images; nothing may be used before all were yielded.

        Raises ChecksumMismatch at the end if the source has changed since it was identified.
        """
        images = {image.path: image for image in self.layout.rows}
        digests: dict[str, str] = {}
        for path, content in self.container.contents(images):
            digests[path] = content_digest(content)
            yield images[path]._replace(data=content, sha256=digests[path])
        is_official = self.source.kind == "oxford17"
        is_changed = not is_official and _digest(self.layout, digests) != self.source.digest
        if len(digests) < len(images) or is_changed:
            raise ChecksumMismatch(
                f"{self.source.path}: its images changed while the study ran; run the same command "
                "again"
            )


def _container(source: Source) -> Folder | Archive:
    path = source.place
    if path.is_dir() or is_table(path.name):
        return Folder(path if path.is_dir() else path.parent, source.follows_links)
    return Archive(path)


def _inspection(source: Source) -> tuple[Layout, Callable[[], str]]:
    """Layout of a source and its digest, which are read again only if a file has changed since."""
    container = _container(source)
    states, empty = container.states()
    latest, now = max((state[2] for state in states), default=0), time.time_ns()
    moment = now if latest > now - _SETTLED_NS else 0
    table = "" if source.place.is_dir() or isinstance(container, Archive) else source.place.name
    return _inspected(container, table, source.columns, states, empty, moment)


@lru_cache(maxsize=2)
def _inspected(
    container: Folder | Archive,
    table: str,
    columns: ColumnSettings,
    states: tuple[FileState, ...],
    empty: tuple[str, ...],
    moment: int,
) -> tuple[Layout, Callable[[], str]]:
    """Layout and digest of these states; moment: another one for states that may not last."""
    listing = container.listing(states)
    place = f"data set {container.path}"

    def read(name: str) -> bytes:
        content = listing.tables.get(name) or dict(container.contents([name])).get(name)
        if isinstance(content, bytes):
            return content
        raise InvalidInput(f"{place}, table {name}: expected a table, got {content or 'no file'}")

    layout = layout_of(place, listing.files, empty=empty, columns=columns, table=table, read=read)

    @cache
    def digest() -> str:
        paths = dict.fromkeys(row.path for row in layout.rows)
        contents = () if listing.digests else container.contents(paths)
        digests = {path: content_digest(content) for path, content in contents}
        return _digest(layout, listing.digests or digests)

    return layout, digest


def _digest(layout: Layout, digests: Mapping[str, str]) -> str:
    """SHA-256 over names, classes, parts, groups and bytes of images, wherever they lie."""
    digest = hashlib.sha256()
    for row in layout.rows:
        facts = (row.name, row.class_name, row.part, row.group, digests[row.path])
        digest.update("\0".join(facts).encode() + b"\n")
    return digest.hexdigest()
